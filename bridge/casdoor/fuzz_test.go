package casdoor

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// FuzzReadParams: no request makes the reader panic, its errors are the caller's
// to mend and quote nothing, and what it reads is text.
func FuzzReadParams(f *testing.F) {
	for _, row := range []struct{ query, body, contentType string }{
		{"", "tag=wechat_miniprogram&client_id=p&code=c&username=%E6%9D%8E", "application/x-www-form-urlencoded"},
		{"tag=wechat_miniprogram&client_id=p&code=c", "", ""},
		{"client_id=p", `{"tag":"wechat_miniprogram","code":"c","username":null}`, "application/json"},
		{"", "--x\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nt\r\n--x--\r\n", "multipart/form-data; boundary=x"},
		{"code=a", "code=b", "application/x-www-form-urlencoded"},
		{"", " {", "text/plain;charset=UTF-8"},
		{"%", "\x00", "multipart/form-data; boundary="},
	} {
		f.Add(row.query, row.body, row.contentType)
	}
	f.Fuzz(func(t *testing.T, query, body, contentType string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", contentType)
		p, err := readParams(r)
		if bad := (*userpool.InvalidError)(nil); err != nil && !errors.As(err, &bad) && !errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("error %v, want one that says what to mend", err)
		}
		for _, name := range names {
			v := p.field(name)
			if !utf8.ValidString(*v) || strings.IndexByte(*v, 0) >= 0 {
				t.Errorf("%s is %q", name, *v)
			}
		}
		if again, err2 := readParams(r); (err == nil) != (err2 == nil) || err == nil && again != p {
			t.Errorf("read again: %+v, %v, first %+v, %v", again, err2, p, err)
		}
	})
}

// FuzzCanonical: the canonical path is its own, so that a path has one.
func FuzzCanonical(f *testing.F) {
	for _, path := range []string{"/", "/api/get-account", "/oauth/access_token", "/.well-known/app/jwks", "/api/iam/api/get-account", "/v1/iam", "/login/oauth/token"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		once := Canonical(path)
		if twice := Canonical(once); twice != once {
			t.Errorf("%q is %q, which is %q", path, once, twice)
		}
	})
}
