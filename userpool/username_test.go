package userpool_test

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

// named signs a user in who wants that username.
func (r *rig) named(p userpool.Pool, user, wish string, newcomer userpool.Profile) userpool.User {
	r.t.Helper()
	l := r.login(p, user, "")
	l.Named, l.Username, l.Newcomer = true, wish, newcomer
	u, err := r.SignIn(ctx, p, l)
	if err != nil {
		r.t.Fatalf("SignIn(%s as %q): %v", user, wish, err)
	}
	return u
}

func TestUsernameAtSignIn(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	own := func(user string) string { return "wechat-" + sandbox.OpenID(game, user) }
	old := r.signIn(p, "old", "")
	if _, err := r.CreateUser(ctx, userpool.User{PoolID: p.ID, ID: "10001"}); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ user, wish, want string }{
		{"a", "Lee", "Lee"},
		{"b", "Lee", own("b")}, // taken: no error
		{"c", "lee", "lee"},
		{"d", "李", own("d")},
		{"e", "", own("e")},
		{"f", "a b", own("f")},
		{"g", "x--y", own("g")},
		{"h", "x.y-z_0", "x.y-z_0"},
		{"i", strings.Repeat("i", 255), strings.Repeat("i", 255)},
		{"j", strings.Repeat("j", 256), own("j")},
		{"k", own("victim"), own("k")}, // nobody takes another's place
		{"victim", "", own("victim")},
		{"l", old.ID, own("l")},
		{"m", "10001", own("m")},                 // the id of one who moved here
		{"n", userpool.NewID(r.now()), own("n")}, // of one who may come
		{"old", "Oldest", "Oldest"},              // who had none gets one
		{"a", "Other", "Lee"},                    // and it stays
	} {
		u := r.named(p, row.user, row.wish, userpool.Profile{})
		if u.Username != row.want || r.stored(u).Username != row.want {
			t.Errorf("%s as %q is named %q, stored %q, want %q", row.user, row.wish, u.Username, r.stored(u).Username, row.want)
		}
	}
	if u := r.signIn(p, "nameless", ""); u.Username != "" {
		t.Errorf("a sign-in that asked for no username gave %q", u.Username)
	}
	q := r.pool(game)
	if u := r.named(q, "z", "Lee", userpool.Profile{}); u.Username != "Lee" {
		t.Errorf("in another pool: %q, want Lee", u.Username)
	}
}

// A name that was brought from elsewhere may be like the one that an openid
// gives; its owner keeps it.
func TestUsernameOfOpenIDTaken(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	name := "wechat-" + sandbox.OpenID(game, "alice")
	if _, err := r.CreateUser(ctx, userpool.User{PoolID: p.ID, ID: "moved", Username: name}); err != nil {
		t.Fatal(err)
	}
	if u := r.named(p, "alice", "", userpool.Profile{}); u.ID == "moved" || u.Username != u.ID {
		t.Errorf("named %q, want the id %s", u.Username, u.ID)
	}
}

// Of many who come at once with one wish, one gets it and all get in.
func TestUsernameRace(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	var mu sync.Mutex
	got := map[string]int{}
	users := []string{"a", "b", "c", "d", "a", "b", "c", "d"}
	logins := make([]userpool.Login, len(users))
	for i, user := range users {
		logins[i] = r.login(p, user, "")
		logins[i].Named, logins[i].Username = true, "Lee"
	}
	together(len(users), func(i int) {
		u, err := r.SignIn(ctx, p, logins[i])
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		got[u.ID+" "+u.Username]++
	})
	lees := 0
	for who := range maps.Keys(got) {
		if strings.HasSuffix(who, " Lee") {
			lees++
		}
	}
	if len(got) != 4 || lees != 1 {
		t.Errorf("signed in: %v, want four users and one Lee", got)
	}
}

// What a newcomer says fills their profile; of one who is known it changes
// nothing.
func TestNewcomer(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	first := userpool.Profile{Nickname: "李", AvatarURL: "https://example.com/1.png"}
	if u := r.named(p, "alice", "Lee", first); u.Profile != first {
		t.Errorf("new user: %+v, want %+v", u.Profile, first)
	}
	r.signIn(p, "bob", "")
	commits := r.series("app2wxapp_store_commit_writes")
	r.named(p, "alice", "Lee", userpool.Profile{Nickname: "other"})
	if n := r.series("app2wxapp_store_commit_writes"); n != commits {
		t.Errorf("a returning user cost %v commits, want none", n-commits)
	}
	if u := r.named(p, "bob", "", first); u.Profile != (userpool.Profile{}) {
		t.Errorf("known user: %+v, want nothing", u.Profile)
	}
}

