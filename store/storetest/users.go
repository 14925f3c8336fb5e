package storetest

import (
	"fmt"
	"sync"
	"testing"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/userpool"
)

func testUsers(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	want := User("p", "u1")
	want.Blocked, want.NotBefore = true, T0
	_, err := s.User(ctx, "p", "u1")
	wantErr(t, "unknown user", err, userpool.ErrUserNotFound)
	check(t, s.CreateUser(ctx, want))
	same(t, "user", must[userpool.User](t)(s.User(ctx, "p", "u1")), want)

	bare := userpool.User{PoolID: "p", ID: "u2", SignedUp: T0, UpdatedAt: T0}
	check(t, s.CreateUser(ctx, bare))
	same(t, "user without anything", must[userpool.User](t)(s.User(ctx, "p", "u2")), bare)
	_, err = s.User(ctx, "other", "u1")
	wantErr(t, "the user in another pool", err, userpool.ErrUserNotFound)
	wantErr(t, "user of an unknown pool", s.CreateUser(ctx, User("nope", "u")), userpool.ErrPoolNotFound)
}

func testCreateUserTaken(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreatePool(ctx, Pool("q"), audit.Event{}))
	check(t, s.CreateUser(ctx, User("p", "u")))
	id := User("p", "other")
	id.ID = "u"
	union := User("p", "other")
	union.UnionID = "oU-u"
	open := User("p", "other")
	open.Identities[1].OpenID = "o2-u"
	name := User("p", "other")
	name.Username = "name-u"
	mail := User("p", "other")
	mail.Email = "u@planted.example"
	for name, u := range map[string]userpool.User{"id": id, "unionid": union, "openid": open, "username": name, "e-mail": mail} {
		wantErr(t, "same "+name, s.CreateUser(ctx, u), userpool.ErrUserExists)
	}
	// A refused user leaves nothing behind.
	check(t, s.CreateUser(ctx, User("p", "other")))
	check(t, s.CreateUser(ctx, User("q", "u")))
}

func ids(m userpool.Matches) string {
	id := func(u *userpool.User) string {
		if u == nil {
			return "-"
		}
		return u.ID
	}
	s := id(m.ByUnionID) + " " + id(m.ByIdentity)
	for _, u := range m.ByPhone {
		s += " " + u.ID
	}
	if m.ByUsername != nil {
		s += " named " + m.ByUsername.ID
	}
	if m.ByEmail != nil {
		s += " mailed " + m.ByEmail.ID
	}
	return s
}

func testFindUsers(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	a, b := User("p", "a"), User("p", "b")
	b.Phone = "+8613800138001"
	c := User("p", "c")
	c.Phone = "+8613800138001"
	d := User("p", "d")
	d.Phone = "+8613800138001"
	for _, u := range []userpool.User{a, b, c, d} {
		check(t, s.CreateUser(ctx, u))
	}
	for _, row := range []struct {
		keys userpool.Keys
		want string
	}{
		{userpool.Keys{}, "- -"},
		{userpool.Keys{UnionID: "oU-a"}, "a -"},
		{userpool.Keys{Identity: userpool.Identity{AppID: "wx2", OpenID: "o2-b"}}, "- b"},
		{userpool.Keys{Identity: userpool.Identity{AppID: "wx1", OpenID: "o2-b"}}, "- -"},
		{userpool.Keys{UnionID: "oU-a", Identity: userpool.Identity{AppID: "wx1", OpenID: "o1-b"}}, "a b"},
		{userpool.Keys{Phone: "+8613800138000"}, "- - a"},
		{userpool.Keys{Phone: "+8613800138001"}, "- - b c"}, // two at most
		{userpool.Keys{Phone: "+861380013800"}, "- -"},
		{userpool.Keys{Username: "name-a"}, "- - named a"},
		{userpool.Keys{Username: "Name-a"}, "- -"}, // another letter case is another name
		{userpool.Keys{UnionID: "oU-a", Phone: "+8613800138000", Username: "name-b"}, "a - a named b"},
		{userpool.Keys{Email: "a@planted.example"}, "- - mailed a"},
		{userpool.Keys{Email: "A@planted.example"}, "- -"}, // the domain has one spelling
		{userpool.Keys{Email: "a@planted.example", Phone: "+8613800138000", Username: "name-b"}, "- - a named b mailed a"},
	} {
		if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "p", row.keys))); got != row.want {
			t.Errorf("FindUsers(%+v): got %q, want %q", row.keys, got, row.want)
		}
	}
	m := must[userpool.Matches](t)(s.FindUsers(ctx, "p", userpool.Keys{UnionID: "oU-a"}))
	same(t, "found user", *m.ByUnionID, a)
}

