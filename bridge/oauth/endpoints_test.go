package oauth_test

import (
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/bridge/oauth"
)

func TestIntrospect(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	got := login(b, p, "ann", "openid phone")
	_, claims := claimsOf(t, got.AccessToken)
	now := b.Clock.Now().Unix()
	sub, sid := claims["sub"].(string), claims["sid"].(string)
	want := introspection{
		Active: true, Scope: "openid phone", ClientID: p.ID, TokenType: "Bearer", Sub: sub, Iss: b.URL, Jti: sid, Aud: p.ID,
		Iat: now, Exp: now + 15*24*3600,
	}
	for _, hint := range []string{"", "access_token", "refresh_token", "foo"} {
		var in introspection
		send(b, "/oauth/introspect", client(p, "token", got.AccessToken, "token_type_hint", hint)).Want(200).Decode(&in)
		if !reflect.DeepEqual(in, want) {
			t.Errorf("access token, hint %q:\n%+v, want\n%+v", hint, in, want)
		}
	}
	want = introspection{Active: true, Scope: "openid phone", ClientID: p.ID, Sub: sub, Iss: b.URL, Iat: now, Exp: now + 30*24*3600}
	if in := introspect(b, p, got.RefreshToken); !reflect.DeepEqual(in, want) {
		t.Errorf("refresh token:\n%+v, want\n%+v", in, want)
	}

	next := refresh(b, p, got)
	inactive := map[string]string{
		"a refresh token that was used": got.RefreshToken, "an id_token": got.IDToken, "a text": "x", "dots": "a.b.c",
		"a long text": strings.Repeat("x", 10_000), "a ticket": b.Ticket(p, "ben"),
	}
	for what, raw := range inactive {
		if r := send(b, "/oauth/introspect", client(p, "token", raw)).Want(200); r.Body != `{"active":false}` {
			t.Errorf("%s: %s", what, r.Body)
		}
	}
	if !introspect(b, p, next.RefreshToken).Active {
		t.Error("looking at a used refresh token ended the session")
	}
	wantError(t, "no token", send(b, "/oauth/introspect", client(p)), 400, "invalid_request")
	b.Clock.Turn(15 * 24 * time.Hour)
	wantHolds(t, "expired", b, p, next.AccessToken, false)
	b.Clock.Turn(15 * 24 * time.Hour)
	if introspect(b, p, next.RefreshToken).Active {
		t.Error("the refresh token is active at its end")
	}
}

func TestRevoke(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	got := login(b, p, "ann", "openid")
	r := send(b, "/oauth/revoke", client(p, "token", got.AccessToken, "token_type_hint", "access_token")).Want(200)
	if r.Body != "" {
		t.Errorf("body %q, want none", r.Body)
	}
	wantHolds(t, "an access token that was revoked", b, p, got.AccessToken, false)
	got = refresh(b, p, got)
	wantHolds(t, "the one after it", b, p, got.AccessToken, true)

	for range 2 { // the second time there is nothing to revoke
		send(b, "/oauth/revoke", client(p, "token", got.RefreshToken)).Want(200)
		wantHolds(t, "after the refresh token's revocation", b, p, got.AccessToken, false)
		wantError(t, "refresh", send(b, "/oauth/token", refreshing(p, got.RefreshToken)), 400, "invalid_grant")
	}
	for what, raw := range map[string]string{"a text": "x", "dots": "a.b.c", "an id_token": got.IDToken} {
		if r := send(b, "/oauth/revoke", client(p, "token", raw)); r.Status != 200 {
			t.Errorf("%s: %d %s, want 200", what, r.Status, r.Body)
		}
	}
	wantError(t, "no token", send(b, "/oauth/revoke", client(p)), 400, "invalid_request")

	// One that was used before is in the hands of somebody: it ends the session, too.
	got = login(b, p, "ann", "openid")
	next := refresh(b, p, got)
	send(b, "/oauth/revoke", client(p, "token", got.RefreshToken)).Want(200)
	wantHolds(t, "after the revocation of an old refresh token", b, p, next.AccessToken, false)
	if r := b.Admin("GET", "/admin/v1/audit?type=session.reused", ""); strings.Contains(r.Body, "session.reused") {
		t.Errorf("revoking is audited as reuse: %s", r.Body)
	}
}

