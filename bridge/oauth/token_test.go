package oauth_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/bridge/oauth"
)

func TestTicketGrant(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	ticket := b.Ticket(p, "ann", b.PhoneCode("ann", "+8613800138000"), `"userInfo":{"nickName":"小安","avatarUrl":"https://example.com/a","gender":2,"language":"zh_CN"}`)
	b.Clock.Turn(3 * time.Second)
	r := send(b, "/oauth/token", grant(p, ticket, "scope", "openid profile phone email", "nonce", "n-1")).Want(200)
	got := redeemed(r)
	if got.TokenType != "Bearer" || got.ExpiresIn != 15*24*3600 || got.RefreshToken == "" || got.Scope == nil || *got.Scope != "openid profile phone" {
		t.Errorf("answer %s", r.Body)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Pragma": "no-cache", "Content-Type": "application/json; charset=utf-8"} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}

	at := float64(b.Clock.Now().Unix())
	header, access := claimsOf(t, got.AccessToken)
	if header["typ"] != "at+jwt" || header["alg"] != "ES256" || header["kid"] == nil {
		t.Errorf("access token's header: %v", header)
	}
	sub, jti := access["sub"], access["jti"]
	want := map[string]any{
		"iss": b.URL, "sub": sub, "aud": p.ID, "client_id": p.ID, "scope": "openid profile phone", "sid": jti, "jti": jti,
		"iat": at, "exp": at + 15*24*3600,
	}
	if !reflect.DeepEqual(access, want) {
		t.Errorf("access token's claims:\n%v, want\n%v", access, want)
	}

	header, id := claimsOf(t, got.IDToken)
	if header["typ"] != "JWT" || header["alg"] != "ES256" {
		t.Errorf("id_token's header: %v", header)
	}
	want = map[string]any{
		"iss": b.URL, "sub": sub, "aud": p.ID, "azp": p.ID, "iat": at, "exp": at + 3600, "auth_time": at, "nonce": "n-1", "sid": jti,
		"at_hash": id["at_hash"], "name": "小安", "nickname": "小安", "picture": "https://example.com/a", "gender": "female", "locale": "zh-CN",
		"updated_at": float64(bridgetest.T0.Unix()), "phone_number": "+8613800138000", "phone_number_verified": true,
	}
	if !reflect.DeepEqual(id, want) || id["at_hash"] == nil {
		t.Errorf("id_token's claims:\n%v, want\n%v", id, want)
	}

	// It is the redemption of contract 4.2: counted, and done once.
	wantError(t, "the ticket again", send(b, "/oauth/token", grant(p, ticket)), 400, "invalid_grant")
	b.Redeem(p, ticket).WantError(400, 4001, "invalid_ticket")
}

func TestScopeOfTicketGrant(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	for _, row := range []struct{ asked, granted, claims string }{
		{"", "", ""},
		{"openid", "openid", "-"},
		{"profile", "profile", ""},
		{"email offline_access", "", ""},
		{"phone openid phone", "openid phone", "phone_number"},
		{"profile openid", "openid profile", "name"},
	} {
		got := redeemed(send(b, "/oauth/token", grant(p, b.Ticket(p, "ann", b.PhoneCode("ann", "+8613800138000"), `"userInfo":{"nickName":"Ann"}`), "scope", row.asked)))
		if *got.Scope != row.granted {
			t.Errorf("scope %q: got %q, want %q", row.asked, *got.Scope, row.granted)
		}
		if (got.IDToken != "") != (row.claims != "") {
			t.Errorf("scope %q: id_token %q", row.asked, got.IDToken)
		}
		if got.IDToken == "" {
			continue
		}
		_, id := claimsOf(t, got.IDToken)
		for _, name := range []string{"name", "phone_number", "phone_number_verified"} {
			if has := id[name] != nil; has != strings.HasPrefix(name, row.claims) {
				t.Errorf("scope %q: id_token has %s: %v", row.asked, name, has)
			}
		}
	}
}

// Who is refused uses nothing up, in the order of ticket.Redeem.
func TestRefusedGrantLeavesTicket(t *testing.T) {
	b := bridgetest.New(t)
	p, other := b.NewPool(es256), b.NewPool(es256)
	ticket, bound := b.Ticket(p, "ann"), b.Ticket(p, "ben", proofKey())
	for _, row := range []struct {
		name   string
		params []string
		status int
		code   string
	}{
		{"no secret", []string{"client_id", p.ID, "grant_type", oauth.GrantTicket, "ticket", ticket}, 401, "invalid_client"},
		{"wrong secret", []string{"client_id", p.ID, "client_secret", other.Secret, "grant_type", oauth.GrantTicket, "ticket", ticket}, 401, "invalid_client"},
		{"another pool", grant(other, ticket), 400, "invalid_grant"},
		{"malformed scope", grant(p, ticket, "scope", `a"b`), 400, "invalid_scope"},
		{"verifier without challenge", grant(p, ticket, "code_verifier", verifier), 400, "invalid_grant"},
		{"no verifier", grant(p, bound), 400, "invalid_grant"},
		{"wrong verifier", grant(p, bound, "code_verifier", strings.Repeat("w", 43)), 400, "invalid_grant"},
		{"short verifier", grant(p, bound, "code_verifier", "v"), 400, "invalid_request"},
		{"long nonce", grant(p, ticket, "nonce", strings.Repeat("n", 256)), 400, "invalid_request"},
	} {
		wantError(t, row.name, send(b, "/oauth/token", row.params), row.status, row.code)
	}
	redeemed(send(b, "/oauth/token", grant(p, ticket)))
	redeemed(send(b, "/oauth/token", grant(p, bound, "code_verifier", verifier)))
}

// Where the pool lets it be, the client is public: its verifier, or the ticket
// alone, is enough, and a wrong secret is still wrong.
func TestPublicClient(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256, `"secretRequired":false`)
	public := []string{"client_id", p.ID, "grant_type", oauth.GrantTicket}
	bound := b.Ticket(p, "ann", proofKey())
	wantError(t, "wrong secret", send(b, "/oauth/token", append(public, "ticket", bound, "code_verifier", verifier, "client_secret", "x")), 401, "invalid_client")
	got := redeemed(send(b, "/oauth/token", append(public, "ticket", bound, "code_verifier", verifier, "scope", "openid")))
	redeemed(send(b, "/oauth/token", append(public, "ticket", b.Ticket(p, "ben"))))

	next := redeemed(send(b, "/oauth/token", []string{"client_id", p.ID, "grant_type", "refresh_token", "refresh_token", got.RefreshToken}))
	wantError(t, "introspection without a secret", send(b, "/oauth/introspect", []string{"client_id", p.ID, "token", next.AccessToken}), 401, "invalid_client")
	send(b, "/oauth/revoke", []string{"client_id", p.ID, "token", next.RefreshToken}).Want(200)
	wantHolds(t, "after the revocation", b, p, next.AccessToken, false)
}

