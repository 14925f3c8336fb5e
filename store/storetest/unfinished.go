package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/userpool"
)

// bindPhone is what the sign-ins of these tests prove.
const bindPhone = userpool.Phone("+8613900139000")

// Unfinished returns a sign-in at pool p with every field set but Failures and
// FinishedAt, that was begun at T0; different n give different ones, of
// different WeChat users.
func Unfinished(n int) userpool.Unfinished {
	return userpool.Unfinished{
		Key: Key(T0, n), PoolID: "p", Identity: userpool.Identity{AppID: "wx1", OpenID: fmt.Sprint("o1-new-", n)}, UnionID: fmt.Sprint("oU-new-", n),
		Profile: User("p", "u").Profile, Method: "import", SourceApp: "wxapp", MayRegister: true, UserID: "u",
		ExpiresAt: T0.Add(userpool.UnfinishedLife),
	}
}

// finishing is the attempt to finish the sign-in a minute after T0.
func finishing(u userpool.Unfinished) userpool.Finish {
	return userpool.Finish{
		PoolID: "p", Key: u.Key, Now: T0.Add(time.Minute),
		Keys: userpool.Keys{UnionID: u.UnionID, Identity: u.Identity, Phone: bindPhone},
	}
}

// bind binds the one who has the phone, or makes a user of that id who has it.
func bind(id string) func(userpool.Unfinished, userpool.Matches) (userpool.User, audit.Event, error) {
	return func(of userpool.Unfinished, m userpool.Matches) (userpool.User, audit.Event, error) {
		u := userpool.User{PoolID: "p", ID: id, Phone: bindPhone, SignedUp: T0, UpdatedAt: T0}
		switch {
		case m.ByUnionID != nil, m.ByIdentity != nil:
			return u, audit.Event{}, userpool.ErrStateInvalid
		case len(m.ByPhone) > 1:
			return u, audit.Event{}, userpool.ErrAccountUnclear
		case len(m.ByPhone) == 1:
			if u = m.ByPhone[0]; u.OpenID(of.Identity.AppID) != "" {
				return u, audit.Event{}, userpool.ErrIdentityTaken
			}
		}
		u.UnionID = of.UnionID
		u.Identities = append(u.Identities[:len(u.Identities):len(u.Identities)], of.Identity)
		return u, audit.Event{At: T0, Type: audit.UserBound, PoolID: "p", UserID: u.ID}, nil
	}
}

// unbound stores user v of pool p, who has the phone and no identity.
func unbound(t *testing.T, s store.Store) {
	t.Helper()
	check(t, s.CreateUser(ctx, userpool.User{PoolID: "p", ID: "v", Phone: bindPhone, SignedUp: T0, UpdatedAt: T0}))
}

func testUnfinished(t *testing.T, s store.Store) {
	seeded(t, s)
	unbound(t, s)
	want, later := Unfinished(1), T0.Add(time.Minute)
	read := func(u userpool.Unfinished) (userpool.Unfinished, error) { return s.Unfinished(ctx, "p", u.Key, later) }
	_, err := read(want)
	wantErr(t, "unknown", err, userpool.ErrStateInvalid)
	check(t, s.CreateUnfinished(ctx, want))
	same(t, "as stored", must[userpool.Unfinished](t)(read(want)), want)
	bare := userpool.Unfinished{Key: Key(T0, 2), PoolID: "p", ExpiresAt: want.ExpiresAt}
	check(t, s.CreateUnfinished(ctx, bare))
	same(t, "one without anything", must[userpool.Unfinished](t)(read(bare)), bare)

	u := must[userpool.User](t)(s.FinishUnfinished(ctx, finishing(want), bind("new")))
	if u.ID != "v" {
		t.Errorf("finished as %q, want v", u.ID)
	}
	same(t, "stored", must[userpool.User](t)(s.User(ctx, "p", "v")), u)
	found := must[userpool.Matches](t)(s.FindUsers(ctx, "p", userpool.Keys{UnionID: want.UnionID, Identity: want.Identity}))
	if found.ByIdentity == nil || found.ByUnionID == nil || found.ByIdentity.ID != "v" || found.ByUnionID.ID != "v" {
		t.Errorf("found %+v, want v", found)
	}
	wantTold(t, "finished", s, "user.bound")
	for what, err := range map[string]error{
		"finished again": second(s.FinishUnfinished(ctx, finishing(want), bind("new"))),
		"read again":     second(read(want)),
		"failed again":   s.FailUnfinished(ctx, "p", want.Key, later),
	} {
		wantErr(t, what, err, userpool.ErrStateUsed)
	}
	wantTold(t, "finished again", s, "user.bound")
	check(t, second(read(bare)))
}