func testFindUsersStaysInPool(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreatePool(ctx, Pool("q"), audit.Event{}))
	check(t, s.CreateUser(ctx, User("p", "a")))
	keys := userpool.Keys{UnionID: "oU-a", Identity: userpool.Identity{AppID: "wx1", OpenID: "o1-a"}, Phone: "+8613800138000", Username: "name-a", Email: "a@planted.example"}
	if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "q", keys))); got != "- -" {
		t.Errorf("another pool finds %q", got)
	}
}

func testPutUserMovesIndexes(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	u := User("p", "a")
	check(t, s.CreateUser(ctx, u))
	old := userpool.Keys{UnionID: u.UnionID, Identity: u.Identities[0], Phone: u.Phone, Username: u.Username, Email: u.Email}
	want := u
	want.UnionID, want.Phone, want.Username, want.Email, want.Attributes = "oU-new", "+85261234567", "new", "new@planted.example", nil
	want.Identities = []userpool.Identity{u.Identities[1], {AppID: "wx3", OpenID: "o3"}}
	got := must[userpool.User](t)(s.PutUser(ctx, "p", old, silently(func(m userpool.Matches) (userpool.User, error) {
		if ids(m) != "a a a named a mailed a" {
			t.Errorf("PutUser found %q, want a five times", ids(m))
		}
		return want, nil
	})))
	same(t, "returned", got, want)
	same(t, "stored", must[userpool.User](t)(s.User(ctx, "p", "a")), want)
	if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "p", old))); got != "- -" {
		t.Errorf("old keys find %q", got)
	}
	fresh := userpool.Keys{UnionID: "oU-new", Identity: want.Identities[1], Phone: want.Phone, Username: "new", Email: want.Email}
	if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "p", fresh))); got != "a a a named a mailed a" {
		t.Errorf("new keys find %q, want a five times", got)
	}
}

// An identity that resolve writes over, in whatever it was handed, is found no
// more; nor is what it wrote, if it stores somebody else.
func testPutUserInPlace(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreateUser(ctx, User("p", "a")))
	b := User("p", "b")
	b.Phone = "+8613800138001"
	check(t, s.CreateUser(ctx, b))
	a := User("p", "a")
	keys := userpool.Keys{UnionID: a.UnionID, Identity: a.Identities[1], Phone: a.Phone, Username: a.Username, Email: a.Email, UserID: a.ID}
	was := a.Identities[0]
	for i, of := range []func(userpool.Matches) *userpool.User{
		func(m userpool.Matches) *userpool.User { return m.ByUnionID },
		func(m userpool.Matches) *userpool.User { return m.ByIdentity },
		func(m userpool.Matches) *userpool.User { return m.ByUsername },
		func(m userpool.Matches) *userpool.User { return m.ByEmail },
		func(m userpool.Matches) *userpool.User { return m.ByID },
		func(m userpool.Matches) *userpool.User { return &m.ByPhone[0] },
	} {
		is := userpool.Identity{AppID: "wx1", OpenID: fmt.Sprint("o1-new", i)}
		check(t, second(s.PutUser(ctx, "p", keys, silently(func(m userpool.Matches) (userpool.User, error) {
			u := of(m)
			u.Identities[0] = is
			return *u, nil
		}))))
		for id, want := range map[userpool.Identity]string{was: "- -", is: "- a"} {
			if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "p", userpool.Keys{Identity: id}))); got != want {
				t.Errorf("way %d: %s finds %q, want %q", i, id.OpenID, got, want)
			}
		}
		was = is
	}
	check(t, second(s.PutUser(ctx, "p", keys, silently(func(m userpool.Matches) (userpool.User, error) {
		m.ByUnionID.Identities[0].OpenID, m.ByUnionID.Username = "lost", "lost"
		return b, nil
	}))))
	if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "p", userpool.Keys{Identity: was, Username: a.Username}))); got != "- a named a" {
		t.Errorf("the keys of one who was not stored find %q", got)
	}
}