// Of many who redeem one ticket one gets tokens.
func TestGrantRace(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256, `"revokeOnReplay":false`)
	ticket := b.Ticket(p, "ann")
	var won, refused atomic.Int32
	together(16, func() {
		switch r := send(b, "/oauth/token", grant(p, ticket)); {
		case r.Status == 200:
			won.Add(1)
		case r.Status == 400 && strings.Contains(r.Body, "invalid_grant"):
			refused.Add(1)
		default:
			t.Errorf("got %d %s", r.Status, r.Body)
		}
	})
	if won.Load() != 1 || refused.Load() != 15 {
		t.Errorf("16 at once: %d successes, %d invalid_grant, want 1 and 15", won.Load(), refused.Load())
	}
}

// With the Idempotency-Key of the first success the same answer comes again,
// also after a restart; with another one it is a replay.
func TestRepeatedGrant(t *testing.T) {
	for _, alg := range []string{"HS256", "ES256", "EdDSA"} {
		b := bridgetest.New(t)
		p := b.NewPool(`"tokenAlg":"` + alg + `"`)
		ticket := b.Ticket(p, "ann")
		params := grant(p, ticket, "scope", "openid")
		first := redeemed(send(b, "/oauth/token", params, "Idempotency-Key: k"))
		b.Restart()
		b.Clock.Turn(time.Second)
		again := redeemed(send(b, "/oauth/token", params, "Idempotency-Key: k"))
		if again.ExpiresIn++; !reflect.DeepEqual(again, first) {
			t.Errorf("%s: the repeat gave\n%+v, want\n%+v", alg, again, first)
		}
		next := refresh(b, p, again)
		wantHolds(t, alg+", after the repeat", b, p, next.AccessToken, true)

		wantError(t, "another key", send(b, "/oauth/token", params, "Idempotency-Key: other"), 400, "invalid_grant")
		wantHolds(t, alg+", after the replay", b, p, next.AccessToken, false)
		wantError(t, "refresh after the replay", send(b, "/oauth/token", refreshing(p, next.RefreshToken)), 400, "invalid_grant")
		wantError(t, "the repeat after the replay", send(b, "/oauth/token", params, "Idempotency-Key: k"), 400, "invalid_grant")
	}
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	wantError(t, "an empty key", send(b, "/oauth/token", grant(p, b.Ticket(p, "ann")), "Idempotency-Key: "), 400, "invalid_request")
}

