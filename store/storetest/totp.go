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

// TOTP returns a second factor with every field set.
func TOTP() userpool.TOTP {
	return userpool.TOTP{Secret: "PLANTEDSECRET234", AddedAt: T0, ConfirmedAt: T0.Add(time.Second), Step: 59700000, Recovery: [][32]byte{{1}, {2, 3}}}
}

func testTOTP(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreatePool(ctx, Pool("q"), audit.Event{}))
	check(t, s.CreateUser(ctx, User("p", "a")))
	check(t, s.CreateUser(ctx, User("q", "a")))
	of := func(pool, user string) userpool.TOTP { return must[userpool.TOTP](t)(s.TOTP(ctx, pool, user)) }
	same(t, "of a user without one", of("p", "a"), userpool.TOTP{})
	same(t, "of nobody", of("p", "nobody"), userpool.TOTP{})
	set := func(user string, was, to userpool.TOTP) (userpool.User, error) {
		return s.UpdateTOTP(ctx, "p", user, func(u *userpool.User, f *userpool.TOTP) (audit.Event, error) {
			same(t, "handed to change", *f, was)
			*f, u.NotBefore = to, T0
			return audit.Event{At: T0, Type: audit.TOTPAdded, PoolID: "p", UserID: user}, nil
		})
	}
	want := User("p", "a")
	want.NotBefore = T0
	same(t, "the user, returned", must[userpool.User](t)(set("a", userpool.TOTP{}, TOTP())), want)
	same(t, "the user, stored", must[userpool.User](t)(s.User(ctx, "p", "a")), want)
	same(t, "stored", of("p", "a"), TOTP())
	same(t, "of another pool's user", of("q", "a"), userpool.TOTP{})
	wantTold(t, "set", s, "totp.added")
	refused := errors.New("refused")
	_, err := s.UpdateTOTP(ctx, "p", "a", func(u *userpool.User, f *userpool.TOTP) (audit.Event, error) {
		*f, u.Username = userpool.TOTP{}, "lost"
		return audit.Event{}, refused
	})
	wantErr(t, "refused", err, refused)
	same(t, "after a refused change", of("p", "a"), TOTP())
	bare := userpool.TOTP{Secret: "S", AddedAt: T0}
	must[userpool.User](t)(set("a", TOTP(), bare))
	same(t, "one that is not confirmed", of("p", "a"), bare)
	must[userpool.User](t)(set("a", bare, userpool.TOTP{}))
	same(t, "taken away", of("p", "a"), userpool.TOTP{})
	_, err = set("nobody", userpool.TOTP{}, TOTP())
	wantErr(t, "of nobody", err, userpool.ErrUserNotFound)
}

// What changes of the user along with a second factor changes as by UpdateUser.
func testTOTPOfUser(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreateUser(ctx, User("p", "a")))
	check(t, s.CreateUser(ctx, User("p", "b")))
	with := func(change func(*userpool.User)) error {
		return second(s.UpdateTOTP(ctx, "p", "a", func(u *userpool.User, f *userpool.TOTP) (audit.Event, error) {
			change(u)
			*f = TOTP()
			return audit.Event{}, nil
		}))
	}
	wantErr(t, "somebody else's username", with(func(u *userpool.User) { u.Username = "name-b" }), userpool.ErrUserExists)
	wantErr(t, "somebody else's openid", with(func(u *userpool.User) { u.Identities[0].OpenID = "o1-b" }), userpool.ErrUserExists)
	for name, change := range map[string]func(*userpool.User){
		"another id": func(u *userpool.User) { u.ID = "b" }, "another pool": func(u *userpool.User) { u.PoolID = "q" },
	} {
		if err := with(change); err == nil {
			t.Errorf("%s: changed, want an error", name)
		}
	}
	same(t, "the user meanwhile", must[userpool.User](t)(s.User(ctx, "p", "a")), User("p", "a"))
	same(t, "the other one", must[userpool.User](t)(s.User(ctx, "p", "b")), User("p", "b"))
	same(t, "the second factor", must[userpool.TOTP](t)(s.TOTP(ctx, "p", "a")), userpool.TOTP{})

	want := User("p", "a")
	want.Username, want.Identities[0].OpenID = "new", "o1-new"
	check(t, with(func(u *userpool.User) { u.Username, u.Identities[0].OpenID = "new", "o1-new" }))
	same(t, "changed", must[userpool.User](t)(s.User(ctx, "p", "a")), want)
	old := userpool.Keys{Username: "name-a", Identity: User("p", "a").Identities[0]}
	if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "p", old))); got != "- -" {
		t.Errorf("the old keys find %q", got)
	}
	if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "p", userpool.Keys{Username: "new", Identity: want.Identities[0]}))); got != "- a named a" {
		t.Errorf("the new keys find %q", got)
	}
}

// Of many who accept one time step at once, one sees that nobody has.
func testTOTPRace(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	used := errors.New("used")
	for round := range 8 {
		user := fmt.Sprint("u", round)
		check(t, s.CreateUser(ctx, User("p", user)))
		check(t, second(s.UpdateTOTP(ctx, "p", user, func(_ *userpool.User, f *userpool.TOTP) (audit.Event, error) { *f = TOTP(); return audit.Event{}, nil })))
		var won sync.Map
		together(12, func(i int) {
			_, err := s.UpdateTOTP(ctx, "p", user, func(_ *userpool.User, f *userpool.TOTP) (audit.Event, error) {
				if f.Step > TOTP().Step {
					return audit.Event{}, used
				}
				f.Step++
				return audit.Event{}, nil
			})
			switch {
			case err == nil:
				won.Store(i, true)
			case !errors.Is(err, used):
				t.Error(err)
			}
		})
		if size(&won) != 1 {
			t.Errorf("round %d: %d accepted it, want 1", round, size(&won))
		}
	}
}
