package userpool_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

func TestFirstSignInCreatesUser(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	u := r.signIn(p, "alice", "13800138000")
	if !slices.Equal(u.Identities, []userpool.Identity{identity(game, "alice")}) || u.UnionID != sandbox.UnionID(platform, "alice") ||
		u.Phone != "+8613800138000" || u.RegisterMethod != "oauth:app2wxapp" || !u.SignedUp.Equal(t0) || !u.UpdatedAt.Equal(t0) ||
		u.PoolID != p.ID || u.Logins.Count != 0 || u.Blocked {
		t.Errorf("created: %+v", u)
	}
	if got := r.stored(u); !slices.Equal(got.Identities, u.Identities) || string(got.Phone) != string(u.Phone) || got.UnionID != u.UnionID {
		t.Errorf("stored %+v, want %+v", got, u)
	}
	if n := r.series("app2wxapp_phone_verifications_total"); n != 1 {
		t.Errorf("phone verifications counted: %v, want 1", n)
	}
	r.noted(nil)
}

// A user who comes again without news costs no write.
func TestSecondSignInWritesNothing(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	first := r.signIn(p, "alice", "13800138000")
	commits := r.series("app2wxapp_store_commit_writes")
	r.turn(time.Hour)
	again := r.signIn(p, "alice", "13800138000")
	if again.ID != first.ID || !again.UpdatedAt.Equal(t0) {
		t.Errorf("second sign-in: user %s of %v, want %s of %v", again.ID, again.UpdatedAt, first.ID, t0)
	}
	if n := r.series("app2wxapp_store_commit_writes"); n != commits {
		t.Errorf("second sign-in made %v commits, want none", n-commits)
	}
}

func TestUsersStayInTheirPool(t *testing.T) {
	r := newRig(t)
	p, q := r.pool(game), r.pool(game)
	if a, b := r.signIn(p, "alice", ""), r.signIn(q, "alice", ""); a.ID == b.ID || b.PoolID != q.ID {
		t.Errorf("pools share the user %s", a.ID)
	}
}

// Without an Open Platform account a user is known by openid, and gets the
// unionid once WeChat reports one.
func TestOpenIDUserGetsUnionID(t *testing.T) {
	r := newRig(t)
	p := r.pool(alone)
	first := r.signIn(p, "alice", "")
	if first.UnionID != "" {
		t.Fatalf("unionid without a platform: %q", first.UnionID)
	}
	if again := r.signIn(p, "alice", ""); again.ID != first.ID {
		t.Errorf("second sign-in by openid: %s, want %s", again.ID, first.ID)
	}
	r.weixin.AddApp(sandbox.App{ID: alone, Secret: appSecret, Platform: platform})
	r.turn(time.Minute)
	u := r.signIn(p, "alice", "")
	if u.ID != first.ID || u.UnionID != sandbox.UnionID(platform, "alice") || len(u.Identities) != 1 || !u.UpdatedAt.Equal(r.now()) {
		t.Errorf("after the app was bound: %+v, want %s with the unionid", u, first.ID)
	}
	m, err := r.store.FindUsers(ctx, p.ID, userpool.Keys{UnionID: u.UnionID})
	if err != nil || m.ByUnionID == nil || m.ByUnionID.ID != first.ID {
		t.Errorf("by unionid: %+v, %v", m, err)
	}
	r.noted(nil) // a first unionid is no change
}

func TestMovedToAnotherPlatform(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	first := r.signIn(p, "alice", "")
	r.weixin.AddApp(sandbox.App{ID: game, Secret: appSecret, Platform: "other"})
	u := r.signIn(p, "alice", "")
	if u.ID != first.ID || u.UnionID != sandbox.UnionID("other", "alice") {
		t.Errorf("got %s %s, want %s with the new unionid", u.ID, u.UnionID, first.ID)
	}
	r.nobody(p, userpool.Keys{UnionID: first.UnionID})
	r.noted([]string{u.UnionID, first.UnionID}, "the user's unionid changed")
}

// change gives the pool another mini program.
func (r *rig) change(p userpool.Pool, appID string) userpool.Pool {
	r.t.Helper()
	p, err := r.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error { s.AppID = appID; return nil })
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func TestTwoMiniProgramsOneUser(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	first := r.signIn(p, "alice", "")
	u := r.signIn(r.change(p, shop), "alice", "")
	if want := []userpool.Identity{identity(game, "alice"), identity(shop, "alice")}; u.ID != first.ID || !slices.Equal(u.Identities, want) {
		t.Errorf("got %s %v, want %s %v", u.ID, u.Identities, first.ID, want)
	}
	if got := u.OpenID(game); got != sandbox.OpenID(game, "alice") {
		t.Errorf("OpenID(game): %q", got)
	}
}

