package storetest

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/userpool"
)

// Password returns a password with every field set; different n give different
// ones.
func Password(n int) userpool.Password {
	return userpool.Password{
		Hash: userpool.Secret(fmt.Sprintf("$argon2id$v=19$m=19456,t=2,p=1$planted-salt$planted-key-%d", n)), SetAt: T0.Add(time.Duration(n) * time.Second),
		Places: []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::")},
	}
}

func passwordSet(user string) audit.Event {
	return audit.Event{At: T0, Type: audit.PasswordSet, PoolID: "p", UserID: user, By: audit.Actor{Role: audit.Operator}}
}

func testPasswords(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreatePool(ctx, Pool("q"), audit.Event{}))
	check(t, s.CreateUser(ctx, User("p", "a")))
	check(t, s.CreateUser(ctx, User("q", "a")))
	of := func(pool, user string) userpool.Password {
		return must[userpool.Password](t)(s.Password(ctx, pool, user))
	}
	same(t, "of a user without one", of("p", "a"), userpool.Password{})
	same(t, "of nobody", of("p", "nobody"), userpool.Password{})
	same(t, "of nobody at all", of("none", ""), userpool.Password{})

	set := func(user string, p userpool.Password) (userpool.User, error) {
		return s.SetPassword(ctx, "p", user, p, func(u *userpool.User) (audit.Event, error) {
			u.NotBefore = T0
			return passwordSet(user), nil
		})
	}
	want := User("p", "a")
	want.NotBefore = T0
	same(t, "the user, returned", must[userpool.User](t)(set("a", Password(1))), want)
	same(t, "the user, stored", must[userpool.User](t)(s.User(ctx, "p", "a")), want)
	same(t, "set", of("p", "a"), Password(1))
	same(t, "of another pool's user", of("q", "a"), userpool.Password{})
	wantTold(t, "set", s, "password.set")
	must[userpool.User](t)(set("a", Password(2)))
	same(t, "set again", of("p", "a"), Password(2))
	bare := userpool.Password{Hash: "h"}
	must[userpool.User](t)(set("a", bare))
	same(t, "one without anything", of("p", "a"), bare)
	must[userpool.User](t)(set("a", userpool.Password{}))
	same(t, "taken away", of("p", "a"), userpool.Password{})
	must[userpool.User](t)(set("a", userpool.Password{}))
	told := list(t, s, audit.Query{})

	_, err := set("nobody", Password(1))
	wantErr(t, "of nobody", err, userpool.ErrUserNotFound)
	same(t, "of nobody, afterwards", of("p", "nobody"), userpool.Password{})
	refused := errors.New("refused")
	must[userpool.User](t)(set("a", Password(3)))
	_, err = s.SetPassword(ctx, "p", "a", Password(4), func(*userpool.User) (audit.Event, error) { return passwordSet("a"), refused })
	wantErr(t, "refused", err, refused)
	same(t, "after a refused change", of("p", "a"), Password(3))
	if n := len(list(t, s, audit.Query{})); n != len(told)+1 {
		t.Errorf("%d events, want %d", n, len(told)+1)
	}
	// What else becomes of the user leaves it.
	check(t, second(s.UpdateUser(ctx, "p", "a", silent(func(u *userpool.User) error { u.Username = "new"; return nil }))))
	same(t, "after a change of the user", of("p", "a"), Password(3))
}

func testPasswordsCreate(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreateUserWithPassword(ctx, User("p", "a"), Password(1), passwordSet("a")))
	same(t, "user", must[userpool.User](t)(s.User(ctx, "p", "a")), User("p", "a"))
	same(t, "password", must[userpool.Password](t)(s.Password(ctx, "p", "a")), Password(1))
	wantTold(t, "created", s, "password.set")
	taken := User("p", "b")
	taken.Username = "name-a"
	wantErr(t, "the id again", s.CreateUserWithPassword(ctx, User("p", "a"), Password(2), passwordSet("a")), userpool.ErrUserExists)
	wantErr(t, "the username again", s.CreateUserWithPassword(ctx, taken, Password(2), passwordSet("b")), userpool.ErrUserExists)
	wantErr(t, "no pool", s.CreateUserWithPassword(ctx, User("none", "a"), Password(2), passwordSet("a")), userpool.ErrPoolNotFound)
	same(t, "afterwards", must[userpool.Password](t)(s.Password(ctx, "p", "a")), Password(1))
	same(t, "of the refused", must[userpool.Password](t)(s.Password(ctx, "p", "b")), userpool.Password{})
	wantTold(t, "refused", s, "password.set")
}

