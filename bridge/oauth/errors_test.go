package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/bridge"
	"app2wxapp/bridge/bridgetest"
	"app2wxapp/bridge/oauth"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// failing is a store whose sessions cannot be read while err is set.
type failing struct {
	bridge.Store
	err atomic.Pointer[error]
}

func (f *failing) Session(ctx context.Context, id string) (token.Session, error) {
	if err := f.err.Load(); err != nil {
		return token.Session{}, *err
	}
	return f.Store.Session(ctx, id)
}

// Each row of the dialect's table, as a client meets it.
func TestErrors(t *testing.T) {
	store := &failing{}
	b := bridgetest.New(t, bridgetest.WithStore(func(s bridge.Store) bridge.Store { store.Store = s; return store }))
	p, other := b.NewPool(es256), b.NewPool(es256)
	got, bare := login(b, p, "ann", "openid"), login(b, p, "ann", "profile")
	expired := login(b, p, "ann", "openid")
	blocked := login(b, p, "ben", "openid")
	_, claims := claimsOf(t, blocked.AccessToken)
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID+"/users/"+claims["sub"].(string), `{"blocked":true}`).Want(200)
	info := func(headers ...string) bridgetest.Response {
		return b.Do("GET", b.URL+"/oauth/userinfo", "", headers...)
	}
	fail := func(err error) bridgetest.Response {
		store.err.Store(&err)
		defer store.err.Store(nil)
		return send(b, "/oauth/token", refreshing(p, got.RefreshToken))
	}

	seen := map[string]bool{}
	for _, row := range []struct {
		status      int
		code        string
		description string
		challenge   string // what WWW-Authenticate begins with, "" for none
		ask         func() bridgetest.Response
	}{
		{401, "invalid_client", "the client is unknown or its secret is wrong", "Basic ", func() bridgetest.Response {
			return send(b, "/oauth/token", []string{"grant_type", "refresh_token", "refresh_token", "x", "client_id", "nobody"})
		}},
		{401, "invalid_client", "the client is unknown or its secret is wrong", "Basic ", func() bridgetest.Response {
			return send(b, "/oauth/token", grant(bridgetest.Pool{ID: p.ID, Secret: "x"}, "x"))
		}},
		{401, "invalid_client", "the client must show its secret here", "Basic ", func() bridgetest.Response {
			return send(b, "/oauth/introspect", []string{"client_id", p.ID, "token", "x"})
		}},
		{400, "unsupported_grant_type", "grant_type must be " + oauth.GrantTicket + " or refresh_token", "", func() bridgetest.Response {
			return send(b, "/oauth/token", client(p, "grant_type", "authorization_code", "code", "x"))
		}},
		{400, "invalid_scope", "scope must be names with one space between them", "", func() bridgetest.Response {
			return send(b, "/oauth/token", grant(p, "x", "scope", `a\b`))
		}},
		{400, "invalid_scope", "scope must not be more than was granted", "", func() bridgetest.Response {
			return send(b, "/oauth/token", refreshing(p, got.RefreshToken, "scope", "phone"))
		}},
		{400, "invalid_grant", "the ticket is invalid, expired or used; sign in again", "", func() bridgetest.Response {
			return send(b, "/oauth/token", grant(p, "x"))
		}},
		{400, "invalid_grant", "the refresh token is invalid, expired or used; sign in again", "", func() bridgetest.Response {
			return send(b, "/oauth/token", refreshing(p, "x"))
		}},
		{400, "invalid_grant", "this user is blocked", "", func() bridgetest.Response {
			return send(b, "/oauth/token", refreshing(p, blocked.RefreshToken))
		}},
		{400, "unauthorized_client", "the token was issued to another client", "", func() bridgetest.Response {
			return send(b, "/oauth/revoke", client(other, "token", got.RefreshToken))
		}},
		{400, "unauthorized_client", "the token was issued to another client", "", func() bridgetest.Response {
			return send(b, "/oauth/revoke", client(other, "token", got.AccessToken))
		}},
		{401, "missing_token", "a Bearer token is required", `Bearer realm="app2wxapp"`, func() bridgetest.Response { return info() }},
		{401, "missing_token", "a Bearer token is required", `Bearer realm="app2wxapp"`, func() bridgetest.Response { return info(basic(p.ID, p.Secret)) }},
		{401, "invalid_token", "the token is not valid", `Bearer realm="app2wxapp", error="invalid_token"`, func() bridgetest.Response { return info(bearer("x")) }},
		{401, "invalid_token", "the token is not valid", `Bearer realm="app2wxapp", error="invalid_token"`, func() bridgetest.Response {
			return info(bearer(blocked.AccessToken))
		}},
		{403, "insufficient_scope", "the token was not issued for scope openid", `Bearer realm="app2wxapp", error="insufficient_scope", scope="openid"`, func() bridgetest.Response {
			return info(bearer(bare.AccessToken))
		}},
		{413, "invalid_request", "the body must not exceed 64 KiB", "", func() bridgetest.Response {
			return sendRaw(b, "/oauth/token", strings.Repeat("a", 64<<10+1))
		}},
		{400, "invalid_request", "body must be application/x-www-form-urlencoded in UTF-8", "", func() bridgetest.Response {
			return b.Post("/oauth/token", `{"grant_type":"refresh_token"}`)
		}},
		{503, "temporarily_unavailable", "temporarily unavailable; try again", "", func() bridgetest.Response { return fail(userpool.ErrUnavailable) }},
		{500, "server_error", "an error of ours; give the X-Request-Id to the operator", "", func() bridgetest.Response { return fail(errors.New("planted")) }},
		{401, "invalid_token", "the token has expired", `Bearer realm="app2wxapp", error="invalid_token", error_description="the token has expired"`, func() bridgetest.Response {
			b.Clock.Turn(15 * 24 * time.Hour)
			return info(bearer(expired.AccessToken))
		}},
		{429, "temporarily_unavailable", "too many attempts; try again later", "", func() (r bridgetest.Response) {
			for range 61 {
				r = send(b, "/oauth/introspect", []string{"client_id", p.ID, "client_secret", "x"})
			}
			return r
		}},
	} {
		r := row.ask()
		what := fmt.Sprint(row.status, " ", row.code, " ", row.description)
		wantError(t, what, r, row.status, row.code)
		if !strings.Contains(r.Body, `"error_description":"`+row.description+`"`) {
			t.Errorf("%s: got %s", what, r.Body)
		}
		if got := r.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, row.challenge) || got != "" && row.challenge == "" {
			t.Errorf("%s: WWW-Authenticate %q, want %q", what, got, row.challenge)
		}
		if got := r.Header.Get("Retry-After") != ""; got != (row.code == "temporarily_unavailable") {
			t.Errorf("%s: Retry-After %q", what, r.Header.Get("Retry-After"))
		}
		if r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: headers %v", what, r.Header)
		}
		seen[what] = true
	}
	src, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`problem\{(\d+), "(\w+)", "([^"]*)"( \+ GrantTicket \+ "([^"]*)")?`).FindAllStringSubmatch(string(src), -1)
	if len(rows) < 18 {
		t.Fatalf("errors.go has %d rows that this test understands", len(rows))
	}
	for _, m := range rows {
		description := m[3]
		if m[4] != "" {
			description += oauth.GrantTicket + m[5]
		}
		if what := m[1] + " " + m[2] + " " + description; !seen[what] {
			t.Errorf("no request here is answered with %s", what)
		}
	}
	if log := b.Log.String(); strings.Count(log, `"msg":"request failed"`) != 2 || !strings.Contains(log, "planted") {
		t.Error("the two failures of ours are not logged once each with their cause")
	}
}

