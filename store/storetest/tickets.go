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
	"app2wxapp/userpool"
)

// Key returns the key of the n-th ticket issued at that moment.
func Key(issued time.Time, n int) (k ticket.Key) {
	ms := issued.UnixMilli()
	for i := range 6 {
		k[i] = byte(ms >> (8 * (5 - i)))
	}
	sum := sha256.Sum256(fmt.Append(nil, n))
	copy(k[6:], sum[:])
	return k
}

// seeded returns the store with pools p and q and user u in p.
func seeded(t *testing.T, s store.Store) store.Store {
	t.Helper()
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreatePool(ctx, Pool("q"), audit.Event{}))
	u := User("p", "u")
	u.Logins = userpool.Logins{}
	check(t, s.CreateUser(ctx, u))
	return s
}

// issue stores the n-th ticket of user u, issued at that moment for two minutes.
func issue(t *testing.T, s store.Store, at time.Time, n int) ticket.Ticket {
	t.Helper()
	tk := ticket.Ticket{Key: Key(at, n), PoolID: "p", UserID: "u", AppID: "wx1", SourceApp: "wxapp", ExpiresAt: at.Add(120 * time.Second)}
	check(t, s.CreateTicket(ctx, tk, at))
	return tk
}

func attempt(tk ticket.Ticket, now time.Time, jti string) ticket.Redemption {
	return ticket.Redemption{
		PoolID: "p", Key: tk.Key, Addr: netip.MustParseAddr("203.0.113.7"), Now: now,
		JTI: jti, TokenExpiresAt: now.Truncate(time.Second).Add(time.Hour), RevokeOnReplay: true,
	}
}

func testRedeem(t *testing.T, s store.Store) {
	seeded(t, s)
	tk := issue(t, s, T0, 1)
	now := T0.Add(3 * time.Second)
	got := must[ticket.Redeemed](t)(s.RedeemTicket(ctx, attempt(tk, now, "j1")))
	want := User("p", "u")
	want.Logins = userpool.Logins{Count: 1, Last: now, Addr: netip.MustParseAddr("203.0.113.7")}
	same(t, "redeemed", got, ticket.Redeemed{Ticket: tk, User: want, JTI: "j1", TokenExpiresAt: now.Truncate(time.Second).Add(time.Hour), At: now})
	same(t, "stored user", must[userpool.User](t)(s.User(ctx, "p", "u")), want)

	tk = issue(t, s, T0, 2)
	got = must[ticket.Redeemed](t)(s.RedeemTicket(ctx, attempt(tk, now, "j2")))
	if got.User.Logins.Count != 2 {
		t.Errorf("second login counts %d, want 2", got.User.Logins.Count)
	}
}

// A refused caller must not use a ticket up.
func testRedeemRefusals(t *testing.T, s store.Store) {
	seeded(t, s)
	check(t, s.CreateUser(ctx, User("q", "u")))
	plain := issue(t, s, T0, 1)
	bound := ticket.Ticket{Key: Key(T0, 2), PoolID: "p", UserID: "u", Challenge: "challenge-a", ExpiresAt: T0.Add(120 * time.Second)}
	check(t, s.CreateTicket(ctx, bound, T0))
	for _, row := range []struct {
		name   string
		ticket ticket.Ticket
		change func(*ticket.Redemption)
		want   error
	}{
		{"guess", plain, func(r *ticket.Redemption) { r.Key = Key(T0, 99) }, ticket.ErrUnknown},
		{"right hash, other time", plain, func(r *ticket.Redemption) { r.Key = Key(T0.Add(time.Millisecond), 1) }, ticket.ErrUnknown},
		{"another pool", plain, func(r *ticket.Redemption) { r.PoolID = "q" }, ticket.ErrUnknown},
		{"verifier without challenge", plain, func(r *ticket.Redemption) { r.Challenge = "challenge-a" }, ticket.ErrVerifier},
		{"no verifier", bound, func(*ticket.Redemption) {}, ticket.ErrVerifier},
		{"wrong verifier", bound, func(r *ticket.Redemption) { r.Challenge = "challenge-b" }, ticket.ErrVerifier},
		{"expired", plain, func(r *ticket.Redemption) { r.Now = T0.Add(120 * time.Second) }, ticket.ErrExpired},
	} {
		r := attempt(row.ticket, T0.Add(time.Second), "lost")
		row.change(&r)
		got, err := s.RedeemTicket(ctx, r)
		wantErr(t, row.name, err, row.want)
		if !errors.Is(err, ticket.ErrInvalid) {
			t.Errorf("%s: %v is not ErrInvalid", row.name, err)
		}
		with := ticket.Redeemed{Ticket: row.ticket}
		if row.want == ticket.ErrUnknown {
			with = ticket.Redeemed{} // whose it is, is nothing to this pool
		}
		same(t, "with the refusal: "+row.name, got, with)
	}
	check(t, second(s.RedeemTicket(ctx, attempt(plain, T0.Add(time.Second), "j1"))))
	r := attempt(bound, T0.Add(time.Second), "j2")
	r.Challenge = "challenge-a"
	check(t, second(s.RedeemTicket(ctx, r)))
	if n := must[userpool.User](t)(s.User(ctx, "p", "u")).Logins.Count; n != 2 {
		t.Errorf("logins: %d, want 2", n)
	}
}

