package bridge_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
)

const key = "Idempotency-Key: 9f2c"

// A caller who lost the answer gets the same bytes again, however the token is
// signed, and has logged in once.
func TestRepeat(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	for _, alg := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			b := b.In(t)
			p := b.NewPool(member("tokenAlg", alg))
			body := object(member("ticket", b.Ticket(p, "alice")), member("secret", p.Secret))
			first := b.Post(redeemPath(p), body, key).Want(200)
			b.Clock.Turn(2 * time.Second)
			login(b, p, "alice") // another login in between changes the user, not the answer
			for range 3 {
				b.Clock.Turn(time.Second)
				if again := b.Post(redeemPath(p), body, key).Want(200); again.Body != first.Body {
					t.Errorf("got\n%s\nwant the first answer\n%s", again.Body, first.Body)
				}
			}
			var u redeemed
			first.Decode(&u)
			wantToken(t, b, u.Token, 200)
			if got := login(b, p, "alice").LoginsCount; got != 3 {
				t.Errorf("loginsCount %d after three logins and three repeats, want 3", got)
			}
		})
	}
}

// A caller whose address is local to a link gets the same bytes again, too: where
// the answer is made of what was kept, there is no zone.
func TestRepeatOnLink(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	body := object(member("ticket", b.Ticket(p, "alice")), member("secret", p.Secret))
	ask := func() string {
		r := httptest.NewRequest("POST", redeemPath(p), strings.NewReader(body))
		r.RemoteAddr = "[fe80::1%eth0]:49152"
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", "9f2c")
		w := httptest.NewRecorder()
		b.Server.Public().ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("got %d %s, want 200", w.Code, w.Body)
		}
		return w.Body.String()
	}
	first := ask()
	if !strings.Contains(first, `"lastIP":"fe80::1"`) {
		t.Errorf("got %s, want the address without its zone", first)
	}
	if again := ask(); again != first {
		t.Errorf("got\n%s\nwant the first answer\n%s", again, first)
	}
}

// What an operator changes in between is not in the answer that is given again,
// and a token that was given twice is revoked as one.
func TestRepeatAfterPatch(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	body := object(member("ticket", b.Ticket(p, "alice")), member("secret", p.Secret))
	first := b.Post(redeemPath(p), body, key).Want(200)
	patch(b, p, `"tokenTTL":3600`)
	again := b.Post(redeemPath(p), body, key).Want(200)
	if again.Body != first.Body {
		t.Errorf("got\n%s\nwant the first answer\n%s", again.Body, first.Body)
	}
	wantInvalid(b.Post(redeemPath(p), body))
	for _, r := range []bridgetest.Response{first, again} {
		var u redeemed
		r.Decode(&u)
		wantToken(t, b, u.Token, 2207)
	}
}

// A repeat passes every check again, and a refused one spoils nothing.
func TestRepeatIsChecked(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	ticket := b.Ticket(p, "alice", proofKey())
	right := object(member("ticket", ticket), member("secret", p.Secret), member("code_verifier", verifier))
	first := b.Post(redeemPath(p), right, key).Want(200)
	b.Post(redeemPath(p), object(member("ticket", ticket), member("code_verifier", verifier)), key).WantError(401, 4010, "secret_required")
	b.Post(redeemPath(p), object(member("ticket", ticket), `"secret":"x"`, member("code_verifier", verifier)), key).WantError(401, 4011, "invalid_secret")
	wantInvalid(b.Post(redeemPath(p), object(member("ticket", ticket), member("secret", p.Secret)), key))
	if again := b.Post(redeemPath(p), right, key).Want(200); again.Body != first.Body {
		t.Errorf("got\n%s\nwant the first answer\n%s", again.Body, first.Body)
	}
}

// The answer can be had again until the ticket's end. From then on the same
// request is a replay.
func TestRepeatEndsWithTicket(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	body := object(member("ticket", b.Ticket(p, "alice")), member("secret", p.Secret))
	var u redeemed
	b.Post(redeemPath(p), body, key).Want(200).Decode(&u)
	b.Clock.Turn(120*time.Second - time.Millisecond)
	b.Post(redeemPath(p), body, key).Want(200)
	wantToken(t, b, u.Token, 200)
	b.Clock.Turn(time.Millisecond)
	wantInvalid(b.Post(redeemPath(p), body, key))
	wantToken(t, b, u.Token, 2207)
}