// Who wants something else for the ticket than the first success gave does not
// repeat it, whatever the key: more rights, another nonce, an answer of another
// dialect.
func TestRepeatIsTheSameRequest(t *testing.T) {
	const key = "Idempotency-Key: k"
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	for name, change := range map[string][]string{
		"more scope": {"scope", "openid phone"}, "less scope": {"scope", ""}, "a nonce": {"scope", "openid", "nonce", "n"},
	} {
		ticket := b.Ticket(p, "ann")
		first := redeemed(send(b, "/oauth/token", grant(p, ticket, "scope", "openid"), key))
		wantError(t, name, send(b, "/oauth/token", grant(p, ticket, change...), key), 400, "invalid_grant")
		wantHolds(t, name, b, p, first.AccessToken, false)
	}
	ours := "/oauth/app2wxapp/auth/" + p.ID
	body := func(ticket string) string { return fmt.Sprintf(`{"ticket":%q,"secret":%q}`, ticket, p.Secret) }
	ticket := b.Ticket(p, "ann")
	redeemed(send(b, "/oauth/token", grant(p, ticket), key))
	if got := b.Post(ours, body(ticket), key); got.Status != 400 {
		t.Errorf("after OAuth's: %d %s, want 400", got.Status, got.Body)
	}
	ticket = b.Ticket(p, "ann")
	for range 2 {
		if got := b.Post(ours, body(ticket), key); got.Status != 200 {
			t.Errorf("the first and its repeat: %d %s, want 200", got.Status, got.Body)
		}
	}
	wantError(t, "after ours", send(b, "/oauth/token", grant(p, ticket), key), 400, "invalid_grant")
}

// A replay ends what the ticket began, refreshed or not; the pool may say
// otherwise.
func TestReplayEndsSession(t *testing.T) {
	for _, keep := range []bool{false, true} {
		b := bridgetest.New(t)
		p := b.NewPool(es256, fmt.Sprintf(`"revokeOnReplay":%v`, !keep))
		ticket := b.Ticket(p, "ann")
		first := redeemed(send(b, "/oauth/token", grant(p, ticket, "scope", "openid")))
		next := refresh(b, p, first)
		wantError(t, "replay", send(b, "/oauth/token", grant(p, ticket)), 400, "invalid_grant")
		for _, access := range []string{first.AccessToken, next.AccessToken} {
			wantHolds(t, fmt.Sprint("after the replay, kept ", keep), b, p, access, keep)
		}
		if r := send(b, "/oauth/token", refreshing(p, next.RefreshToken)); (r.Status == 200) != keep {
			t.Errorf("refresh after the replay, kept %v: %d %s", keep, r.Status, r.Body)
		}
	}
}