func second[T any](_ T, err error) error { return err }

// Without the verifier nothing can be learned of a ticket; a blocked user is
// told so only by a ticket that is otherwise good.
func testRedeemOrder(t *testing.T, s store.Store) {
	seeded(t, s)
	tk := issue(t, s, T0, 1)
	check(t, second(s.UpdateUser(ctx, "p", "u", silent(func(u *userpool.User) error {
		u.Blocked, u.NotBefore = true, T0.Add(time.Second)
		return nil
	}))))
	r := attempt(tk, T0.Add(2*time.Second), "j")
	got, err := s.RedeemTicket(ctx, r)
	wantErr(t, "blocked", err, userpool.ErrBlocked)
	same(t, "with the refusal of a blocked user", got, ticket.Redeemed{Ticket: tk})
	r.Challenge = "x"
	_, err = s.RedeemTicket(ctx, r)
	wantErr(t, "blocked, wrong verifier", err, ticket.ErrVerifier)
	r = attempt(tk, T0.Add(120*time.Second), "j")
	_, err = s.RedeemTicket(ctx, r)
	wantErr(t, "blocked, expired", err, ticket.ErrExpired)
	r.Challenge = "x"
	_, err = s.RedeemTicket(ctx, r)
	wantErr(t, "expired, wrong verifier", err, ticket.ErrVerifier)
}

// Being blocked refuses by itself, also a ticket that is newer than whatever
// ended the user's sessions, and costs the ticket nothing.
func testRedeemBlocked(t *testing.T, s store.Store) {
	seeded(t, s)
	tk := issue(t, s, T0, 1)
	for _, blocked := range []bool{true, false} {
		check(t, second(s.UpdateUser(ctx, "p", "u", silent(func(u *userpool.User) error { u.Blocked = blocked; return nil }))))
		var want error
		if blocked {
			want = userpool.ErrBlocked
		}
		_, err := s.RedeemTicket(ctx, attempt(tk, T0.Add(time.Second), "j"))
		wantErr(t, fmt.Sprint("blocked ", blocked), err, want)
	}
}

func testRedeemBoundary(t *testing.T, s store.Store) {
	seeded(t, s)
	tk := issue(t, s, T0, 1)
	_, err := s.RedeemTicket(ctx, attempt(tk, tk.ExpiresAt, "j"))
	wantErr(t, "at ExpiresAt", err, ticket.ErrExpired)
	_, err = s.RedeemTicket(ctx, attempt(tk, tk.ExpiresAt.Add(-time.Millisecond), "j"))
	wantErr(t, "a millisecond earlier", err, nil)
}

