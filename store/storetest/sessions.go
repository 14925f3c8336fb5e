package storetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// Session returns a session of user u in pool p, with every field set but
// Ended, that began at T0. Its refresh tokens share the id's family; the n-th
// one is refreshed(id, n), from 0.
func Session(id string) token.Session {
	return token.Session{
		ID: id, PoolID: "p", UserID: "u", Kind: token.KindAccess, Scope: "openid phone",
		CreatedAt: T0, ExpiresAt: T0.Truncate(time.Second).Add(30 * 24 * time.Hour),
		JTI: id, TokenEnd: T0.Truncate(time.Second).Add(time.Hour),
		Family: sha256.Sum256([]byte("family of " + id)), Refresh: refreshed(id, 0),
	}
}

func refreshed(id string, n int) [32]byte { return sha256.Sum256(fmt.Append(nil, id, n)) }

// rotation is an attempt that shows the session's n-th refresh token at T0 +
// n minutes, and gets the next one.
func rotation(id string, n int) token.Rotation {
	now := T0.Add(time.Duration(n) * time.Minute)
	return token.Rotation{
		SessionID: id, PoolID: "p", Kind: token.KindAccess, Family: Session(id).Family, Shown: refreshed(id, n), Now: now,
		By:   audit.Actor{Role: audit.Caller, Addr: netip.MustParseAddr("203.0.113.7")},
		Next: refreshed(id, n+1), ExpiresAt: Session(id).ExpiresAt.Add(time.Duration(n+1) * time.Minute),
		JTI: fmt.Sprint(id, "-", n+1), TokenEnd: Session(id).TokenEnd.Add(time.Duration(n+1) * time.Minute),
	}
}

// rotated is the session after the rotation of that number.
func rotated(id string, n int) token.Session { return Session(id).Rotated(rotation(id, n)) }

func testSessions(t *testing.T, s store.Store) {
	seeded(t, s)
	_, err := s.Session(ctx, "s")
	wantErr(t, "unknown session", err, token.ErrSession)
	want := Session("s")
	check(t, s.CreateSession(ctx, want))
	same(t, "session", must[token.Session](t)(s.Session(ctx, "s")), want)

	// The same again is the same; anything else under its id is none.
	check(t, s.CreateSession(ctx, want))
	other := want
	other.Refresh = refreshed("s", 7)
	wantErr(t, "another one of this id", s.CreateSession(ctx, other), token.ErrSession)
	other = want
	other.PoolID = "q"
	wantErr(t, "one of another pool", s.CreateSession(ctx, other), token.ErrSession)
	same(t, "session afterwards", must[token.Session](t)(s.Session(ctx, "s")), want)

	bare := token.Session{ID: "bare", PoolID: "p", UserID: "u", CreatedAt: T0, ExpiresAt: T0.Add(time.Hour), TokenEnd: T0.Add(time.Hour)}
	check(t, s.CreateSession(ctx, bare))
	same(t, "session without anything", must[token.Session](t)(s.Session(ctx, "bare")), bare)
}

func testSessionsRotate(t *testing.T, s store.Store) {
	seeded(t, s)
	check(t, s.CreateSession(ctx, Session("s")))
	for n := range 3 {
		r := rotation("s", n)
		r.RevokePrevious = n == 2
		same(t, fmt.Sprint("rotation ", n), must[token.Session](t)(s.RotateSession(ctx, r)), rotated("s", n))
		same(t, "stored", must[token.Session](t)(s.Session(ctx, "s")), rotated("s", n))
	}
	for jti, want := range map[string]bool{"s": false, "s-1": false, "s-2": true, "s-3": false} {
		end := Session("s").TokenEnd
		if jti != "s" {
			end = end.Add(time.Duration(jti[2]-'0') * time.Minute)
		}
		if got := must[bool](t)(s.TokenRevoked(ctx, jti, end)); got != want {
			t.Errorf("token %s revoked: %v, want %v", jti, got, want)
		}
	}
	wantErr(t, "begun again after a rotation", s.CreateSession(ctx, Session("s")), token.ErrSession)
}