// Refreshing gives new tokens, for the same user, as long as one goes on.
func TestRefresh(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	got := login(b, p, "ann", "openid")
	_, first := claimsOf(t, got.IDToken)
	for range 4 {
		b.Clock.Turn(29 * 24 * time.Hour)
		wantHolds(t, "an access token after its end", b, p, got.AccessToken, false)
		before := got
		got = refresh(b, p, got)
		if got.AccessToken == before.AccessToken || got.RefreshToken == before.RefreshToken || got.ExpiresIn != 15*24*3600 || *got.Scope != "openid" {
			t.Errorf("refreshed: %+v", got)
		}
		wantHolds(t, "refreshed", b, p, got.AccessToken, true)
		_, id := claimsOf(t, got.IDToken)
		for _, name := range []string{"sub", "iss", "aud", "azp", "auth_time", "sid"} { // OpenID Connect Core §12.2
			if !reflect.DeepEqual(id[name], first[name]) {
				t.Errorf("%s: got %v, want %v as before", name, id[name], first[name])
			}
		}
		if id["iat"] == first["iat"] {
			t.Error("iat is that of the first id_token")
		}
	}
	b.Clock.Turn(30*24*time.Hour - time.Second)
	got = refresh(b, p, got)
	b.Clock.Turn(30 * 24 * time.Hour)
	wantError(t, "at its end", send(b, "/oauth/token", refreshing(p, got.RefreshToken)), 400, "invalid_grant")
}

// A session ends after a year, and no access token outlives it.
func TestRefreshEndsAtLast(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	got := login(b, p, "ann", "openid")
	end := bridgetest.T0.Add(365 * 24 * time.Hour).Truncate(time.Second)
	for b.Clock.Now().Add(29 * 24 * time.Hour).Before(end) {
		b.Clock.Turn(29 * 24 * time.Hour)
		got = refresh(b, p, got)
	}
	b.Clock.Turn(end.Sub(b.Clock.Now()) - 10*time.Second)
	got = refresh(b, p, got)
	if got.ExpiresIn != 10 {
		t.Errorf("ten seconds before its end: expires_in %d", got.ExpiresIn)
	}
	b.Clock.Turn(10*time.Second - time.Millisecond)
	got = refresh(b, p, got)
	wantHolds(t, "a millisecond before its end", b, p, got.AccessToken, true)
	b.Clock.Turn(time.Millisecond)
	wantHolds(t, "at its end", b, p, got.AccessToken, false)
	wantError(t, "at its end", send(b, "/oauth/token", refreshing(p, got.RefreshToken)), 400, "invalid_grant")
}

// A refresh token that was used before ends the session, and the event says so.
func TestRefreshReuse(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	first, elsewhere := login(b, p, "ann", "openid"), login(b, p, "ann", "openid")
	next := refresh(b, p, first)
	wantHolds(t, "the access token before", b, p, first.AccessToken, true)
	wantError(t, "used before", send(b, "/oauth/token", refreshing(p, first.RefreshToken)), 400, "invalid_grant")
	for what, access := range map[string]string{"first": first.AccessToken, "second": next.AccessToken} {
		wantHolds(t, what+" after reuse", b, p, access, false)
	}
	wantError(t, "the newest one", send(b, "/oauth/token", refreshing(p, next.RefreshToken)), 400, "invalid_grant")
	refresh(b, p, elsewhere)
	if r := b.Admin("GET", "/admin/v1/audit?type=session.reused", "").Want(200); strings.Count(r.Body, `"session.reused"`) != 1 || !strings.Contains(r.Body, `"addr":"127.0.0.1"`) {
		t.Errorf("audit: %s, want one session.reused from 127.0.0.1", r.Body)
	}
}

// Of many who refresh at once one gets tokens, which then do not hold: the
// others had a copy.
func TestRefreshRace(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	got := login(b, p, "ann", "openid")
	var won, refused atomic.Int32
	together(16, func() {
		switch r := send(b, "/oauth/token", refreshing(p, got.RefreshToken)); {
		case r.Status == 200:
			won.Add(1)
		case r.Status == 400 && strings.Contains(r.Body, "invalid_grant"):
			refused.Add(1)
		default:
			t.Errorf("got %d %s", r.Status, r.Body)
		}
	})
	if won.Load() != 1 || refused.Load() != 15 {
		t.Errorf("16 at once: %d successes, %d invalid_grant, want 1 and 15", won.Load(), refused.Load())
	}
	wantHolds(t, "afterwards", b, p, got.AccessToken, false)
}