// Once a ticket has been seen to be over it is over, also for a clock that is
// behind: whoever issued the next one may have counted on it.
func testEndedByAnotherClock(t *testing.T, s store.Store) {
	seeded(t, s)
	tk := issue(t, s, T0, 1)
	next := issue(t, s, tk.ExpiresAt, 2)
	behind := tk.ExpiresAt.Add(-time.Millisecond)
	over := func(when string, blocked bool) {
		t.Helper()
		_, err := s.RedeemTicket(ctx, attempt(tk, behind, "j1"))
		if !errors.Is(err, ticket.ErrExpired) && (blocked || !errors.Is(err, ticket.ErrVoid)) && (!blocked || !errors.Is(err, userpool.ErrBlocked)) {
			t.Errorf("%s: got %v, want that it has ended or is void", when, err)
		}
	}
	over("one that has ended by another clock", false)
	r := attempt(tk, behind, "j1")
	r.Challenge = "x"
	_, err := s.RedeemTicket(ctx, r)
	wantErr(t, "the same, wrong verifier", err, ticket.ErrVerifier)
	check(t, second(s.RedeemTicket(ctx, attempt(next, behind, "j2"))))
	for i := range ticket.MaxLive + 1 {
		issue(t, s, tk.ExpiresAt.Add(time.Duration(i)*time.Millisecond), 3+i)
	}
	over("after younger ones were voided", false)
	check(t, second(s.UpdateUser(ctx, "p", "u", silent(func(u *userpool.User) error { u.Blocked = true; return nil }))))
	over("blocked", true)
	if n := must[userpool.User](t)(s.User(ctx, "p", "u")).Logins.Count; n != 1 {
		t.Errorf("logins: %d, want 1", n)
	}
}

func testRedeemRace(t *testing.T, s store.Store) {
	seeded(t, s)
	tk := issue(t, s, T0, 1)
	race(t, s, tk, 64)
	if n := must[userpool.User](t)(s.User(ctx, "p", "u")).Logins.Count; n != 1 {
		t.Errorf("logins: %d, want 1", n)
	}
}

// race redeems the ticket n times at once and wants one success.
func race(t *testing.T, s store.Store, tk ticket.Ticket, n int) {
	t.Helper()
	var won, replayed atomic.Int32
	together(n, func(i int) {
		_, err := s.RedeemTicket(ctx, attempt(tk, T0.Add(time.Second), fmt.Sprint("j", i)))
		switch {
		case err == nil:
			won.Add(1)
		case errors.Is(err, ticket.ErrRedeemed):
			replayed.Add(1)
		default:
			t.Error(err)
		}
	})
	if won.Load() != 1 || int(replayed.Load()) != n-1 {
		t.Errorf("%d at once: %d succeeded and %d were replays, want 1 and %d", n, won.Load(), replayed.Load(), n-1)
	}
}

// Different tickets, a few attempts at each, all at once: refusals in a group
// of writes must not disturb the others.
func testRedeemManyRaces(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	const users, tries = 40, 4
	tickets := make([]ticket.Ticket, users)
	for i := range tickets {
		u := User("p", fmt.Sprint("u", i))
		u.Logins = userpool.Logins{}
		check(t, s.CreateUser(ctx, u))
		tickets[i] = ticket.Ticket{Key: Key(T0, i), PoolID: "p", UserID: u.ID, ExpiresAt: T0.Add(time.Minute)}
		check(t, s.CreateTicket(ctx, tickets[i], T0))
	}
	var won atomic.Int32
	together(users*tries, func(i int) {
		tk := tickets[i%users]
		done, err := s.RedeemTicket(ctx, attempt(tk, T0, fmt.Sprint("j", i)))
		if err == nil {
			won.Add(1)
			if done.User.ID != tk.UserID {
				t.Errorf("ticket of %s gave %s", tk.UserID, done.User.ID)
			}
		} else if !errors.Is(err, ticket.ErrRedeemed) {
			t.Error(err)
		}
	})
	if won.Load() != users {
		t.Errorf("%d tickets, %d attempts each: %d successes", users, tries, won.Load())
	}
}

func testSixthVoidsOldest(t *testing.T, s store.Store) {
	seeded(t, s)
	var all []ticket.Ticket
	for i := range ticket.MaxLive + 2 {
		all = append(all, issue(t, s, T0.Add(time.Duration(i)*time.Millisecond), i))
	}
	for i, tk := range all {
		_, err := s.RedeemTicket(ctx, attempt(tk, T0.Add(time.Second), fmt.Sprint("j", i)))
		var want error
		if i < 2 {
			want = ticket.ErrVoid
		}
		if !errors.Is(err, want) {
			t.Errorf("ticket %d of %d: got %v, want %v", i+1, len(all), err, want)
		}
	}
}