// Who is refused changes nothing.
func testSessionsRefusals(t *testing.T, s store.Store) {
	seeded(t, s)
	check(t, s.CreateSession(ctx, Session("s")))
	for _, row := range []struct {
		name   string
		change func(*token.Rotation)
		want   error
	}{
		{"unknown session", func(r *token.Rotation) { r.SessionID = "x" }, token.ErrSession},
		{"another pool", func(r *token.Rotation) { r.PoolID = "q" }, token.ErrSession},
		{"another kind", func(r *token.Rotation) { r.Kind = token.KindCasdoor }, token.ErrSession},
		{"no kind", func(r *token.Rotation) { r.Kind = 0 }, token.ErrSession},
		{"another family", func(r *token.Rotation) { r.Family[0]++ }, token.ErrSession},
		{"another family, an old refresh token", func(r *token.Rotation) { r.Family[0]++; r.Shown[0]++ }, token.ErrSession},
		{"another pool, an old refresh token", func(r *token.Rotation) { r.PoolID = "q"; r.Shown[0]++ }, token.ErrSession},
		{"at its end", func(r *token.Rotation) { r.Now = Session("s").ExpiresAt }, token.ErrSessionExpired},
		{"at its end, an old refresh token", func(r *token.Rotation) { r.Now = Session("s").ExpiresAt; r.Shown[0]++ }, token.ErrSessionExpired},
	} {
		r := rotation("s", 0)
		row.change(&r)
		_, err := s.RotateSession(ctx, r)
		wantErr(t, row.name, err, row.want)
		if !errors.Is(err, token.ErrSession) {
			t.Errorf("%s: %v is not ErrSession", row.name, err)
		}
	}
	wantTold(t, "refusals", s, "")
	r := rotation("s", 0)
	r.Now = Session("s").ExpiresAt.Add(-time.Millisecond)
	check(t, second(s.RotateSession(ctx, r)))
}

// A refresh token that was exchanged is in two hands: the session ends.
func testSessionsReuse(t *testing.T, s store.Store) {
	seeded(t, s)
	check(t, s.CreateSession(ctx, Session("s")))
	check(t, second(s.RotateSession(ctx, rotation("s", 0))))
	_, err := s.RotateSession(ctx, rotation("s", 0))
	wantErr(t, "the first one again", err, token.ErrReused)
	if got := must[token.Session](t)(s.Session(ctx, "s")); !got.Ended || got.JTI != "s-1" {
		t.Errorf("session after reuse: %+v, want it ended", got)
	}
	_, err = s.RotateSession(ctx, rotation("s", 1))
	wantErr(t, "the newest one afterwards", err, token.ErrSession)
	_, err = s.RotateSession(ctx, rotation("s", 0))
	wantErr(t, "the first one a third time", err, token.ErrSession)
	events := list(t, s, audit.Query{})
	if len(events) != 1 {
		t.Fatalf("%d events, want one", len(events))
	}
	events[0].ID = ""
	same(t, "event", events[0], audit.Event{
		At: T0, Type: audit.SessionReused, PoolID: "p", UserID: "u", By: audit.Actor{Role: audit.Caller, Addr: netip.MustParseAddr("203.0.113.7")},
		Detail: map[string]string{audit.JTI: "s-1"},
	})
	whole(t, s, 1)
	wantErr(t, "begun again", s.CreateSession(ctx, Session("s")), token.ErrSession)
}

// Of many who show one refresh token one gets the next, and the first of the
// others ends the session.
func testSessionsRace(t *testing.T, s store.Store) {
	seeded(t, s)
	const sessions, tries = 8, 8
	for i := range sessions {
		check(t, s.CreateSession(ctx, Session(fmt.Sprint("s", i))))
	}
	var won, reused atomic.Int32
	together(sessions*tries, func(i int) {
		r := rotation(fmt.Sprint("s", i%sessions), 0)
		r.JTI, r.Next = fmt.Sprint("j", i), refreshed(r.SessionID, 100+i)
		_, err := s.RotateSession(ctx, r)
		switch {
		case err == nil:
			won.Add(1)
		case errors.Is(err, token.ErrReused):
			reused.Add(1)
		case !errors.Is(err, token.ErrSession):
			t.Error(err)
		}
	})
	if won.Load() != sessions || reused.Load() != sessions {
		t.Errorf("%d sessions, %d attempts each: %d successes and %d reuses, want one of each for each", sessions, tries, won.Load(), reused.Load())
	}
	for i := range sessions {
		if got := must[token.Session](t)(s.Session(ctx, fmt.Sprint("s", i))); !got.Ended {
			t.Errorf("session %d goes on", i)
		}
	}
}

// Blocking and signing out end what began before.
func testSessionsOfUsers(t *testing.T, s store.Store) {
	seeded(t, s)
	check(t, s.CreateSession(ctx, Session("before")))
	after := Session("after")
	after.CreatedAt = T0.Add(time.Millisecond)
	check(t, s.CreateSession(ctx, after))
	check(t, second(s.UpdateUser(ctx, "p", "u", silent(func(u *userpool.User) error { u.NotBefore = T0; return nil }))))
	_, err := s.RotateSession(ctx, rotation("before", 0))
	wantErr(t, "a session of that moment", err, token.ErrSession)
	check(t, second(s.RotateSession(ctx, rotation("after", 0))))

	check(t, second(s.UpdateUser(ctx, "p", "u", silent(func(u *userpool.User) error { u.Blocked = true; return nil }))))
	_, err = s.RotateSession(ctx, rotation("after", 1))
	wantErr(t, "a blocked user", err, userpool.ErrBlocked)
	check(t, second(s.UpdateUser(ctx, "p", "u", silent(func(u *userpool.User) error { u.Blocked = false; return nil }))))
	check(t, second(s.RotateSession(ctx, rotation("after", 1))))
}