// A refresh that is refused uses nothing up.
func TestRefusedRefresh(t *testing.T) {
	b := bridgetest.New(t)
	p, other := b.NewPool(es256), b.NewPool(es256)
	got := login(b, p, "ann", "openid profile")
	last := got.RefreshToken[:len(got.RefreshToken)-3]
	for _, row := range []struct {
		name   string
		params []string
		status int
		code   string
	}{
		{"no secret", []string{"client_id", p.ID, "grant_type", "refresh_token", "refresh_token", got.RefreshToken}, 401, "invalid_client"},
		{"wrong secret", []string{"client_id", p.ID, "client_secret", "x", "grant_type", "refresh_token", "refresh_token", got.RefreshToken}, 401, "invalid_client"},
		{"another pool", refreshing(other, got.RefreshToken), 400, "invalid_grant"},
		{"another pool, more scope", refreshing(other, got.RefreshToken, "scope", "phone"), 400, "invalid_grant"},
		{"more scope", refreshing(p, got.RefreshToken, "scope", "openid phone"), 400, "invalid_scope"},
		{"malformed scope", refreshing(p, got.RefreshToken, "scope", "openid  profile"), 400, "invalid_scope"},
		{"no refresh token", client(p, "grant_type", "refresh_token"), 400, "invalid_request"},
		{"cut off", refreshing(p, last), 400, "invalid_grant"},
		{"padded", refreshing(p, got.RefreshToken+"=="), 400, "invalid_grant"},
		{"a guess", refreshing(p, strings.Repeat("A", 86)), 400, "invalid_grant"},
		{"the session's id and a guess", refreshing(p, got.RefreshToken[:21]+strings.Repeat("A", 65)), 400, "invalid_grant"},
		{"an access token", refreshing(p, got.AccessToken), 400, "invalid_grant"},
		{"an id_token", refreshing(p, got.IDToken), 400, "invalid_grant"},
	} {
		wantError(t, row.name, send(b, "/oauth/token", row.params), row.status, row.code)
	}
	narrow := redeemed(send(b, "/oauth/token", refreshing(p, got.RefreshToken, "scope", "profile")))
	if *narrow.Scope != "profile" || narrow.IDToken != "" || holds(b, narrow.AccessToken) {
		t.Errorf("narrowed to profile: %+v, want no id_token, and no userinfo", narrow)
	}
	if again := refresh(b, p, narrow); *again.Scope != "openid profile" {
		t.Errorf("scope after a narrow one: %q, want what was granted first", *again.Scope)
	}
}

// Blocking a user and signing them out end their sessions for good.
func TestUserEndsSession(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	for _, act := range []struct{ method, path, body, code string }{
		{"POST", "/revoke", "", "invalid_grant"},
		{"PATCH", "", `{"blocked":true}`, "invalid_grant"},
	} {
		got := login(b, p, "ann", "openid")
		_, claims := claimsOf(t, got.AccessToken)
		b.Clock.Turn(time.Millisecond)
		user := "/admin/v1/pools/" + p.ID + "/users/" + claims["sub"].(string)
		b.Admin(act.method, user+act.path, act.body).Want(200)
		wantHolds(t, act.method, b, p, got.AccessToken, false)
		if introspect(b, p, got.RefreshToken).Active {
			t.Errorf("%s: the refresh token is active", act.method)
		}
		wantError(t, act.method, send(b, "/oauth/token", refreshing(p, got.RefreshToken)), 400, act.code)
		if act.method == "PATCH" {
			b.Admin("PATCH", user, `{"blocked":false}`).Want(200)
			wantError(t, "unblocked", send(b, "/oauth/token", refreshing(p, got.RefreshToken)), 400, act.code)
		}
		b.Clock.Turn(time.Millisecond)
	}
}