// A form says one thing to every reader.
func TestForm(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	good := "client_id=" + p.ID + "&client_secret=" + p.Secret + "&grant_type=refresh_token&refresh_token=x"
	for name, row := range map[string]struct {
		path, body string
		headers    []string
		code       string
	}{
		"good":                          {body: good, code: "invalid_grant"},
		"charset":                       {body: good, headers: []string{"Content-Type: application/x-www-form-urlencoded; charset=UTF-8"}, code: "invalid_grant"},
		"unknown parameter":             {body: good + "&foo=bar", code: "invalid_grant"},
		"parameter without a value":     {body: good + "&scope=&code_verifier", code: "invalid_grant"},
		"twice":                         {body: good + "&scope=a&scope=b", code: "invalid_request"},
		"twice the same":                {body: good + "&refresh_token=x", code: "invalid_request"},
		"twice, once empty":             {body: good + "&refresh_token=", code: "invalid_request"},
		"twice, unknown":                {body: good + "&foo=1&foo=2", code: "invalid_request"},
		"in another case":               {body: strings.Replace(good, "grant_type", "Grant_Type", 1), code: "invalid_request"},
		"no grant_type":                 {body: strings.Replace(good, "grant_type=", "x=", 1), code: "invalid_request"},
		"empty grant_type":              {body: strings.Replace(good, "=refresh_token&", "=&", 1), code: "invalid_request"},
		"empty":                         {body: "", code: "invalid_request"},
		"broken escape":                 {body: good + "&a=%zz", code: "invalid_request"},
		"cut-off escape":                {body: good + "&a=%2", code: "invalid_request"},
		"semicolon":                     {body: good + ";a=b", code: "invalid_request"},
		"NUL":                           {body: good + "&a=%00", code: "invalid_request"},
		"NUL in a name":                 {body: good + "&a%00=b", code: "invalid_request"},
		"no UTF-8":                      {body: good + "&a=%ff", code: "invalid_request"},
		"query":                         {path: "?" + good, body: good, code: "invalid_request"},
		"query alone":                   {path: "?" + good, code: "invalid_request"},
		"no type":                       {body: good, headers: []string{"Content-Type: "}, code: "invalid_request"},
		"JSON":                          {body: `{}`, headers: []string{"Content-Type: application/json"}, code: "invalid_request"},
		"multipart":                     {body: good, headers: []string{"Content-Type: multipart/form-data; boundary=x"}, code: "invalid_request"},
		"another charset":               {body: good, headers: []string{"Content-Type: application/x-www-form-urlencoded; charset=gbk"}, code: "invalid_request"},
		"compressed":                    {body: good, headers: []string{"Content-Type: application/x-www-form-urlencoded", "Content-Encoding: gzip"}, code: "invalid_request"},
		"a name that cannot be shown":   {body: good + "&%22%0a=1&%22%0a=2", code: "invalid_request"},
		"a name of a thousand letters":  {body: good + "&" + strings.Repeat("n", 1000) + "=1&" + strings.Repeat("n", 1000) + "=2", code: "invalid_request"},
		"a grant of another kind":       {body: strings.Replace(good, "=refresh_token&", "=password&", 1), code: "unsupported_grant_type"},
		"a grant in another case":       {body: strings.Replace(good, "=refresh_token&", "=Refresh_Token&", 1), code: "unsupported_grant_type"},
		"a grant with a space after it": {body: strings.Replace(good, "=refresh_token&", "=refresh_token%20&", 1), code: "unsupported_grant_type"},
	} {
		headers := row.headers
		if headers == nil {
			headers = []string{"Content-Type: application/x-www-form-urlencoded"}
		}
		r := b.Do("POST", b.URL+"/oauth/token"+row.path, row.body, headers...)
		wantError(t, name, r, 400, row.code)
		if strings.Contains(r.Body, "nnnn") {
			t.Errorf("%s: the answer repeats the name", name)
		}
	}
	for _, method := range []string{"GET", "PUT", "DELETE", "HEAD", "OPTIONS"} {
		if r := b.Do(method, b.URL+"/oauth/token", ""); r.Status != 405 || r.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q, want 405 and POST", method, r.Status, r.Header.Get("Allow"))
		}
	}
}