// Voiding the oldest live tickets does not void one that was redeemed before
// they were: its answer can still be repeated.
func testVoidingLeavesRedeemed(t *testing.T, s store.Store) {
	seeded(t, s)
	oldest, tk := issue(t, s, T0, 1), issue(t, s, T0.Add(time.Millisecond), 2)
	r := attempt(tk, T0.Add(time.Second), "j")
	r.Idempotency = [32]byte{1}
	first := must[ticket.Redeemed](t)(s.RedeemTicket(ctx, r))
	var last ticket.Ticket
	for i := range ticket.MaxLive + 1 {
		last = issue(t, s, T0.Add(time.Second+time.Duration(i)*time.Millisecond), 3+i)
	}
	_, err := s.RedeemTicket(ctx, attempt(oldest, T0.Add(2*time.Second), "o"))
	wantErr(t, "the oldest", err, ticket.ErrVoid)
	first.Repeated = true
	same(t, "repeat", must[ticket.Redeemed](t)(s.RedeemTicket(ctx, r)), first)
	check(t, second(s.RedeemTicket(ctx, attempt(last, T0.Add(2*time.Second), "l"))))
}

// Redeemed and expired tickets do not count among the live ones.
func testRedeemedMakesRoom(t *testing.T, s store.Store) {
	seeded(t, s)
	first := issue(t, s, T0, 0)
	for i := range 20 {
		tk := issue(t, s, T0.Add(time.Second), 100+i)
		check(t, second(s.RedeemTicket(ctx, attempt(tk, T0.Add(time.Second), fmt.Sprint("j", i)))))
	}
	check(t, second(s.RedeemTicket(ctx, attempt(first, T0.Add(2*time.Second), "first"))))

	for i := range ticket.MaxLive {
		issue(t, s, T0, 200+i)
	}
	later := T0.Add(121 * time.Second)
	for i := range ticket.MaxLive {
		tk := issue(t, s, later, 300+i)
		defer func() { check(t, second(s.RedeemTicket(ctx, attempt(tk, later, fmt.Sprint("l", i))))) }()
	}
}

func testSignOutVoids(t *testing.T, s store.Store) {
	seeded(t, s)
	before, after := issue(t, s, T0, 1), issue(t, s, T0.Add(time.Millisecond), 2)
	check(t, second(s.UpdateUser(ctx, "p", "u", silent(func(u *userpool.User) error { u.NotBefore = T0; return nil }))))
	got, err := s.RedeemTicket(ctx, attempt(before, T0.Add(time.Second), "j1"))
	wantErr(t, "ticket of that moment", err, ticket.ErrVoid)
	same(t, "with the refusal", got, ticket.Redeemed{Ticket: before})
	check(t, second(s.RedeemTicket(ctx, attempt(after, T0.Add(time.Second), "j2"))))
}

// A login stays counted, once, whatever becomes of its ticket and its user.
func testLoginsOutliveTickets(t *testing.T, s store.Store) {
	seeded(t, s)
	want := func(when string, count uint64, last time.Time) {
		t.Helper()
		u := must[userpool.User](t)(s.User(ctx, "p", "u"))
		if u.Logins.Count != count || !u.Logins.Last.Equal(last) || u.Logins.Addr != netip.MustParseAddr("203.0.113.7") {
			t.Errorf("%s: got %+v, want %d logins, the last at %v", when, u.Logins, count, last)
		}
	}
	login := func(issued time.Time, n int, count uint64) time.Time {
		t.Helper()
		at := issued.Add(time.Second)
		done := must[ticket.Redeemed](t)(s.RedeemTicket(ctx, attempt(issue(t, s, issued, n), at, fmt.Sprint("j", n))))
		if done.User.Logins.Count != count {
			t.Errorf("login %d: answered as login %d", count, done.User.Logins.Count)
		}
		want("after a login", count, at)
		return at
	}
	sweep := func(at time.Time) { must[int](t)(s.SweepTickets(ctx, at, 100)) }

	login(T0, 1, 1)
	must[userpool.User](t)(s.UpdateUser(ctx, "p", "u", func(u *userpool.User) (audit.Event, error) {
		u.Profile.Nickname = "changed"
		return audit.Event{}, nil
	}))
	want("after a change of the profile", 1, T0.Add(time.Second))
	login(T0.Add(2*time.Second), 2, 2)
	issue(t, s, T0.Add(4*time.Second), 3) // never redeemed
	last := login(T0.Add(6*time.Second), 4, 3)
	for _, after := range []time.Duration{0, time.Second, 2 * time.Second, time.Hour} {
		sweep(T0.Add(2*time.Minute + ticket.RetainFor + after))
		want(fmt.Sprint("after the sweep ", after, " later"), 3, last)
	}
	login(T0.Add(3*time.Hour), 5, 4)
}