// Whatever cannot be finished changes nothing, and resolve is not asked.
func testUnfinishedRefusals(t *testing.T, s store.Store) {
	seeded(t, s)
	u := Unfinished(1)
	check(t, s.CreateUnfinished(ctx, u))
	late := Unfinished(2)
	check(t, s.CreateUnfinished(ctx, late))
	spent := Unfinished(3)
	check(t, s.CreateUnfinished(ctx, spent))
	for range userpool.MaxFailures {
		check(t, s.FailUnfinished(ctx, "p", spent.Key, T0))
	}
	other := u
	other.Key[37]++
	for _, row := range []struct {
		name   string
		f      userpool.Finish
		change func(*userpool.Finish)
		want   error
	}{
		{"unknown", finishing(other), func(*userpool.Finish) {}, userpool.ErrStateInvalid},
		{"no key", finishing(userpool.Unfinished{}), func(*userpool.Finish) {}, userpool.ErrStateInvalid},
		{"another pool", finishing(u), func(f *userpool.Finish) { f.PoolID = "q" }, userpool.ErrStateInvalid},
		{"another pool, at its end", finishing(u), func(f *userpool.Finish) { f.PoolID, f.Now = "q", u.ExpiresAt }, userpool.ErrStateInvalid},
		{"at its end", finishing(late), func(f *userpool.Finish) { f.Now = late.ExpiresAt }, userpool.ErrStateExpired},
		{"long after", finishing(late), func(f *userpool.Finish) { f.Now = late.ExpiresAt.Add(time.Hour) }, userpool.ErrStateExpired},
		{"after five failures", finishing(spent), func(*userpool.Finish) {}, userpool.ErrTooManyTries},
		{"after five failures, at its end", finishing(spent), func(f *userpool.Finish) { f.Now = spent.ExpiresAt }, userpool.ErrStateExpired},
	} {
		row.change(&row.f)
		_, err := s.FinishUnfinished(ctx, row.f, func(userpool.Unfinished, userpool.Matches) (userpool.User, audit.Event, error) {
			t.Errorf("%s: resolve was asked", row.name)
			return userpool.User{}, audit.Event{}, errors.New("asked")
		})
		wantErr(t, row.name, err, row.want)
		_, err = s.Unfinished(ctx, row.f.PoolID, row.f.Key, row.f.Now)
		wantErr(t, row.name+", read", err, row.want)
		wantErr(t, row.name+", failed", s.FailUnfinished(ctx, row.f.PoolID, row.f.Key, row.f.Now), row.want)
	}

	// An error of resolve changes nothing, not even the sign-in.
	refused := errors.New("refused")
	_, err := s.FinishUnfinished(ctx, finishing(u), func(of userpool.Unfinished, _ userpool.Matches) (userpool.User, audit.Event, error) {
		same(t, "resolve is told", of, u)
		return userpool.User{PoolID: "p", ID: "lost"}, audit.Event{At: T0, Type: audit.UserBound}, refused
	})
	wantErr(t, "refused by resolve", err, refused)
	_, err = s.User(ctx, "p", "lost")
	wantErr(t, "user of a refused sign-in", err, userpool.ErrUserNotFound)
	// Somebody else's key neither.
	_, err = s.FinishUnfinished(ctx, finishing(u), func(userpool.Unfinished, userpool.Matches) (userpool.User, audit.Event, error) {
		return userpool.User{PoolID: "p", ID: "thief", UnionID: User("p", "u").UnionID}, audit.Event{At: T0, Type: audit.UserBound}, nil
	})
	wantErr(t, "a key of another user", err, userpool.ErrUserExists)
	wantTold(t, "refusals", s, "")

	// A millisecond before its end it can be finished.
	f := finishing(late)
	f.Now = late.ExpiresAt.Add(-time.Millisecond)
	check(t, second(s.FinishUnfinished(ctx, f, bind("late"))))
	check(t, second(s.Unfinished(ctx, "p", u.Key, u.ExpiresAt.Add(-time.Millisecond))))
}

func testUnfinishedFails(t *testing.T, s store.Store) {
	seeded(t, s)
	u := Unfinished(1)
	check(t, s.CreateUnfinished(ctx, u))
	for n := range userpool.MaxFailures {
		got := must[userpool.Unfinished](t)(s.Unfinished(ctx, "p", u.Key, T0))
		if got.Failures != n {
			t.Errorf("%d failures are counted, want %d", got.Failures, n)
		}
		check(t, s.FailUnfinished(ctx, "p", u.Key, T0))
	}
	_, err := s.FinishUnfinished(ctx, finishing(u), bind("new"))
	wantErr(t, "finished after five failures", err, userpool.ErrTooManyTries)

	// None of many at once is lost.
	v := Unfinished(2)
	check(t, s.CreateUnfinished(ctx, v))
	var counted, refused sync.Map
	together(20, func(i int) {
		switch err := s.FailUnfinished(ctx, "p", v.Key, T0); {
		case err == nil:
			counted.Store(i, true)
		case errors.Is(err, userpool.ErrTooManyTries):
			refused.Store(i, true)
		default:
			t.Error(err)
		}
	})
	if c, r := size(&counted), size(&refused); c != userpool.MaxFailures || r != 20-userpool.MaxFailures {
		t.Errorf("%d counted and %d refused, want %d and %d", c, r, userpool.MaxFailures, 20-userpool.MaxFailures)
	}
}

