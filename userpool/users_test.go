package userpool_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"app2wxapp/userpool"
)

func TestCreateUser(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	u := r.imported(p, userpool.User{UnionID: "oU"})
	if u.ID != r.stored(u).ID || u.RegisterMethod != "import" || !u.SignedUp.Equal(t0) || !u.UpdatedAt.Equal(t0) {
		t.Errorf("created: %+v", u)
	}
	given := r.imported(p, userpool.User{ID: "given", SignedUp: t0.Add(-time.Hour), RegisterMethod: "basic:phone-code", Phone: "+8613800138000"})
	if got := r.stored(given); got.ID != "given" || !got.SignedUp.Equal(t0.Add(-time.Hour)) || got.RegisterMethod != "basic:phone-code" {
		t.Errorf("created as given: %+v", got)
	}
	if _, err := r.CreateUser(ctx, userpool.User{PoolID: p.ID, UnionID: "oU"}); !errors.Is(err, userpool.ErrUserExists) {
		t.Errorf("unionid twice: got %v, want ErrUserExists", err)
	}
	if _, err := r.CreateUser(ctx, userpool.User{PoolID: "nope"}); !errors.Is(err, userpool.ErrPoolNotFound) {
		t.Errorf("unknown pool: got %v, want ErrPoolNotFound", err)
	}
}

func TestCreateUserValidation(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	for _, row := range []struct {
		field string
		user  userpool.User
	}{
		{"id", userpool.User{ID: "a/b"}},
		{"id", userpool.User{ID: strings.Repeat("a", 65)}},
		{"phone", userpool.User{Phone: "13800138000"}},
		{"phone", userpool.User{Phone: "+0123456789"}},
		{"phone", userpool.User{Phone: "+12345"}},
		{"phone", userpool.User{Phone: "+1234567890123456"}},
		{"phone", userpool.User{Phone: "+86 13800138000"}},
		{"unionid", userpool.User{UnionID: "o U"}},
		{"identities[1]", userpool.User{Identities: []userpool.Identity{identity(game, "a"), {AppID: game}}}},
		{"identities[0]", userpool.User{Identities: []userpool.Identity{{OpenID: "o"}}}},
		{"userInfo.gender", userpool.User{Profile: userpool.Profile{Gender: 3}}},
	} {
		row.user.PoolID = p.ID
		_, err := r.CreateUser(ctx, row.user)
		if bad := (*userpool.InvalidError)(nil); !errors.As(err, &bad) || bad.Field != row.field {
			t.Errorf("%+v: got %v, want an InvalidError of %s", row.user, err, row.field)
		}
	}
}

func TestSignOutAndBlock(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	u := r.signIn(p, "alice", "")
	r.turn(time.Minute)
	got, err := r.SignOut(ctx, p.ID, u.ID)
	if err != nil || !got.NotBefore.Equal(r.now()) || got.Blocked || !got.UpdatedAt.Equal(r.now()) {
		t.Errorf("signed out: %+v, %v", got, err)
	}
	r.turn(time.Minute)
	if got, err = r.SetBlocked(ctx, p.ID, u.ID, true); err != nil || !got.NotBefore.Equal(r.now()) || !got.Blocked {
		t.Errorf("blocked: %+v, %v", got, err)
	}
	r.turn(time.Minute)
	blocked := got.NotBefore
	if got, err = r.SetBlocked(ctx, p.ID, u.ID, false); err != nil || !got.NotBefore.Equal(blocked) || got.Blocked {
		t.Errorf("let in again: %+v, %v, want not before %v", got, err, blocked)
	}
	for _, id := range []string{"nope", "", "a/b", p.ID + "/" + u.ID} {
		_, err := r.User(ctx, p.ID, id)
		_, err2 := r.SignOut(ctx, p.ID, id)
		for _, err := range []error{err, err2} {
			if !errors.Is(err, userpool.ErrUserNotFound) {
				t.Errorf("user %q: got %v, want ErrUserNotFound", id, err)
			}
		}
		if _, err := r.SetBlocked(ctx, id, u.ID, true); !errors.Is(err, userpool.ErrPoolNotFound) {
			t.Errorf("user of pool %q: got %v, want ErrPoolNotFound", id, err)
		}
	}
}
