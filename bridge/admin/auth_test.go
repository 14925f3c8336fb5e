package admin_test

import (
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
)

// calls is every call of the API.
var calls = []struct{ method, path string }{
	{"POST", "/admin/v1/pools"},
	{"GET", "/admin/v1/pools"},
	{"GET", "/admin/v1/pools/p"},
	{"PATCH", "/admin/v1/pools/p"},
	{"POST", "/admin/v1/pools/p/secrets"},
	{"DELETE", "/admin/v1/pools/p/secrets/x"},
	{"POST", "/admin/v1/pools/p/users"},
	{"GET", "/admin/v1/pools/p/users/u"},
	{"PATCH", "/admin/v1/pools/p/users/u"},
	{"POST", "/admin/v1/pools/p/users/u/revoke"},
	{"GET", "/admin/v1/audit"},
	{"GET", "/admin/v1/audit/verify"},
}

// Every call asks for the token, before it looks at anything else.
func TestAuthenticate(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	const json = "Content-Type: application/json"
	for _, call := range calls {
		for _, header := range []string{
			"X-None: ", "Authorization: ", "Authorization: Bearer", "Authorization: Bearer wrong",
			"Authorization: " + bridgetest.AdminToken, "Authorization: Basic " + bridgetest.AdminToken,
			"Authorization: Bearer " + bridgetest.AdminToken + "x", "Cookie: token=" + bridgetest.AdminToken,
		} {
			b.Clock.Turn(time.Second)
			r := b.Do(call.method, b.AdminURL+call.path+"?token="+bridgetest.AdminToken, `not JSON`, json, header).WantError(401, 2020, "unauthenticated")
			if got := r.Header.Get("WWW-Authenticate"); got != "Bearer" {
				t.Errorf("%s %s: WWW-Authenticate %q, want Bearer", call.method, call.path, got)
			}
		}
		if r := b.Admin(call.method, call.path, ""); r.Status == 401 || r.Status == 404 && r.Body == "" {
			t.Errorf("%s %s with the token: %d %s", call.method, call.path, r.Status, r.Body)
		}
		r := b.Do(call.method, b.AdminURL+call.path, "", json, "Authorization: bearer "+bridgetest.AdminToken)
		if r.Status == 401 { // the scheme's name has no case, RFC 9110 §11.1
			t.Errorf("%s %s with bearer: %d %s", call.method, call.path, r.Status, r.Body)
		}
	}
	// Everything that is found without the token is none of the API.
	for _, path := range []string{"/admin/v1", "/admin/v1/", "/admin/v1/keys", "/admin", "/"} {
		b.Do("GET", b.AdminURL+path, "").WantError(404, 4040, "not_found")
	}
}

// The log names the pool of a call, if there is one of that id.
func TestLogNamesPool(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	b.NewPool(`"id":"named"`)
	for _, id := range []string{"named", "unnamed"} {
		b.Admin("PATCH", "/admin/v1/pools/"+id, "not JSON").WantError(400, 2231, "invalid_request")
	}
	if log := b.Log.String(); !strings.Contains(log, `"pool":"named"`) || strings.Contains(log, "unnamed") {
		t.Errorf("want the pool that there is, and not the other:\n%s", log)
	}
}

// Whoever shows a token is not told to show one.
func TestWrongTokenIsSaid(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	for _, row := range []struct{ header, en, zh string }{
		{"X-None: ", "a Bearer token is required", "未登录"},
		{"Authorization: Bearer ", "a Bearer token is required", "未登录"},
		{"Authorization: Bearer wrong", "this is not the server's admin token; give the one in admin.token beside its store", "这不是本服务的管理令牌"},
		{"Authorization: Basic wrong", "a Bearer token is required", "未登录"},
	} {
		for language, want := range map[string]string{"en": row.en, "zh": row.zh} {
			r := b.Do("GET", b.AdminURL+"/admin/v1/pools", "", row.header, "Accept-Language: "+language).WantError(401, 2020, "unauthenticated")
			if !strings.Contains(r.Body, want) {
				t.Errorf("%s, %s: %s, want %q", row.header, language, r.Body, want)
			}
		}
	}
}

// Guessing the token is limited by address; whoever has it is never kept out.
func TestWrongTokenIsLimited(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	guess := func() bridgetest.Response {
		return b.Do("GET", b.AdminURL+"/admin/v1/pools", "", "Authorization: Bearer guess", "X-Forwarded-For: 203.0.113.7")
	}
	for range 60 {
		guess().WantError(401, 2020, "unauthenticated")
	}
	r := guess().WantError(429, 4290, "rate_limited")
	if r.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q, want 1", r.Header.Get("Retry-After"))
	}
	b.Admin("GET", "/admin/v1/pools", "").Want(200)
	b.Clock.Turn(time.Second)
	guess().WantError(401, 2020, "unauthenticated")
	guess().WantError(429, 4290, "rate_limited")
}