// A valid replay of the ticket ends its session, and one that has not begun yet
// never does.
func testSessionsOfReplay(t *testing.T, s store.Store) {
	seeded(t, s)
	for n, begun := range []bool{true, false} {
		id := fmt.Sprint("j", n)
		tk := issue(t, s, T0, n)
		check(t, second(s.RedeemTicket(ctx, attempt(tk, T0, id))))
		if begun {
			check(t, s.CreateSession(ctx, Session(id)))
		}
		_, err := s.RedeemTicket(ctx, attempt(tk, T0, "x"))
		wantErr(t, "replay", err, ticket.ErrRedeemed)
		wantErr(t, "begun after the replay", s.CreateSession(ctx, Session(id)), token.ErrSession)
		_, err = s.RotateSession(ctx, rotation(id, 0))
		wantErr(t, "refreshed after the replay", err, token.ErrSession)
		if got := must[token.Session](t)(s.Session(ctx, id)); !got.Ended {
			t.Errorf("session after the replay: %+v, want it ended", got)
		}
	}
	tk := issue(t, s, T0, 7)
	check(t, second(s.RedeemTicket(ctx, attempt(tk, T0, "kept"))))
	check(t, s.CreateSession(ctx, Session("kept")))
	r := attempt(tk, T0, "x")
	r.RevokeOnReplay = false
	_, err := s.RedeemTicket(ctx, r)
	wantErr(t, "replay that revokes nothing", err, ticket.ErrRedeemed)
	check(t, second(s.RotateSession(ctx, rotation("kept", 0))))
}

// However a replay and the beginning of the session meet, the session is over.
func testSessionsOfReplayRace(t *testing.T, s store.Store) {
	seeded(t, s)
	for n := range 20 {
		id := fmt.Sprint("j", n)
		tk := issue(t, s, T0, n)
		check(t, second(s.RedeemTicket(ctx, attempt(tk, T0, id))))
		together(2, func(i int) {
			if i == 0 {
				_, err := s.RedeemTicket(ctx, attempt(tk, T0, "x"))
				wantErr(t, "replay", err, ticket.ErrRedeemed)
			} else if err := s.CreateSession(ctx, Session(id)); err != nil && !errors.Is(err, token.ErrSession) {
				t.Error(err)
			}
		})
		if got := must[token.Session](t)(s.Session(ctx, id)); !got.Ended {
			t.Errorf("session %d goes on: %+v", n, got)
		}
	}
}