// A blocked user's answer is not given again.
func TestRepeatOfBlockedUser(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	body := object(member("ticket", b.Ticket(p, "alice")), member("secret", p.Secret))
	var u redeemed
	b.Post(redeemPath(p), body, key).Want(200).Decode(&u)
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID+"/users/"+u.ID, `{"blocked":true}`).Want(200)
	b.Post(redeemPath(p), body, key).WantError(403, 2005, "user_blocked")
}

// A ticket shown again is refused; if the caller had every right to it but the
// first use, the token that it gave ends: somebody else may have that one.
func TestReplay(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	for _, row := range []struct {
		name          string
		first, second []string // headers
		settings      string
		token         int // its state afterwards
	}{
		{"no key at all", nil, nil, `"name":"a"`, 2207},
		{"a key, then none", []string{key}, nil, `"name":"a"`, 2207},
		{"none, then a key", nil, []string{key}, `"name":"a"`, 2207},
		{"another key", []string{key}, []string{key + "d"}, `"name":"a"`, 2207},
		{"revokeOnReplay false", nil, nil, `"revokeOnReplay":false`, 200},
		{"open pool", nil, nil, `"secretRequired":false`, 2207},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := b.In(t)
			p := b.NewPool()
			patch(b, p, row.settings)
			body := object(member("ticket", b.Ticket(p, "alice")), member("secret", p.Secret))
			var u redeemed
			b.Post(redeemPath(p), body, row.first...).Want(200).Decode(&u)
			wantToken(t, b, u.Token, 200)
			other := login(b, p, "alice")
			wantInvalid(b.Post(redeemPath(p), body, row.second...))
			wantToken(t, b, u.Token, row.token)
			wantToken(t, b, other.Token, 200) // only that ticket's token
			wantInvalid(b.Post(redeemPath(p), body, row.second...))
			wantToken(t, b, u.Token, row.token)
		})
	}
}

// A stranger's replay must not sign a user out.
func TestInvalidReplayRevokesNothing(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, other := b.NewPool(), b.NewPool()
	ticket := b.Ticket(p, "alice", proofKey())
	u := redeem(b, p, ticket, member("code_verifier", verifier))
	for _, row := range []struct {
		name   string
		replay func(b *bridgetest.Bridge) bridgetest.Response
		status int
		code   int
		slug   string
	}{
		{"no secret", func(b *bridgetest.Bridge) bridgetest.Response {
			return b.Post(redeemPath(p), object(member("ticket", ticket), member("code_verifier", verifier)))
		}, 401, 4010, "secret_required"},
		{"wrong secret", func(b *bridgetest.Bridge) bridgetest.Response {
			return b.Redeem(bridgetest.Pool{ID: p.ID, Secret: "x"}, ticket, member("code_verifier", verifier))
		}, 401, 4011, "invalid_secret"},
		{"another pool", func(b *bridgetest.Bridge) bridgetest.Response {
			return b.Redeem(other, ticket, member("code_verifier", verifier))
		}, 400, 4001, "invalid_ticket"},
		{"no verifier", func(b *bridgetest.Bridge) bridgetest.Response { return b.Redeem(p, ticket) }, 400, 4001, "invalid_ticket"},
		{"wrong verifier", func(b *bridgetest.Bridge) bridgetest.Response {
			return b.Redeem(p, ticket, member("code_verifier", fmt.Sprintf("%043d", 0)))
		}, 400, 4001, "invalid_ticket"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := b.In(t)
			row.replay(b).WantError(row.status, row.code, row.slug)
			wantToken(t, b, u.Token, 200)
		})
	}
	wantInvalid(b.Redeem(p, ticket, member("code_verifier", verifier)))
	wantToken(t, b, u.Token, 2207)
}

// A replay is a replay also after the ticket's end, as long as it is
// remembered.
func TestLateReplay(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	ticket := b.Ticket(p, "alice")
	u := redeem(b, p, ticket)
	b.Clock.Turn(120 * time.Second)
	wantInvalid(b.Redeem(p, ticket))
	wantToken(t, b, u.Token, 2207)
}