func TestUserInfo(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	ticket := b.Ticket(p, "ann", b.PhoneCode("ann", "+8613800138000"), `"userInfo":{"nickName":"小安","gender":1,"language":"zh_CN"}`)
	got := redeemed(send(b, "/oauth/token", grant(p, ticket, "scope", "openid profile phone")))
	_, claims := claimsOf(t, got.AccessToken)
	want := `{"sub":"` + claims["sub"].(string) + `","name":"小安","nickname":"小安","gender":"male","locale":"zh-CN","updated_at":1795163400,"phone_number":"+8613800138000","phone_number_verified":true}`
	path := b.URL + "/oauth/userinfo"
	form := "Content-Type: application/x-www-form-urlencoded"
	for what, r := range map[string]bridgetest.Response{
		"GET":                     b.Do("GET", path, "", bearer(got.AccessToken)),
		"POST":                    b.Do("POST", path, "", bearer(got.AccessToken)),
		"scheme in lower case":    b.Do("GET", path, "", strings.Replace(bearer(got.AccessToken), "Bearer", "bearer", 1)),
		"POST with an empty form": b.Do("POST", path, "", bearer(got.AccessToken), form),
		"POST of a form":          b.Do("POST", path, "access_token="+got.AccessToken, form),
		"POST of JSON":            b.Do("POST", path, "{}", bearer(got.AccessToken), "Content-Type: application/json"),
	} {
		if r.Status != 200 || r.Body != want {
			t.Errorf("%s: %d %s, want %s", what, r.Status, r.Body, want)
		}
	}
	few := redeemed(send(b, "/oauth/token", refreshing(p, got.RefreshToken, "scope", "openid")))
	if r := b.Do("GET", path, "", bearer(few.AccessToken)).Want(200); r.Body != `{"sub":"`+claims["sub"].(string)+`"}` {
		t.Errorf("scope openid: %s, want sub alone", r.Body)
	}

	for _, row := range []struct {
		name   string
		r      bridgetest.Response
		status int
		code   string
	}{
		{"in the query", b.Do("GET", path+"?access_token="+got.AccessToken, ""), 400, "invalid_request"},
		{"in the query and the header", b.Do("GET", path+"?access_token=x", "", bearer(got.AccessToken)), 400, "invalid_request"},
		{"in the form and the header", b.Do("POST", path, "access_token="+got.AccessToken, bearer(got.AccessToken), form), 400, "invalid_request"},
		{"twice in the form", b.Do("POST", path, "access_token=a&access_token=b", form), 400, "invalid_request"},
		{"two headers", b.Do("GET", path, "", bearer(got.AccessToken), bearer(got.AccessToken)), 400, "invalid_request"},
		{"two words", b.Do("GET", path, "", bearer("x y")), 400, "invalid_request"},
		{"no word", b.Do("GET", path, "", "Authorization: Bearer"), 400, "invalid_request"},
		{"no header", b.Do("GET", path, ""), 401, "missing_token"},
		{"in a form of GET", b.Do("GET", path, "access_token="+got.AccessToken, form), 401, "missing_token"},
		{"long", b.Do("GET", path, "", bearer(strings.Repeat("x", 9000))), 401, "invalid_token"},
	} {
		wantError(t, row.name, row.r, row.status, row.code)
		want := `Bearer realm="app2wxapp"`
		if row.code != "missing_token" { // RFC 6750 §3.1
			want += `, error="` + row.code + `", error_description="`
		}
		if got := row.r.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, want) || row.code == "missing_token" && got != want {
			t.Errorf("%s: WWW-Authenticate %q", row.name, got)
		}
	}
}

