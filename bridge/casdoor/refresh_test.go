package casdoor_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
)

// look introspects with the pool's secret.
func look(b *bridgetest.Bridge, p bridgetest.Pool, token string) string {
	return form(b, lookPath, "token", token, "client_id", p.ID, "client_secret", p.Secret).Want(200).Body
}

const inactive = `{"active":false}`

// A refresh gives new tokens, and the old access token is over at once. A
// refresh token that is shown again ends them all.
func TestRefresh(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	first := login(b, p, "alice")
	me := account(b, first.Access)
	b.Clock.Turn(time.Hour)
	var next tokens
	// As the Go SDK sends it, with the secret, to its own path; and as JSON.
	form(b, "/api/login/oauth/refresh_token", "grant_type", "refresh_token", "refresh_token", first.Refresh, "client_id", p.ID,
		"client_secret", p.Secret, "scope", "").Want(200).Decode(&next)
	if account(b, next.Access)["id"] != me["id"] {
		t.Error("the refreshed token is another user's")
	}
	wantEnvelope(t, "the access token before", b.Do("GET", b.URL+accountPath, "", bearer(first.Access)), 401, "Access token doesn't exist in database")
	if got := look(b, p, first.Access); got != inactive {
		t.Errorf("the access token before is %s", got)
	}
	var third tokens
	b.Post(tokenPath, fmt.Sprintf(`{"grant_type":"refresh_token","refresh_token":%q,"client_id":%q}`, next.Refresh, p.ID)).Want(200).Decode(&third)
	account(b, third.Access)

	wantOAuth(t, "a used refresh token", refresh(b, p, next.Refresh), 400, "invalid_grant", "refresh token is invalid or revoked")
	wantOAuth(t, "the newest, after that", refresh(b, p, third.Refresh), 400, "invalid_grant", "refresh token is invalid or revoked")
	wantEnvelope(t, "its access token", b.Do("GET", b.URL+accountPath, "", bearer(third.Access)), 401, "Access token doesn't exist in database")
}

func TestRefreshRace(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	first := login(b, p, "alice")
	var wg sync.WaitGroup
	answers := make([]bridgetest.Response, 16)
	for i := range answers {
		wg.Go(func() { answers[i] = refresh(b, p, first.Refresh) })
	}
	wg.Wait()
	won := 0
	for _, r := range answers {
		if r.Status == 200 {
			won++
		} else {
			wantOAuth(t, "another", r, 400, "invalid_grant", "refresh token is invalid or revoked")
		}
	}
	if won != 1 {
		t.Errorf("%d of 16 refreshes at once succeeded, want 1", won)
	}
}

// POST /oauth/token is OAuth's and Casdoor's: each refreshes its own.
func TestSharedTokenEndpoint(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	var mine tokens
	form(b, "/oauth/token", "tag", "wechat_miniprogram", "client_id", p.ID, "code", b.WeChat.LoginCode(bridgetest.AppID, "alice")).Want(200).Decode(&mine)
	account(b, mine.Access)
	var next tokens
	form(b, "/oauth/token", "grant_type", "refresh_token", "refresh_token", mine.Refresh, "client_id", p.ID).Want(200).Decode(&next)
	account(b, next.Access)
	wantOAuth(t, "an error", form(b, "/oauth/token", "grant_type", "refresh_token", "refresh_token", next.Refresh, "client_id", p.ID, "client_secret", "wrong"),
		401, "invalid_client", "client_secret is invalid")

	ticket := b.Ticket(p, "alice")
	r := form(b, "/oauth/token", "grant_type", "urn:app2wxapp:grant-type:ticket", "ticket", ticket, "client_id", p.ID, "client_secret", p.Secret).Want(200)
	var theirs tokens
	r.Decode(&theirs)
	wantOAuth(t, "OAuth's refresh token here", refresh(b, p, theirs.Refresh), 400, "invalid_grant", "refresh token is invalid or revoked")
	form(b, "/oauth/token", "grant_type", "refresh_token", "refresh_token", theirs.Refresh, "client_id", p.ID, "client_secret", p.Secret).Want(200)
	wantEnvelope(t, "OAuth's access token here", b.Do("GET", b.URL+accountPath, "", bearer(theirs.Access)), 401, "Access token doesn't exist in database")
	b.Do("POST", b.URL+"/oauth/token", `{"tag":"other"}`, "Content-Type: application/json").Want(400)
}