func TestUpdateProfile(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	u := r.signIn(p, "alice", "13800138000")
	r.turn(time.Second)
	got, changed, err := r.UpdateProfile(ctx, p.ID, u.ID, func(u *userpool.User) error {
		u.Profile.Nickname, u.Username = "Lee", "lee"
		u.Attributes["company"], u.Attributes["bio"] = "示例公司", ""
		return nil
	})
	if err != nil || !changed || got.Profile.Nickname != "Lee" || got.Username != "lee" || !got.UpdatedAt.Equal(r.now()) ||
		!maps.Equal(got.Attributes, map[string]string{"company": "示例公司"}) || got.Phone != u.Phone || got.UnionID != u.UnionID {
		t.Fatalf("UpdateProfile: %+v, %t, %v", got, changed, err)
	}
	again, changed, err := r.UpdateProfile(ctx, p.ID, u.ID, func(u *userpool.User) error {
		u.Profile.Nickname, u.Attributes["title"] = "Lee", ""
		return nil
	})
	if err != nil || changed || again.Profile != got.Profile || !again.UpdatedAt.Equal(got.UpdatedAt) {
		t.Errorf("the same again: %+v, %t, %v, want no change", again, changed, err)
	}
	if got, _, err := r.UpdateProfile(ctx, p.ID, u.ID, func(u *userpool.User) error { delete(u.Attributes, "company"); return nil }); err != nil || got.Attributes != nil {
		t.Errorf("removed: %v, %v", got.Attributes, err)
	}
}

func TestUpdateProfileRefuses(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	u := r.signIn(p, "alice", "13800138000")
	own := errors.New("own")
	other := r.named(p, "bob", "Bob", userpool.Profile{})
	if _, err := r.CreateUser(ctx, userpool.User{PoolID: p.ID, ID: "10001"}); err != nil {
		t.Fatal(err)
	}
	bad := func(field string) func(error) bool {
		return func(err error) bool {
			i := (*userpool.InvalidError)(nil)
			return errors.As(err, &i) && i.Field == field
		}
	}
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	programs := func(err error) bool { return err != nil && strings.Contains(err.Error(), "UpdateProfile changes") }
	for name, row := range map[string]struct {
		id     string
		change func(*userpool.User) error
		want   func(error) bool
	}{
		"own error":     {u.ID, func(*userpool.User) error { return own }, is(own)},
		"nobody":        {"nobody", func(*userpool.User) error { return nil }, is(userpool.ErrUserNotFound)},
		"nickname":      {u.ID, func(u *userpool.User) error { u.Profile.Nickname = strings.Repeat("李", 65); return nil }, bad("userInfo.nickName")},
		"avatar":        {u.ID, func(u *userpool.User) error { u.Profile.AvatarURL = "http://example.com/"; return nil }, bad("userInfo.avatarUrl")},
		"phone":         {u.ID, func(u *userpool.User) error { u.Phone = "13800138000"; return nil }, bad("phone")},
		"long":          {u.ID, func(u *userpool.User) error { u.Attributes["bio"] = strings.Repeat("a", 513); return nil }, bad("bio")},
		"control":       {u.ID, func(u *userpool.User) error { u.Attributes["bio"] = "a\x00"; return nil }, bad("bio")},
		"email":         {u.ID, func(u *userpool.User) error { u.Attributes["email"] = "lee"; return nil }, bad("email")},
		"unknown":       {u.ID, func(u *userpool.User) error { u.Attributes["isAdmin"] = "true"; return nil }, bad("attributes")},
		"reserved name": {u.ID, func(u *userpool.User) error { u.Username = "wechat-x"; return nil }, bad("username")},
		"id for a name": {u.ID, func(u *userpool.User) error { u.Username = other.ID; return nil }, bad("username")},
		"upper case":    {u.ID, func(u *userpool.User) error { u.Username = strings.ToUpper(other.ID); return nil }, bad("username")},
		"moved's id":    {u.ID, func(u *userpool.User) error { u.Username = "10001"; return nil }, is(userpool.ErrUserExists)},
		"taken name":    {u.ID, func(u *userpool.User) error { u.Username = "Bob"; return nil }, is(userpool.ErrUserExists)},
		"second name":   {other.ID, func(u *userpool.User) error { u.Username = "Rob"; return nil }, programs},
		"block":         {u.ID, func(u *userpool.User) error { u.Blocked = true; return nil }, programs},
		"unionid":       {u.ID, func(u *userpool.User) error { u.UnionID = "u"; return nil }, programs},
		"identity":      {u.ID, func(u *userpool.User) error { u.Identities[0].OpenID = "o"; return nil }, programs},
		"method":        {u.ID, func(u *userpool.User) error { u.RegisterMethod = "m"; return nil }, programs},
	} {
		if _, changed, err := r.UpdateProfile(ctx, p.ID, row.id, row.change); changed || !row.want(err) {
			t.Errorf("%s: %t, %v", name, changed, err)
		}
	}
	if got := r.stored(u); got.Profile != u.Profile || got.UnionID != u.UnionID || got.Phone != u.Phone || got.Attributes != nil || got.Identities[0] != u.Identities[0] {
		t.Errorf("afterwards: %+v, want %+v", got, u)
	}
}

// A phone that replaces another is in the audit trail.
func TestUpdateProfilePhoneAudited(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	u := r.signIn(p, "alice", "13800138000")
	for _, phone := range []userpool.Phone{"+8613900139000", "", "+8613900139001"} {
		if _, _, err := r.UpdateProfile(ctx, p.ID, u.ID, func(u *userpool.User) error { u.Phone = phone; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	events, _, err := r.store.Events(ctx, audit.Query{Type: audit.UserPhoneChanged, Limit: 10})
	if err != nil || len(events) != 2 || events[0].UserID != u.ID {
		t.Errorf("phone changes: %+v, %v, want two of %s", events, err, u.ID)
	}
}
