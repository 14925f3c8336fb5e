package sandbox_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"app2wxapp/wechat/sandbox"
)

func TestStableTokenChecks(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	w.AddApp(sandbox.App{ID: "wxlisted", Secret: secret, AllowedIPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
	w.AddApp(sandbox.App{ID: "wxlocal", Secret: secret, AllowedIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	const path = "/cgi-bin/stable_token"
	body := func(grant, app, secret string) string {
		return fmt.Sprintf(`{"grant_type":%q,"appid":%q,"secret":%q}`, grant, app, secret)
	}
	w.wantCode("GET", w.send("GET", path, ""), 43002)
	for _, row := range []struct {
		body string
		want int
	}{
		{"", 44002},
		{"appid=wx", 47001},
		{body("x", "", ""), 40002},
		{body("client_credential", "", ""), 41002},
		{body("client_credential", "wx", ""), 40013},
		{body("client_credential", appID, ""), 41004},
		{body("client_credential", appID, "x"), 40125},
		{body("client_credential", "wxlisted", "x"), 40125},
		{body("client_credential", "wxlisted", secret), 40164},
		{body("client_credential", "wxlocal", secret), 0},
		{body("client_credential", appID, secret), 0},
	} {
		w.wantCode("body "+row.body, w.send("POST", path, row.body), row.want)
	}
}

// accepted tells what getuserphonenumber says of a token.
func (w *world) accepted(what, token string, want int) {
	w.t.Helper()
	w.wantCode(what, w.phone(token, w.PhoneCode(appID, "alice", "13800138000"), ""), want)
}

func TestTokenLife(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	want := func(what string, got reply, token string, expiresIn int) {
		t.Helper()
		if got.Token != token || got.ExpiresIn != expiresIn {
			t.Errorf("%s: %s, want %s for %d s", what, got.Body, token, expiresIn)
		}
	}
	first := w.stableToken(false)
	want("first", first, first.Token, 7200)
	w.turn(6899 * time.Second)
	want("301 s before the end", w.stableToken(false), first.Token, 301)
	w.turn(time.Second - time.Millisecond)
	want("300.001 s before the end", w.stableToken(false), first.Token, 300)
	w.turn(time.Millisecond)
	second := w.stableToken(false)
	want("300 s before the end", second, second.Token, 7200)
	if second.Token == first.Token {
		t.Error("300 s before the end: the same token, want a new one")
	}
	w.accepted("old token, in the overlap", first.Token, 0)
	w.accepted("new token, in the overlap", second.Token, 0)
	w.turn(300*time.Second - time.Millisecond)
	w.accepted("old token, a millisecond before its end", first.Token, 0)
	w.turn(time.Millisecond)
	w.accepted("old token, at its end", first.Token, 42001)
	w.accepted("new token", second.Token, 0)
	w.turn(7200 * time.Second)
	w.accepted("new token, at its end", second.Token, 42001)
	w.stableToken(false)
	w.accepted("the token before the last", first.Token, 40001)
}

func TestForceRefresh(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	last := w.stableToken(false).Token
	for i := range 20 {
		r := w.stableToken(true)
		if r.Token == last || r.ExpiresIn != 7200 {
			t.Fatalf("%d: %s, want a new token", i, r.Body)
		}
		w.accepted("the replaced token", last, 40001)
		w.turn(30*time.Second - time.Millisecond)
		if again := w.stableToken(true); again.Token != r.Token {
			t.Fatalf("%d: within 30 s %s, want the same token", i, again.Body)
		}
		w.turn(time.Millisecond)
		last = r.Token
	}
	w.wantCode("the 21st of a day", w.stableToken(true), 45009)
	w.accepted("the token afterwards", last, 0)
	w.turn(24 * time.Hour)
	w.wantCode("a day later", w.stableToken(true), 0)
}

func TestKillToken(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	old := w.stableToken(false).Token
	w.KillToken(appID)
	code := w.PhoneCode(appID, "alice", "13800138000")
	w.wantCode("killed token", w.phone(old, code, ""), 40001)
	fresh := w.stableToken(false)
	if fresh.Token == old || fresh.ExpiresIn != 7200 {
		t.Errorf("after the kill: %s, want a new token", fresh.Body)
	}
	w.wantCode("the same code with the new token", w.phone(fresh.Token, code, ""), 0)
}

func TestLongTokens(t *testing.T) {
	w := newWorld(t, sandbox.Config{LongTokens: true})
	tok := w.stableToken(false).Token
	if len(tok) != 512 {
		t.Errorf("token of %d characters, want 512", len(tok))
	}
	w.accepted("long token", tok, 0)
}