func TestIntrospect(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, other := b.NewPool(es256), b.NewPool(es256)
	got := login(b, p, "alice", "username", "Lee")
	me := account(b, got.Access)
	now := b.Clock.Now().Unix()
	var id struct{ Jti string }
	r := form(b, lookPath, "token", got.Access, "token_type_hint", "access-token", "client_id", p.ID, "client_secret", p.Secret).Want(200)
	r.Decode(&id)
	want := fmt.Sprintf(`{"active":true,"client_id":%[1]q,"username":"Lee","token_type":"Bearer","exp":%d,"iat":%[3]d,"nbf":%[3]d,"sub":%[4]q,"aud":[%[1]q],"iss":%[5]q,"jti":%[6]q}`,
		p.ID, now+1296000, now, me["id"], b.URL, id.Jti)
	if r.Body != want {
		t.Errorf("introspected\n%s\nwant\n%s", r.Body, want)
	}
	if body := b.Do("POST", b.URL+lookPath, pairs("token", got.Access), asForm, basic(p)).Want(200).Body; body != want {
		t.Errorf("with Basic\n%s\nwant\n%s", body, want)
	}
	var refresh struct {
		Active bool
		Exp    int64
		Sub    string
	}
	form(b, lookPath, "token", got.Refresh, "token_type_hint", "refresh_token", "client_id", p.ID, "client_secret", p.Secret).Want(200).Decode(&refresh)
	if !refresh.Active || refresh.Exp != now+30*24*3600 || refresh.Sub != me["id"] {
		t.Errorf("refresh token: %+v", refresh)
	}
	// The other pool may have a user of this id, too: whoever moved there.
	b.Admin("POST", "/admin/v1/pools/"+other.ID+"/users", fmt.Sprintf(`{"id":%q,"openid":"o-moved"}`, me["id"])).Want(201)
	for name, body := range map[string]string{
		"another pool's access token":  look(b, other, got.Access),
		"another pool's refresh token": look(b, other, got.Refresh),
		"nonsense":                     look(b, p, "a.b.c"),
		"other nonsense":               look(b, p, "abc"),
		"altered":                      look(b, p, got.Access[:len(got.Access)-2]+"AA"),
	} {
		if body != inactive {
			t.Errorf("%s: %s", name, body)
		}
	}
	bob := login(b, p, "bob")
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID+"/users/"+account(b, bob.Access)["id"].(string), `{"blocked":true}`).Want(200)
	if a, r := look(b, p, bob.Access), look(b, p, bob.Refresh); a != inactive || r != inactive {
		t.Errorf("of a blocked user: %s, %s", a, r)
	}
	b.Clock.Turn(15 * 24 * time.Hour)
	if got := look(b, p, got.Access); got != inactive {
		t.Errorf("at its end: %s", got)
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, other := b.NewPool(es256), b.NewPool(es256)
	revoke := func(pool bridgetest.Pool, token string) {
		t.Helper()
		if r := form(b, "/v1/iam/oauth/revoke", "token", token, "client_id", pool.ID).Want(200); r.Body != "" {
			t.Errorf("revoked with %s", r.Body)
		}
	}
	got := login(b, p, "alice")
	revoke(other, got.Access)
	revoke(other, got.Refresh)
	revoke(p, "nonsense")
	revoke(p, "a.b.c")
	account(b, got.Access)
	revoke(p, got.Access)
	if look(b, p, got.Access) != inactive || look(b, p, got.Refresh) == inactive {
		t.Error("revoking the access token: it holds, or its refresh token is gone")
	}
	got = login(b, p, "alice")
	revoke(p, got.Refresh)
	if look(b, p, got.Access) != inactive || look(b, p, got.Refresh) != inactive {
		t.Error("revoking the refresh token left something")
	}
	wantOAuth(t, "nothing", form(b, "/v1/iam/oauth/revoke", "client_id", p.ID), 400, "invalid_request", "token is required")
	wantOAuth(t, "wrong secret", form(b, "/v1/iam/oauth/revoke", "client_id", p.ID, "client_secret", "wrong", "token", "t"), 401, "invalid_client", "client_secret is invalid")
}
