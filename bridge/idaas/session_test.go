package idaas_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
)

const life = 432000 * time.Second

// session is what a renewal gives.
func session(t testing.TB, r bridgetest.Response) answer {
	t.Helper()
	a := decoded(r.Want(200))
	if a.Status != "" || len(a.SessionToken) != 32 || strings.Trim(a.SessionToken, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
		t.Errorf("got %s, want a session_token of 32 letters and digits and no status", r.Body)
	}
	return a
}

// A session_token is the same until its end, and expire is what is left of it.
func TestSessionToken(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool()
	first := login(b, p, "alice")
	b.Clock.Turn(time.Hour)
	again := session(t, renew(b, p, first.SessionToken))
	if again.SessionToken != first.SessionToken || again.Expire != 432000-3600 || again.IDToken == first.IDToken {
		t.Errorf("an hour later: %+v", again)
	}
	b.Clock.Turn(life - time.Hour - 2*time.Second)
	last := session(t, call(b, p, idTokenPath, "rubbish", "session-token:  "+first.SessionToken+" "))
	if c := claims(t, last.IDToken); last.Expire != 2 || c["exp"].(float64)-c["iat"].(float64) > 2 {
		t.Errorf("two seconds before the end: %+v, claims %v", last, c)
	}
	b.Clock.Turn(2 * time.Second)
	wantError(t, "at the end", renew(b, p, first.SessionToken), 400, "SDK.PARAM.0023", noSession)
}

// A pool whose session tokens slide replaces them, and takes the one before for
// thirty seconds more: whoever lost an answer, or asks twice, gets the same.
func TestSessionTokenSlides(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool(`"sessionTokenSliding":true`, `"sessionTokenTTL":3600`)
	first := login(b, p, "alice")
	if first.Expire != 3600 {
		t.Errorf("expire %d, want 3600", first.Expire)
	}
	b.Clock.Turn(30*time.Second - time.Millisecond)
	if young := session(t, renew(b, p, first.SessionToken)); young.SessionToken != first.SessionToken {
		t.Error("a token of half a minute was replaced")
	}
	b.Clock.Turn(time.Millisecond)
	var all [8]answer
	var callers sync.WaitGroup
	for i := range all {
		callers.Go(func() { all[i] = session(t, renew(b, p, first.SessionToken)) })
	}
	callers.Wait()
	next := all[0]
	for _, a := range all {
		if a.SessionToken != next.SessionToken || a.SessionToken == first.SessionToken || a.Expire != 3600 {
			t.Errorf("of those who asked at once one got %+v, another %+v", next, a)
		}
	}
	b.Clock.Turn(30*time.Second - time.Millisecond)
	if lost := session(t, renew(b, p, first.SessionToken)); lost.SessionToken != next.SessionToken || lost.Expire != 3570 {
		t.Errorf("the lost answer again: %+v, want the session_token of %+v", lost, next)
	}
	b.Clock.Turn(time.Minute)
	third := session(t, renew(b, p, next.SessionToken))
	wantError(t, "the first one much later", renew(b, p, first.SessionToken), 400, "SDK.PARAM.0023", noSession)
	wantError(t, "the newest one after that", renew(b, p, third.SessionToken), 400, "SDK.PARAM.0023", noSession)
	if r := b.Admin("GET", "/admin/v1/audit?type=session.reused", "").Want(200); !strings.Contains(r.Body, `"session.reused"`) {
		t.Errorf("audit: %s", r.Body)
	}
	userInfo(b, third.IDToken).Want(401)
}

// Sliding goes on for a year at most.
func TestSessionTokenEnds(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool(`"sessionTokenSliding":true`, `"sessionTokenTTL":31536000`)
	first := login(b, p, "alice")
	b.Clock.Turn(364 * 24 * time.Hour)
	if next := session(t, renew(b, p, first.SessionToken)); next.Expire != 24*3600 {
		t.Errorf("a day before the end: %d seconds left, want %d", next.Expire, 24*3600)
	}
}

// What ends a user's sessions ends those of this dialect, too.
func TestSessionDies(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool()
	for name, end := range map[string]func(path string){
		"signed out": func(path string) { b.Admin("POST", path+"/revoke", "").Want(200) },
		"blocked":    func(path string) { b.Admin("PATCH", path, `{"blocked":true}`).Want(200) },
		"unbound": func(path string) {
			var u struct{ Identities []struct{ ID string } }
			b.Admin("GET", path, "").Want(200).Decode(&u)
			b.Admin("DELETE", path+"/identities/"+u.Identities[0].ID, "").Want(204)
		},
	} {
		got := login(b, p, name)
		userInfo(b, got.IDToken).Want(200)
		b.Clock.Turn(time.Second)
		end("/admin/v1/pools/" + p.ID + "/users/" + claims(t, got.IDToken)["sub"].(string))
		wantError(t, name, renew(b, p, got.SessionToken), 400, "SDK.PARAM.0023", noSession)
		userInfo(b, got.IDToken).Want(401)
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p, other := b.NewPool(), b.NewPool()
	got := login(b, p, "alice")
	out := func(p bridgetest.Pool, token string) {
		t.Helper()
		if r := b.Do("GET", b.URL+logoutPath, "", device(p, "session-token: "+token)...).Want(200); r.Body != "" {
			t.Errorf("body %q", r.Body)
		}
	}
	out(other, got.SessionToken)
	out(p, "")
	out(p, "unknown")
	session(t, renew(b, p, got.SessionToken))
	for range 2 {
		out(p, got.SessionToken)
		wantError(t, "after logout", renew(b, p, got.SessionToken), 400, "SDK.PARAM.0023", noSession)
		userInfo(b, got.IDToken).Want(401)
	}
}

// The store has no session_token, and the log neither that nor a state_token.
func TestNothingInClear(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool(signupBind)
	begun := login(b, p, "alice")
	got := decoded(call(b, p, bindPath, phoneCode(b, "alice", "13987654321"), "X-state-token: "+begun.StateToken).Want(200))
	renew(b, p, got.SessionToken).Want(200)
	call(b, p, idTokenPath, "", "session-token: "+strings.Repeat("A", 32)).Want(400)
	stored := b.Stored()
	if !strings.Contains(stored, claims(t, got.IDToken)["sub"].(string)) {
		t.Fatal("the store has no user id: the search finds nothing at all")
	}
	for what, secret := range map[string]string{
		"session_token": got.SessionToken, "half of the session_token": got.SessionToken[:16], "state_token": begun.StateToken,
		"id_token": got.IDToken, "phone": "13987654321", "device": "156aysdna213sc50",
	} {
		if strings.Contains(stored, secret) {
			t.Errorf("the store has the %s", what)
		}
		if strings.Contains(b.Log.String(), secret) {
			t.Errorf("the log has the %s", what)
		}
	}
}