func testPutUserErrors(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreateUser(ctx, User("p", "a")))
	check(t, s.CreateUser(ctx, User("p", "b")))
	_, err := s.PutUser(ctx, "p", userpool.Keys{}, silently(func(userpool.Matches) (userpool.User, error) {
		return User("p", "c"), userpool.ErrUnchanged
	}))
	wantErr(t, "unchanged", err, userpool.ErrUnchanged)
	_, err = s.User(ctx, "p", "c")
	wantErr(t, "user of a refused call", err, userpool.ErrUserNotFound)
	_, err = s.PutUser(ctx, "p", userpool.Keys{}, silently(func(userpool.Matches) (userpool.User, error) {
		u := User("p", "b")
		u.UnionID = "oU-a"
		return u, nil
	}))
	wantErr(t, "somebody else's unionid", err, userpool.ErrUserExists)
	_, err = s.PutUser(ctx, "p", userpool.Keys{}, silently(func(userpool.Matches) (userpool.User, error) {
		u := User("p", "b")
		u.Username = "name-a"
		return u, nil
	}))
	wantErr(t, "somebody else's username", err, userpool.ErrUserExists)
	_, err = s.UpdateUser(ctx, "p", "b", silent(func(u *userpool.User) error { u.Email = "a@planted.example"; return nil }))
	wantErr(t, "somebody else's e-mail address", err, userpool.ErrUserExists)
	same(t, "the user meanwhile", must[userpool.User](t)(s.User(ctx, "p", "b")), User("p", "b"))
}

// Of many first sign-ins of one WeChat user at once, one makes the user.
func testPutUserRace(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	keys := userpool.Keys{UnionID: "oU", Identity: userpool.Identity{AppID: "wx1", OpenID: "o"}}
	var mu sync.Mutex
	made := map[string]bool{}
	together(32, func(i int) {
		u, err := s.PutUser(ctx, "p", keys, silently(func(m userpool.Matches) (userpool.User, error) {
			if m.ByUnionID != nil {
				return *m.ByUnionID, nil
			}
			return userpool.User{PoolID: "p", ID: fmt.Sprint("u", i), UnionID: "oU", Identities: []userpool.Identity{keys.Identity}}, nil
		}))
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		made[u.ID] = true
		mu.Unlock()
	})
	if len(made) != 1 {
		t.Errorf("32 first sign-ins at once made %d users, want 1", len(made))
	}
}

func testUpdateUser(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	want := User("p", "a")
	check(t, s.CreateUser(ctx, want))
	_, err := s.UpdateUser(ctx, "p", "b", silent(func(*userpool.User) error { return nil }))
	wantErr(t, "unknown user", err, userpool.ErrUserNotFound)
	want.Blocked, want.NotBefore, want.Phone = true, T0, ""
	got := must[userpool.User](t)(s.UpdateUser(ctx, "p", "a", silent(func(u *userpool.User) error {
		u.Blocked, u.NotBefore, u.Phone = true, T0, ""
		return nil
	})))
	same(t, "returned", got, want)
	same(t, "stored", must[userpool.User](t)(s.User(ctx, "p", "a")), want)

	// An identity that change writes over is found no more.
	old := want.Identities[0]
	check(t, second(s.UpdateUser(ctx, "p", "a", silent(func(u *userpool.User) error { u.Identities[0].OpenID = "o1-new"; return nil }))))
	if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "p", userpool.Keys{Identity: old}))); got != "- -" {
		t.Errorf("the old identity finds %q", got)
	}
}