// Another form of a password never replaces another password.
func testPasswordsReplace(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreateUserWithPassword(ctx, User("p", "a"), Password(1), audit.Event{}))
	check(t, s.CreateUser(ctx, User("p", "b")))
	fresh := Password(1)
	fresh.Hash, fresh.Places = "another form", nil
	again := Password(1)
	again.SetAt = again.SetAt.Add(time.Millisecond) // the same, set later
	for what, row := range map[string]struct {
		user string
		was  userpool.Password
	}{"another hash": {"a", Password(2)}, "set again": {"a", again}, "none before": {"a", userpool.Password{}}, "no password": {"b", Password(1)}, "none and none": {"b", userpool.Password{}}, "nobody": {"c", Password(1)}} {
		wantErr(t, what, s.ReplacePassword(ctx, "p", row.user, row.was, fresh), userpool.ErrUnchanged)
	}
	same(t, "meanwhile", must[userpool.Password](t)(s.Password(ctx, "p", "a")), Password(1))
	check(t, s.ReplacePassword(ctx, "p", "a", Password(1), fresh))
	same(t, "replaced", must[userpool.Password](t)(s.Password(ctx, "p", "a")), fresh)
	wantErr(t, "replaced again", s.ReplacePassword(ctx, "p", "a", Password(1), Password(3)), userpool.ErrUnchanged)
}

// Of many forms of one password at once one is kept, and none of them comes
// over a password that is set meanwhile.
func testPasswordsRace(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	for round := range 8 {
		user := fmt.Sprint("u", round)
		check(t, s.CreateUserWithPassword(ctx, User("p", user), Password(1), audit.Event{}))
		var won sync.Map
		forms := func(i int) userpool.Password {
			p := Password(1)
			p.Hash = userpool.Secret(fmt.Sprint("form ", i))
			return p
		}
		together(12, func(i int) {
			switch err := s.ReplacePassword(ctx, "p", user, Password(1), forms(i)); {
			case err == nil:
				won.Store(i, true)
			case !errors.Is(err, userpool.ErrUnchanged):
				t.Error(err)
			}
		})
		if size(&won) != 1 {
			t.Errorf("round %d: %d forms were kept, want 1", round, size(&won))
		}
		was := must[userpool.Password](t)(s.Password(ctx, "p", user))
		together(6, func(i int) {
			if i == 3 {
				_, err := s.SetPassword(ctx, "p", user, Password(9), silent(func(*userpool.User) error { return nil }))
				check(t, err)
				return
			}
			if err := s.ReplacePassword(ctx, "p", user, was, forms(20+i)); err != nil && !errors.Is(err, userpool.ErrUnchanged) {
				t.Error(err)
			}
		})
		same(t, "set meanwhile", must[userpool.Password](t)(s.Password(ctx, "p", user)), Password(9))
	}
}

// A user whom a proof has shown is found by their id, and finishes a sign-in.
func testFindUsersByID(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreatePool(ctx, Pool("q"), audit.Event{}))
	check(t, s.CreateUser(ctx, User("p", "a")))
	check(t, s.CreateUser(ctx, User("p", "b")))
	byID := func(pool string, k userpool.Keys) string {
		m := must[userpool.Matches](t)(s.FindUsers(ctx, pool, k))
		if m.ByID == nil {
			return ids(m) + " -"
		}
		same(t, "found", *m.ByID, User("p", "a"))
		return ids(m) + " " + m.ByID.ID
	}
	for _, row := range []struct {
		pool string
		keys userpool.Keys
		want string
	}{
		{"p", userpool.Keys{UserID: "a"}, "- - a"},
		{"p", userpool.Keys{UserID: "a", UnionID: "oU-a"}, "a - a"},
		{"p", userpool.Keys{UserID: "a", UnionID: "oU-b"}, "b - a"},
		{"p", userpool.Keys{UserID: "nobody"}, "- - -"},
		{"p", userpool.Keys{UnionID: "oU-b"}, "b - -"},
		{"q", userpool.Keys{UserID: "a"}, "- - -"},
	} {
		if got := byID(row.pool, row.keys); got != row.want {
			t.Errorf("FindUsers(%s, %+v): got %q, want %q", row.pool, row.keys, got, row.want)
		}
	}
	u := Unfinished(1)
	check(t, s.CreateUnfinished(ctx, u))
	f := finishing(u)
	f.Keys.Phone, f.Keys.UserID = "", "b"
	got := must[userpool.User](t)(s.FinishUnfinished(ctx, f, func(of userpool.Unfinished, m userpool.Matches) (userpool.User, audit.Event, error) {
		if m.ByID == nil {
			t.Fatal("not found by id")
		}
		b := *m.ByID
		b.UnionID, b.Identities = of.UnionID, append(b.Identities[:2:2], of.Identity)
		return b, audit.Event{}, nil
	}))
	same(t, "bound", must[userpool.User](t)(s.User(ctx, "p", "b")), got)
	if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "p", userpool.Keys{UnionID: u.UnionID, Identity: u.Identity}))); got != "b b" {
		t.Errorf("afterwards the WeChat user is %q, want b twice", got)
	}
}