// The ways in which a client can say who it is.
func TestClientAuthentication(t *testing.T) {
	b := bridgetest.New(t)
	p, other := b.NewPool(es256), b.NewPool(es256)
	plain := []string{"grant_type", "refresh_token", "refresh_token", "x"}
	id := append([]string{"client_id", p.ID}, plain...)
	for _, row := range []struct {
		name    string
		params  []string
		headers []string
		status  int
		code    string
	}{
		{"body", refreshing(p, "x"), nil, 400, "invalid_grant"},
		{"Basic", plain, []string{basic(p.ID, p.Secret)}, 400, "invalid_grant"},
		{"basic in lower case", plain, []string{strings.Replace(basic(p.ID, p.Secret), "Basic", "basic", 1)}, 400, "invalid_grant"},
		{"Basic, escaped", plain, []string{raw(strings.Replace(p.ID, p.ID[:1], fmt.Sprintf("%%%02x", p.ID[0]), 1) + ":" + p.Secret)}, 400, "invalid_grant"},
		{"Basic and the same client_id", id, []string{basic(p.ID, p.Secret)}, 400, "invalid_grant"},
		{"Basic and another client_id", append([]string{"client_id", other.ID}, plain...), []string{basic(p.ID, p.Secret)}, 400, "invalid_request"},
		{"Basic and a secret in the body", refreshing(p, "x"), []string{basic(p.ID, p.Secret)}, 400, "invalid_request"},
		{"nobody", plain, nil, 401, "invalid_client"},
		{"id alone", id, nil, 401, "invalid_client"},
		{"id alone by Basic", plain, []string{basic(p.ID, "")}, 401, "invalid_client"},
		{"wrong secret by Basic", plain, []string{basic(p.ID, other.Secret)}, 401, "invalid_client"},
		{"unknown client", append([]string{"client_id", "nobody", "client_secret", "x"}, plain...), nil, 401, "invalid_client"},
		{"a client that cannot be", append([]string{"client_id", "a/b", "client_secret", "x"}, plain...), nil, 401, "invalid_client"},
		{"Basic of nothing", plain, []string{"Authorization: Basic"}, 401, "invalid_client"},
		{"Basic of no base64", plain, []string{"Authorization: Basic !"}, 401, "invalid_client"},
		{"Basic with a broken escape", plain, []string{raw("%zz:x")}, 401, "invalid_client"},
		{"Basic twice", plain, []string{basic(p.ID, p.Secret), basic(p.ID, p.Secret)}, 401, "invalid_client"},
		{"Bearer", plain, []string{bearer(p.Secret)}, 401, "invalid_client"},
		{"long secret", append([]string{"client_id", p.ID, "client_secret", strings.Repeat("x", 257)}, plain...), nil, 400, "invalid_request"},
	} {
		r := send(b, "/oauth/token", row.params, row.headers...)
		wantError(t, row.name, r, row.status, row.code)
		if got := r.Header.Get("WWW-Authenticate"); strings.HasPrefix(got, "Basic ") != (row.status == 401) {
			t.Errorf("%s: WWW-Authenticate %q", row.name, got)
		}
		for _, path := range []string{"/oauth/introspect", "/oauth/revoke"} {
			if r := send(b, path, append(row.params, "token", "x"), row.headers...); row.code == "invalid_grant" {
				r.Want(200)
			} else {
				wantError(t, path+" "+row.name, r, row.status, row.code)
			}
		}
		b.Clock.Turn(time.Minute) // failures of one address are limited
	}
}

// raw is Basic of credentials as they are.
func raw(credentials string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}

// Guessing secrets is limited, whatever endpoint it is tried at.
func TestGuessingIsLimited(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	paths := []string{"/oauth/token", "/oauth/introspect", "/oauth/revoke"}
	wrong := []string{"client_id", p.ID, "client_secret", "x", "token", "x", "grant_type", "refresh_token", "refresh_token", "x"}
	for i := range 60 {
		wantError(t, "guess", send(b, paths[i%3], wrong), 401, "invalid_client")
	}
	for _, path := range paths {
		r := send(b, path, wrong)
		wantError(t, path, r, http.StatusTooManyRequests, "temporarily_unavailable")
		if r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
	b.Redeem(p, b.Ticket(p, "ann")).WantError(429, 4290, "rate_limited")
}