// A rotation that has a grace is made once, and whoever makes the same again in
// that time neither ends the session nor changes it.
func testSessionsGrace(t *testing.T, s store.Store) {
	seeded(t, s)
	check(t, s.CreateSession(ctx, Session("s")))
	const tries = 8
	rotations := make([]token.Rotation, tries)
	for i := range rotations {
		r := rotation("s", 0)
		r.Grace, r.JTI = 30*time.Second, userpool.NewID(T0)
		rotations[i] = r
	}
	var won atomic.Int32
	together(tries, func(i int) {
		_, err := s.RotateSession(ctx, rotations[i])
		switch {
		case err == nil:
			won.Add(1)
		case !errors.Is(err, token.ErrRepeated):
			t.Error(err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d of %d rotations succeeded, want one", won.Load(), tries)
	}
	wantTold(t, "repeats", s, "")
	stored := must[token.Session](t)(s.Session(ctx, "s"))
	again := rotations[0]
	again.Now = T0.Truncate(time.Millisecond).Add(30*time.Second - time.Millisecond)
	_, err := s.RotateSession(ctx, again)
	wantErr(t, "a moment before the end of the grace", err, token.ErrRepeated)
	same(t, "session after repeats", must[token.Session](t)(s.Session(ctx, "s")), stored)

	check(t, second(s.UpdateUser(ctx, "p", "u", silent(func(u *userpool.User) error { u.Blocked = true; return nil }))))
	_, err = s.RotateSession(ctx, again)
	wantErr(t, "a blocked user", err, userpool.ErrBlocked)
	check(t, second(s.UpdateUser(ctx, "p", "u", silent(func(u *userpool.User) error { u.Blocked = false; return nil }))))

	again.Now = again.Now.Add(time.Millisecond)
	_, err = s.RotateSession(ctx, again)
	wantErr(t, "at the end of the grace", err, token.ErrReused)
}

func testSessionsEnd(t *testing.T, s store.Store) {
	seeded(t, s)
	check(t, s.CreateSession(ctx, Session("s")))
	check(t, s.EndSession(ctx, "q", "s"))
	check(t, s.EndSession(ctx, "p", "unknown"))
	same(t, "session after another pool's end", must[token.Session](t)(s.Session(ctx, "s")), Session("s"))
	for range 2 {
		check(t, s.EndSession(ctx, "p", "s"))
		if got := must[token.Session](t)(s.Session(ctx, "s")); !got.Ended {
			t.Error("session goes on after its end")
		}
	}
	_, err := s.RotateSession(ctx, rotation("s", 0))
	wantErr(t, "refreshed after its end", err, token.ErrSession)
	wantErr(t, "begun again after its end", s.CreateSession(ctx, Session("s")), token.ErrSession)
}

func testSessionsSweep(t *testing.T, s store.Store) {
	seeded(t, s)
	for _, id := range []string{"a", "b", "c"} {
		check(t, s.CreateSession(ctx, Session(id)))
	}
	check(t, second(s.RotateSession(ctx, rotation("b", 0))))
	check(t, s.EndSession(ctx, "p", "c"))
	sweep := func(now time.Time, limit, want int, left ...string) {
		t.Helper()
		if n := must[int](t)(s.SweepTickets(ctx, now, limit)); n != want {
			t.Errorf("sweep at %v: %d, want %d", now, n, want)
		}
		for _, id := range left {
			must[token.Session](t)(s.Session(ctx, id))
		}
	}
	end := Session("a").ExpiresAt
	sweep(end.Add(-time.Millisecond), 100, 0, "a", "b", "c")
	sweep(end, 1, 1, "b")
	sweep(end, 100, 1, "b")
	for _, id := range []string{"a", "c"} {
		_, err := s.Session(ctx, id)
		wantErr(t, "swept session "+id, err, token.ErrSession)
	}
	sweep(rotated("b", 0).ExpiresAt.Add(-time.Millisecond), 100, 0, "b")
	sweep(rotated("b", 0).ExpiresAt, 100, 1)
	_, err := s.Session(ctx, "b")
	wantErr(t, "swept session b", err, token.ErrSession)
}

func testRevokeToken(t *testing.T, s store.Store) {
	end := T0.Truncate(time.Second)
	for range 2 {
		check(t, s.RevokeToken(ctx, "j", end))
		if !must[bool](t)(s.TokenRevoked(ctx, "j", end)) {
			t.Error("the token is not on the deny-list")
		}
	}
	if !must[bool](t)(s.TokenRevoked(ctx, "j", end.Add(time.Second-time.Millisecond))) {
		t.Error("the token is not on the deny-list under its end before it was rounded")
	}
	if must[bool](t)(s.TokenRevoked(ctx, "k", end)) || must[bool](t)(s.TokenRevoked(ctx, "j", end.Add(time.Second))) {
		t.Error("another token is on the deny-list")
	}
	if n := must[int](t)(s.SweepTickets(ctx, end, 100)); n != 1 {
		t.Errorf("sweep at the token's end: %d, want 1", n)
	}
}

// Whatever puts a token on the deny-list, a fraction of its end is no matter.
func testRevokeTokenSeconds(t *testing.T, s store.Store) {
	seeded(t, s)
	end := T0.Truncate(time.Second).Add(time.Hour)
	fraction := end.Add(412 * time.Millisecond)
	check(t, s.RevokeToken(ctx, "by hand", fraction))

	session := Session("s")
	session.TokenEnd = fraction
	check(t, s.CreateSession(ctx, session))
	r := rotation("s", 0)
	r.RevokePrevious = true
	check(t, second(s.RotateSession(ctx, r)))

	tk := issue(t, s, T0, 1)
	redemption := attempt(tk, T0, "by a replay")
	redemption.TokenExpiresAt = fraction
	check(t, second(s.RedeemTicket(ctx, redemption)))
	wantErr(t, "replay", second(s.RedeemTicket(ctx, redemption)), ticket.ErrRedeemed)

	for _, jti := range []string{"by hand", "s", "by a replay"} {
		for _, at := range []time.Time{end, fraction} {
			if !must[bool](t)(s.TokenRevoked(ctx, jti, at)) {
				t.Errorf("%s: not on the deny-list, asked for %v", jti, at)
			}
		}
	}
	// They are swept in the second of their end, and the session that the ticket
	// was not to begin at its own.
	if n := must[int](t)(s.SweepTickets(ctx, end.Add(-time.Millisecond), 100)); n != 1 {
		t.Errorf("sweep before the end: %d, want the ticket", n)
	}
	if n := must[int](t)(s.SweepTickets(ctx, end, 100)); n != 3 {
		t.Errorf("sweep at the end: %d, want 3", n)
	}
}