// Users who turn out to be one are reported; neither is changed.
func TestTwoUsersWhoAreOne(t *testing.T) {
	r := newRig(t)
	p := r.pool(alone)
	byOpenID := r.signIn(p, "alice", "")
	byUnionID := r.signIn(r.change(p, game), "alice", "")
	if byOpenID.ID == byUnionID.ID {
		t.Fatal("one user before WeChat said so")
	}
	r.noted(nil)
	r.weixin.AddApp(sandbox.App{ID: alone, Secret: appSecret, Platform: platform})
	p = r.change(p, alone)
	for range 2 { // at every sign-in, until somebody merges them
		u := r.signIn(p, "alice", "")
		if u.ID != byUnionID.ID {
			t.Errorf("signed in as %s, want %s, who has the unionid", u.ID, byUnionID.ID)
		}
		r.noted([]string{u.UnionID, u.Identities[0].OpenID, byOpenID.Identities[0].OpenID},
			`"user":"`+byUnionID.ID+`","user_by_openid":"`+byOpenID.ID+`"`)
	}
	for _, u := range []userpool.User{byOpenID, byUnionID} {
		if got := r.stored(u); !slices.Equal(got.Identities, u.Identities) || got.UnionID != u.UnionID {
			t.Errorf("changed: %+v, want %+v", got, u)
		}
	}
}

func TestManyFirstSignInsMakeOneUser(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	var mu sync.Mutex
	ids := map[string]bool{}
	together(24, func(int) {
		u, err := r.SignIn(ctx, p, r.login(p, "alice", "13800138000"))
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		ids[u.ID] = true
		mu.Unlock()
	})
	if len(ids) != 1 {
		t.Errorf("24 first sign-ins at once made %d users, want 1", len(ids))
	}
}

func TestSignup(t *testing.T) {
	for _, signup := range []userpool.Signup{userpool.SignupClosed, userpool.SignupBind} {
		r := newRig(t)
		p := r.pool(game, func(s *userpool.Settings) { s.Signup = signup })
		r.refused(p, "alice", "13800138000", userpool.ErrSignupClosed)
		r.nobody(p, userpool.Keys{UnionID: sandbox.UnionID(platform, "alice"), Identity: identity(game, "alice"), Phone: "+8613800138000"})
		if _, err := r.CreateUser(ctx, userpool.User{PoolID: p.ID, ID: "imported", UnionID: sandbox.UnionID(platform, "alice")}); err != nil {
			t.Fatal(err)
		}
		if u := r.signIn(p, "alice", ""); u.ID != "imported" {
			t.Errorf("%s: known user signed in as %s", signup, u.ID)
		}
	}
}

func TestPhoneRequired(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, func(s *userpool.Settings) { s.PhoneRequired = true })
	r.refused(p, "alice", "", userpool.ErrPhoneRequired)
	r.nobody(p, userpool.Keys{UnionID: sandbox.UnionID(platform, "alice"), Identity: identity(game, "alice")})
	first := r.signIn(p, "alice", "13800138000")
	if again := r.signIn(p, "alice", ""); again.ID != first.ID || again.Phone != first.Phone {
		t.Errorf("with the number on file: %+v", again)
	}
}

func TestBlockedUser(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	u := r.signIn(p, "alice", "13800138000")
	r.turn(time.Minute)
	if _, err := r.SetBlocked(ctx, p.ID, u.ID, true); err != nil {
		t.Fatal(err)
	}
	before := r.stored(u)
	r.turn(time.Minute)
	l := r.login(p, "alice", "13900139000")
	l.Profile.Nickname = "new"
	if _, err := r.SignIn(ctx, p, l); !errors.Is(err, userpool.ErrBlocked) {
		t.Errorf("blocked: got %v, want ErrBlocked", err)
	}
	if got := r.stored(u); got.Phone != before.Phone || got.Profile != before.Profile || !got.UpdatedAt.Equal(before.UpdatedAt) {
		t.Errorf("a refused sign-in stored %+v", got)
	}
	if _, err := r.SetBlocked(ctx, p.ID, u.ID, false); err != nil {
		t.Fatal(err)
	}
	if got := r.signIn(p, "alice", ""); got.ID != u.ID || !got.NotBefore.Equal(t0.Add(time.Minute)) {
		t.Errorf("let in again: %+v", got)
	}
}