func size(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}

// Of many who finish at once exactly one does, however they come together.
func testUnfinishedRace(t *testing.T, s store.Store) {
	const callers = 12
	seeded(t, s)
	round := 0
	for _, row := range []struct {
		name  string
		state func(round, caller int) userpool.Unfinished
		there bool // the account is there already
		lost  []error
	}{
		{"one sign-in", func(round, _ int) userpool.Unfinished { return Unfinished(1000 * round) }, true, []error{userpool.ErrStateUsed}},
		{"one sign-in, nobody there", func(round, _ int) userpool.Unfinished { return Unfinished(1000 * round) }, false, []error{userpool.ErrStateUsed}},
		{"many WeChat users, one account", func(round, caller int) userpool.Unfinished { return Unfinished(1000*round + caller) }, true, []error{userpool.ErrIdentityTaken}},
		{"many WeChat users, one phone of nobody", func(round, caller int) userpool.Unfinished { return Unfinished(1000*round + caller) }, false, []error{userpool.ErrIdentityTaken}},
		{"many sign-ins of one WeChat user", func(round, caller int) userpool.Unfinished {
			u := Unfinished(1000*round + caller)
			u.UnionID, u.Identity = fmt.Sprint("oU-one-", round), userpool.Identity{AppID: "wx1", OpenID: fmt.Sprint("o1-one-", round)}
			return u
		}, false, []error{userpool.ErrStateInvalid}},
		{"many sign-ins of one WeChat user, one account", func(round, caller int) userpool.Unfinished {
			u := Unfinished(1000*round + caller)
			u.UnionID, u.Identity = fmt.Sprint("oU-one-", round), userpool.Identity{AppID: "wx1", OpenID: fmt.Sprint("o1-one-", round)}
			return u
		}, true, []error{userpool.ErrStateInvalid}},
	} {
		t.Run(row.name, func(t *testing.T) {
			for range 8 {
				round++
				phone := userpool.Phone(fmt.Sprintf("+86139%08d", round))
				account := fmt.Sprint("account-", round)
				if row.there {
					check(t, s.CreateUser(ctx, userpool.User{PoolID: "p", ID: account, Phone: phone, SignedUp: T0, UpdatedAt: T0}))
				}
				stored := map[userpool.OneTimeKey]bool{}
				for i := range callers {
					if u := row.state(round, i); !stored[u.Key] {
						check(t, s.CreateUnfinished(ctx, u))
						stored[u.Key] = true
					}
				}
				var won sync.Map
				together(callers, func(i int) {
					f := finishing(row.state(round, i))
					f.Keys.Phone = phone
					u, err := s.FinishUnfinished(ctx, f, func(of userpool.Unfinished, m userpool.Matches) (userpool.User, audit.Event, error) {
						u, e, err := bind(fmt.Sprint("new-", round, "-", i))(of, m)
						u.Phone = phone
						return u, e, err
					})
					if err == nil {
						won.Store(u.ID, true)
						return
					}
					for _, lost := range row.lost {
						if errors.Is(err, lost) {
							return
						}
					}
					t.Errorf("round %d: %v", round, err)
				})
				if n := size(&won); n != 1 {
					t.Errorf("round %d: %d users, want 1", round, n)
				}
				m := must[userpool.Matches](t)(s.FindUsers(ctx, "p", userpool.Keys{Phone: phone}))
				if len(m.ByPhone) != 1 || len(m.ByPhone[0].Identities) != 1 {
					t.Errorf("round %d: stored %+v, want one user with one identity", round, m.ByPhone)
				}
			}
		})
	}
	events := 0
	for _, e := range list(t, s, audit.Query{}) {
		if e.Type == audit.UserBound {
			events++
		}
	}
	if want := 6 * 8; events != want {
		t.Errorf("%d events, want %d: one for each that was finished", events, want)
	}
}

func testUnfinishedSweep(t *testing.T, s store.Store) {
	seeded(t, s)
	u, used := Unfinished(1), Unfinished(2)
	check(t, s.CreateUnfinished(ctx, u))
	check(t, s.CreateUnfinished(ctx, used))
	check(t, second(s.FinishUnfinished(ctx, finishing(used), bind("new"))))
	end := u.ExpiresAt.Add(userpool.UnfinishedRetain)
	for _, row := range []struct {
		now         time.Time
		limit, want int
		err         error
	}{
		{end.Add(-time.Millisecond), 100, 0, userpool.ErrStateExpired},
		{end, 1, 1, nil},
		{end, 100, 1, userpool.ErrStateInvalid},
	} {
		if n := must[int](t)(s.SweepTickets(ctx, row.now, row.limit)); n != row.want {
			t.Errorf("sweep at %v: %d, want %d", row.now, n, row.want)
		}
		if row.err != nil {
			_, err := s.Unfinished(ctx, "p", u.Key, row.now)
			wantErr(t, "afterwards", err, row.err)
		}
	}
}
