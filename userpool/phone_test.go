package userpool_test

import (
	"testing"

	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

func matchPhone(s *userpool.Settings) { s.MatchPhone = true }

// imported stores a user with a phone who comes from elsewhere.
func (r *rig) imported(p userpool.Pool, u userpool.User) userpool.User {
	r.t.Helper()
	u.PoolID = p.ID
	u, err := r.CreateUser(ctx, u)
	if err != nil {
		r.t.Fatal(err)
	}
	return u
}

func TestMatchPhone(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, matchPhone)
	r.imported(p, userpool.User{ID: "imported", Phone: "+8613800138000"})
	if u := r.signIn(p, "alice", ""); u.ID == "imported" {
		t.Error("found without any phone")
	}
	r.nobody(p, userpool.Keys{Phone: "+8613900139000"})
	u := r.signIn(p, "bob", "13800138000")
	if u.ID != "imported" || u.UnionID != sandbox.UnionID(platform, "bob") || u.OpenID(game) != sandbox.OpenID(game, "bob") {
		t.Errorf("by phone: %+v, want the imported user with bob's keys", u)
	}
	r.noted([]string{"13800138000", u.UnionID}, "existing user found by verified phone")
	if u := r.signIn(p, "bob", ""); u.ID != "imported" {
		t.Errorf("afterwards by unionid: %s", u.ID)
	}
}

func TestMatchPhoneOffByDefault(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	r.imported(p, userpool.User{ID: "imported", Phone: "+8613800138000"})
	if u := r.signIn(p, "alice", "13800138000"); u.ID == "imported" {
		t.Error("matched by phone in a pool that does not")
	}
	r.noted(nil)
}

// Numbers are given out again: the old owner's account stays theirs.
func TestRecycledPhone(t *testing.T) {
	for _, row := range []struct {
		name string
		app  string
		old  userpool.User
	}{
		{"another unionid", game, userpool.User{UnionID: sandbox.UnionID(platform, "old")}},
		{"another unionid, now none", alone, userpool.User{UnionID: sandbox.UnionID(platform, "old")}},
		{"another openid of the mini program", alone, userpool.User{Identities: []userpool.Identity{identity(alone, "old")}}},
	} {
		r := newRig(t)
		p := r.pool(row.app, matchPhone)
		row.old.ID, row.old.Phone = "old", "+8613800138000"
		old := r.imported(p, row.old)
		u := r.signIn(p, "new", "13800138000")
		if u.ID == "old" {
			t.Errorf("%s: the new owner of the number got the old one's account", row.name)
		}
		if got := r.stored(old); got.Phone != old.Phone || len(got.Identities) != len(old.Identities) || got.UnionID != old.UnionID {
			t.Errorf("%s: the old owner is now %+v", row.name, got)
		}
	}
}

func TestAmbiguousPhone(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, matchPhone)
	for _, id := range []string{"first", "second"} {
		r.imported(p, userpool.User{ID: id, Phone: "+8613800138000"})
	}
	if u := r.signIn(p, "alice", "13800138000"); u.ID == "first" || u.ID == "second" {
		t.Errorf("one of two was guessed: %s", u.ID)
	}
}

func TestClosedPoolMatchesPhone(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, matchPhone, func(s *userpool.Settings) { s.Signup = userpool.SignupClosed })
	r.imported(p, userpool.User{ID: "imported", Phone: "+8613800138000"})
	r.refused(p, "alice", "13900139000", userpool.ErrSignupClosed)
	if u := r.signIn(p, "alice", "13800138000"); u.ID != "imported" {
		t.Errorf("got %s", u.ID)
	}
}

func TestBlockedUserFoundByPhone(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, matchPhone)
	r.imported(p, userpool.User{ID: "imported", Phone: "+8613800138000", Blocked: true})
	r.refused(p, "alice", "13800138000", userpool.ErrBlocked)
	r.nobody(p, userpool.Keys{UnionID: sandbox.UnionID(platform, "alice"), Identity: identity(game, "alice")})
}

func TestPhoneChanges(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	u := r.signIn(p, "alice", "")
	if again := r.signIn(p, "alice", "13800138000"); again.ID != u.ID || string(again.Phone) != "+8613800138000" {
		t.Errorf("first number: %s %q", again.ID, string(again.Phone))
	}
	r.noted(nil) // a first number is no change
	if again := r.signIn(p, "alice", "+85261234567"); again.ID != u.ID || string(again.Phone) != "+85261234567" {
		t.Errorf("new number: %s %q", again.ID, string(again.Phone))
	}
	r.noted([]string{"13800138000", "61234567"}, "the user's phone changed")
	r.nobody(p, userpool.Keys{Phone: "+8613800138000"})
	if again := r.signIn(p, "alice", ""); string(again.Phone) != "+85261234567" {
		t.Errorf("no phone code took the number away: %q", string(again.Phone))
	}
}

// A phone code of another user does not give that user's number away.
func TestForeignPhoneCode(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	l := r.login(p, "mallory", "")
	l.PhoneCode = r.weixin.PhoneCode(game, "victim", "13800138000")
	if _, err := r.SignIn(ctx, p, l); err == nil {
		t.Error("signed in with the phone code of another user")
	}
	r.nobody(p, userpool.Keys{UnionID: sandbox.UnionID(platform, "mallory"), Phone: "+8613800138000"})
}