func TestLogout(t *testing.T) {
	b := bridgetest.New(t)
	p, other := b.NewPool(es256), b.NewPool(es256)
	path := b.URL + "/oauth/logout"
	got, elsewhere := login(b, p, "ann", "openid"), login(b, p, "ann", "openid")
	get := func(params ...string) bridgetest.Response {
		values := url.Values{}
		for i := 0; i < len(params); i += 2 {
			values.Add(params[i], params[i+1])
		}
		return b.Do("GET", path+"?"+values.Encode(), "")
	}
	for what, r := range map[string]bridgetest.Response{
		"nothing":             get(),
		"a redirection":       get("id_token_hint", got.IDToken, "post_logout_redirect_uri", "https://evil.example"),
		"another client":      get("id_token_hint", got.IDToken, "client_id", other.ID),
		"an access token":     get("id_token_hint", got.AccessToken),
		"a text":              get("id_token_hint", "x"),
		"twice":               get("id_token_hint", got.IDToken, "id_token_hint", elsewhere.IDToken),
		"a query with a form": b.Do("POST", path+"?id_token_hint="+got.IDToken, "", "Content-Type: application/x-www-form-urlencoded"),
	} {
		wantError(t, what, r, 400, "invalid_request")
		if r.Header.Get("Location") != "" {
			t.Errorf("%s: redirected", what)
		}
	}
	wantHolds(t, "after refusals", b, p, got.AccessToken, true)

	b.Clock.Turn(2 * time.Hour) // the id_token has expired
	for range 2 {
		if r := get("id_token_hint", got.IDToken, "client_id", p.ID, "state", "s").Want(200); r.Body != `{"signed_out":true}` {
			t.Errorf("got %s", r.Body)
		}
		wantHolds(t, "after the logout", b, p, got.AccessToken, false)
		wantError(t, "refresh", send(b, "/oauth/token", refreshing(p, got.RefreshToken)), 400, "invalid_grant")
	}
	wantHolds(t, "another session", b, p, elsewhere.AccessToken, true)
	send(b, "/oauth/logout", []string{"id_token_hint", elsewhere.IDToken}).Want(200)
	wantHolds(t, "after the logout by POST", b, p, elsewhere.AccessToken, false)
}

// The metadata names what is there, and nothing else.
func TestMetadata(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	r := b.Do("GET", b.URL+"/.well-known/openid-configuration", "").Want(200)
	if r.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("a page cannot read it")
	}
	if other := b.Do("GET", b.URL+"/.well-known/oauth-authorization-server", "").Want(200); other.Body != r.Body {
		t.Errorf("RFC 8414 says %s, OpenID Connect %s", other.Body, r.Body)
	}
	var all map[string]any
	r.Decode(&all)
	if all["issuer"] != b.URL {
		t.Errorf("issuer %v, want %s", all["issuer"], b.URL)
	}
	for name, v := range all {
		at, ok := v.(string)
		if !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" {
			continue
		}
		method := "POST"
		if name == "jwks_uri" {
			method = "GET"
		}
		if !ok || !strings.HasPrefix(at, b.URL+"/") || slices.Contains([]int{404, 405}, b.Do(method, at, "").Status) {
			t.Errorf("%s: %v is not there", name, v)
		}
	}
	// Each grant type, scope and claim that is named is one that there is.
	var named struct {
		Grants []string `json:"grant_types_supported"`
		Scopes []string `json:"scopes_supported"`
		Claims []string `json:"claims_supported"`
	}
	r.Decode(&named)
	if want := []string{oauth.GrantTicket, "refresh_token"}; !slices.Equal(named.Grants, want) {
		t.Errorf("grant_types_supported %v, want %v", named.Grants, want)
	}
	ticket := b.Ticket(p, "ann", b.PhoneCode("ann", "+8613800138000"), `"userInfo":{"nickName":"a","avatarUrl":"https://example.com/a","gender":2,"language":"zh_CN"}`)
	scope := strings.Join(named.Scopes, " ")
	got := redeemed(send(b, "/oauth/token", grant(p, ticket, "scope", scope, "nonce", "n")))
	if *got.Scope != scope {
		t.Errorf("of the scopes %q were granted %q", scope, *got.Scope)
	}
	_, claims := claimsOf(t, got.IDToken)
	var names []string
	for name := range claims {
		names = append(names, name)
	}
	slices.Sort(names)
	slices.Sort(named.Claims)
	if !slices.Equal(names, named.Claims) {
		t.Errorf("claims_supported %v, an id_token has %v", named.Claims, names)
	}
	if all["response_types_supported"] == nil || len(all["response_types_supported"].([]any)) != 0 || all["authorization_endpoint"] != nil {
		t.Error("there is no authorization endpoint, and the metadata says otherwise")
	}
	if text, err := json.Marshal(all); err != nil || strings.Contains(string(text), "HS256") {
		t.Errorf("HS256 is named: %s, %v", text, err)
	}
}
