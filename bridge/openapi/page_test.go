package openapi_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
)

// The page has every operation of its listener and every example, and needs no
// script and nothing but the style sheet that its policy lets in.
func TestPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for admin, at := range map[bool]string{false: w.URL, true: w.AdminURL} {
		r := w.Do("GET", at+"/docs", "").Want(200)
		_, rest, _ := strings.Cut(r.Body, "<style>")
		style, _, _ := strings.Cut(rest, "</style>")
		sum := sha256.Sum256([]byte(style))
		policy := r.Header.Get("Content-Security-Policy")
		if want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.HasPrefix(policy, want) {
			t.Errorf("policy %s, want one that begins %s", policy, want)
		}
		for _, bad := range []string{"<script", "style=", "src=", "http-equiv", "%s", "%!"} {
			if strings.Contains(r.Body, bad) {
				t.Errorf("%s/docs has %s", at, bad)
			}
		}
		for id, d := range w.ops {
			if id = strings.TrimPrefix(id, "admin "); d.admin == admin && !strings.Contains(r.Body, `<details id="`+id+`">`) {
				t.Errorf("%s/docs does not have %s", at, id)
			}
		}
		if n := strings.Count(r.Body, "<figure>"); n < 10 {
			t.Errorf("%s/docs has %d examples", at, n)
		}
	}
}