// The latest login is the last one, with its address, though one of an earlier time
// comes after it. Its own answer, and a repeat of that, says its own time.
func testLoginsKeepLatest(t *testing.T, s store.Store) {
	seeded(t, s)
	addr := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(n)}) }
	want := func(when string, l userpool.Logins) {
		t.Helper()
		same(t, when, must[userpool.User](t)(s.User(ctx, "p", "u")).Logins, l)
	}
	var latest userpool.Logins
	var live []ticket.Ticket
	for i := range 4 {
		live = append(live, issue(t, s, T0, i))
	}
	for i, row := range []struct {
		ticket int // not in the order of issue
		after  time.Duration
	}{{1, 2 * time.Second}, {0, time.Second}, {3, 3 * time.Second}, {2, 2 * time.Second}} {
		r := attempt(live[row.ticket], T0.Add(row.after), fmt.Sprint("j", i))
		r.Addr, r.Idempotency = addr(i), [32]byte{byte(i + 1)}
		done := must[ticket.Redeemed](t)(s.RedeemTicket(ctx, r))
		latest.Count++
		same(t, "its own answer", done.User.Logins, userpool.Logins{Count: latest.Count, Last: r.Now, Addr: r.Addr})
		if !r.Now.Before(latest.Last) {
			latest.Last, latest.Addr = r.Now, r.Addr
		}
		want("after a login", latest)
		done.Repeated = true
		same(t, "repeat", must[ticket.Redeemed](t)(s.RedeemTicket(ctx, r)), done)
	}
	must[int](t)(s.SweepTickets(ctx, T0.Add(2*time.Minute+ticket.RetainFor), 100))
	want("after a sweep", latest)
}

func testSweep(t *testing.T, s store.Store) {
	seeded(t, s)
	short := issue(t, s, T0, 1)
	long := ticket.Ticket{Key: Key(T0, 2), PoolID: "p", UserID: "u", ExpiresAt: T0.Add(600 * time.Second)}
	check(t, s.CreateTicket(ctx, long, T0))
	check(t, second(s.RedeemTicket(ctx, attempt(short, T0, "j1"))))
	_, err := s.RedeemTicket(ctx, attempt(short, T0, "j2"))
	wantErr(t, "replay", err, ticket.ErrRedeemed)

	sweep := func(now time.Time, limit, want int) {
		t.Helper()
		if n := must[int](t)(s.SweepTickets(ctx, now, limit)); n != want {
			t.Errorf("sweep at T0+%v: %d, want %d", now.Sub(T0), n, want)
		}
	}
	end := short.ExpiresAt.Add(ticket.RetainFor)
	sweep(end.Add(-time.Millisecond), 100, 0)
	_, err = s.RedeemTicket(ctx, attempt(short, end, "j2"))
	wantErr(t, "replay just before the sweep", err, ticket.ErrRedeemed)
	sweep(end, 100, 1)
	_, err = s.RedeemTicket(ctx, attempt(short, end, "j2"))
	wantErr(t, "swept ticket", err, ticket.ErrUnknown)
	sweep(long.ExpiresAt.Add(ticket.RetainFor), 100, 1)

	tokenEnd := T0.Truncate(time.Second).Add(time.Hour)
	if !revoked(t, s, "j1", T0) {
		t.Error("deny-list entry swept before its token's end")
	}
	sweep(tokenEnd.Add(-time.Millisecond), 100, 0)
	sweep(tokenEnd, 100, 2) // and the session that the ticket was not to begin

	for i := range 7 {
		u := User("p", fmt.Sprint("s", i))
		check(t, s.CreateUser(ctx, u))
		check(t, s.CreateTicket(ctx, ticket.Ticket{Key: Key(T0, 10+i), PoolID: "p", UserID: u.ID, ExpiresAt: T0.Add(time.Minute)}, T0))
	}
	sweep(T0.Add(24*time.Hour), 5, 5)
	sweep(T0.Add(24*time.Hour), 5, 2)
}
