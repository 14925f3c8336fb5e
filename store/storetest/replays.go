package storetest

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/store"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

func revoked(t *testing.T, s store.Store, jti string, redeemed time.Time) bool {
	t.Helper()
	return must[bool](t)(s.TokenRevoked(ctx, jti, redeemed.Truncate(time.Second).Add(time.Hour)))
}

func testReplay(t *testing.T, s store.Store) {
	seeded(t, s)
	tk := issue(t, s, T0, 1)
	first := T0.Add(time.Second)
	check(t, second(s.RedeemTicket(ctx, attempt(tk, first, "j1"))))
	if revoked(t, s, "j1", first) {
		t.Fatal("revoked before any replay")
	}
	// A replay is one after the ticket's end, too.
	for i, now := range []time.Time{first, tk.ExpiresAt.Add(time.Minute)} {
		done, err := s.RedeemTicket(ctx, attempt(tk, now, "j2"))
		wantErr(t, "replay", err, ticket.ErrRedeemed)
		if done.JTI != "j1" || !done.At.Equal(first) || done.Ticket.UserID != "u" || done.Revoked != (i == 0) {
			t.Errorf("replay %d: %+v", i, done)
		}
	}
	if !revoked(t, s, "j1", first) {
		t.Error("the first token is not revoked")
	}
	if revoked(t, s, "j2", first) {
		t.Error("a token that was never given is revoked")
	}
}

func testReplayKeepsToken(t *testing.T, s store.Store) {
	seeded(t, s)
	tk := issue(t, s, T0, 1)
	check(t, second(s.RedeemTicket(ctx, attempt(tk, T0, "j1"))))
	r := attempt(tk, T0, "j2")
	r.RevokeOnReplay = false
	done, err := s.RedeemTicket(ctx, r)
	wantErr(t, "replay", err, ticket.ErrRedeemed)
	if done.Revoked || revoked(t, s, "j1", T0) {
		t.Error("revoked although the pool keeps tokens on replay")
	}
}

func testInvalidReplay(t *testing.T, s store.Store) {
	seeded(t, s)
	tk := ticket.Ticket{Key: Key(T0, 1), PoolID: "p", UserID: "u", Challenge: "c", ExpiresAt: T0.Add(time.Minute)}
	check(t, s.CreateTicket(ctx, tk, T0))
	r := attempt(tk, T0, "j1")
	r.Challenge = "c"
	check(t, second(s.RedeemTicket(ctx, r)))
	r.Challenge = "wrong"
	_, err := s.RedeemTicket(ctx, r)
	wantErr(t, "wrong verifier", err, ticket.ErrVerifier)
	r.Challenge, r.PoolID = "c", "q"
	_, err = s.RedeemTicket(ctx, r)
	wantErr(t, "another pool", err, ticket.ErrUnknown)
	if revoked(t, s, "j1", T0) {
		t.Error("an invalid replay revoked the token")
	}
}

func testIdempotent(t *testing.T, s store.Store) {
	seeded(t, s)
	tk := issue(t, s, T0, 1)
	r := attempt(tk, T0.Add(time.Second), "j1")
	r.Idempotency = [32]byte{1}
	first := must[ticket.Redeemed](t)(s.RedeemTicket(ctx, r))
	// What happens to the user afterwards does not change the answer.
	check(t, second(s.UpdateUser(ctx, "p", "u", silent(func(u *userpool.User) error { u.Profile.Nickname = "new"; return nil }))))
	check(t, second(s.RedeemTicket(ctx, attempt(issue(t, s, T0, 2), T0, "j9"))))

	again := r
	again.JTI, again.Now, again.Addr = "j2", tk.ExpiresAt.Add(-time.Millisecond), netip.MustParseAddr("192.0.2.1")
	got := must[ticket.Redeemed](t)(s.RedeemTicket(ctx, again))
	first.Repeated = true
	same(t, "repeat", got, first)
	if n := must[userpool.User](t)(s.User(ctx, "p", "u")).Logins.Count; n != 2 {
		t.Errorf("logins after the repeat: %d, want 2", n)
	}
	if revoked(t, s, "j1", r.Now) {
		t.Error("the repeat revoked the token")
	}

	late := again
	late.Now = tk.ExpiresAt
	_, err := s.RedeemTicket(ctx, late)
	wantErr(t, "repeat at ExpiresAt", err, ticket.ErrRedeemed)

	check(t, second(s.UpdateUser(ctx, "p", "u", silent(func(u *userpool.User) error { u.Blocked = true; return nil }))))
	_, err = s.RedeemTicket(ctx, again)
	wantErr(t, "repeat of a blocked user", err, userpool.ErrBlocked)
}

// Another key, or none, is a replay.
func testIdempotentRace(t *testing.T, s store.Store) {
	seeded(t, s)
	tk := issue(t, s, T0, 1)
	var fresh, repeated atomic.Int32
	together(32, func(i int) {
		r := attempt(tk, T0, fmt.Sprint("j", i))
		r.Idempotency = [32]byte{7}
		done, err := s.RedeemTicket(ctx, r)
		switch {
		case err != nil:
			t.Error(err)
		case done.Repeated:
			repeated.Add(1)
		default:
			fresh.Add(1)
		}
	})
	if fresh.Load() != 1 || repeated.Load() != 31 {
		t.Errorf("32 with one key: %d fresh, %d repeated, want 1 and 31", fresh.Load(), repeated.Load())
	}
	for name, key := range map[string][32]byte{"another key": {8}, "no key": {}} {
		r := attempt(tk, T0, "j")
		r.Idempotency = key
		_, err := s.RedeemTicket(ctx, r)
		wantErr(t, name, err, ticket.ErrRedeemed)
	}
	// A first success without a key cannot be repeated with one.
	tk = issue(t, s, T0, 2)
	r := attempt(tk, T0, "k")
	check(t, second(s.RedeemTicket(ctx, r)))
	wantErr(t, "repeat without any key", second(s.RedeemTicket(ctx, r)), ticket.ErrRedeemed)
	r.Idempotency = [32]byte{7}
	wantErr(t, "repeat with a key", second(s.RedeemTicket(ctx, r)), ticket.ErrRedeemed)
}
