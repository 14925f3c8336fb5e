package storetest

import (
	"fmt"
	"testing"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/userpool"
)

// Where a user has no username, clients are told the id in its place.
func testNamesAndIDs(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreatePool(ctx, Pool("q"), audit.Event{}))
	bare := func(id, name string) userpool.User {
		return userpool.User{PoolID: "p", ID: id, Username: name, SignedUp: T0, UpdatedAt: T0}
	}
	for _, u := range []userpool.User{bare("victim", ""), bare("a", ""), bare("b", "lee"), bare("own", "own")} {
		check(t, s.CreateUser(ctx, u))
	}
	wantErr(t, "new user, another's id for a username", s.CreateUser(ctx, bare("c", "victim")), userpool.ErrUserExists)
	wantErr(t, "new user, another's username for an id", s.CreateUser(ctx, bare("lee", "")), userpool.ErrUserExists)
	wantErr(t, "with a password", s.CreateUserWithPassword(ctx, bare("lee", ""), Password(1), passwordSet("lee")), userpool.ErrUserExists)
	_, err := s.UpdateUser(ctx, "p", "a", silent(func(u *userpool.User) error { u.Username = "victim"; return nil }))
	wantErr(t, "chosen", err, userpool.ErrUserExists)
	for name, u := range map[string]userpool.User{"chosen at sign-in": bare("a", "victim"), "made at sign-in": bare("lee", ""), "made with it": bare("c", "victim")} {
		_, err = s.PutUser(ctx, "p", userpool.Keys{UnionID: "oU"}, silently(func(userpool.Matches) (userpool.User, error) { return u, nil }))
		wantErr(t, name, err, userpool.ErrUserExists)
	}
	same(t, "who chose it", must[userpool.User](t)(s.User(ctx, "p", "a")), bare("a", ""))
	_, err = s.User(ctx, "p", "lee")
	wantErr(t, "who was refused", err, userpool.ErrUserNotFound)

	// One's own id is one's own, whoever it is of in another pool.
	check(t, second(s.UpdateUser(ctx, "p", "a", silent(func(u *userpool.User) error { u.Username = "a"; return nil }))))
	check(t, second(s.UpdateUser(ctx, "p", "own", silent(func(u *userpool.User) error { u.Blocked = true; return nil }))))
	check(t, s.CreateUser(ctx, userpool.User{PoolID: "q", ID: "lee", Username: "victim", SignedUp: T0, UpdatedAt: T0}))
}

// Of an id and the same username that come at once one is stored.
func testNamesAndIDsRace(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	const rounds = 16
	for i := range rounds {
		check(t, s.CreateUser(ctx, userpool.User{PoolID: "p", ID: fmt.Sprint("a", i), SignedUp: T0, UpdatedAt: T0}))
	}
	errs := make([]error, 2*rounds)
	together(2*rounds, func(n int) {
		i := n / 2
		id := fmt.Sprint("name", i)
		if n%2 == 0 {
			errs[n] = s.CreateUser(ctx, userpool.User{PoolID: "p", ID: id, SignedUp: T0, UpdatedAt: T0})
		} else {
			_, errs[n] = s.UpdateUser(ctx, "p", fmt.Sprint("a", i), silent(func(u *userpool.User) error { u.Username = id; return nil }))
		}
	})
	for i := range rounds {
		a, b := errs[2*i], errs[2*i+1]
		if (a == nil) == (b == nil) {
			t.Errorf("the id %v, the username %v: want one of them stored", a, b)
			continue
		}
		if a == nil {
			a = b
		}
		wantErr(t, "the other", a, userpool.ErrUserExists)
	}
}
