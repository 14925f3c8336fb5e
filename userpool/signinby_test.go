package userpool_test

import (
	"errors"
	"testing"

	"app2wxapp/userpool"
)

// A phone alone lets in whom it shows, of a pool that lets it, and changes
// nobody.
func TestSignInBy(t *testing.T) {
	r := newRig(t)
	byPhone := func(s *userpool.Settings) { s.LoginWays = []userpool.Way{userpool.WayWeChatPhone} }
	p, shut := r.pool(game, byPhone), r.pool(game, matchPhone)
	apps := r.pool(game, byPhone, func(s *userpool.Settings) { s.AllowedApps = []string{"wxapp"} })
	for _, pool := range []userpool.Pool{p, shut, apps} {
		r.imported(pool, userpool.User{ID: "known", Phone: "+8613800138000"})
	}
	r.imported(p, userpool.User{ID: "twin1", Phone: "+8613800138001"})
	r.imported(p, userpool.User{ID: "twin2", Phone: "+8613800138001"})
	r.imported(p, userpool.User{ID: "blocked", Phone: "+8613800138002", Blocked: true})
	bound := r.signIn(p, "bob", "13800138003")
	by := func(pool userpool.Pool, phone string) (userpool.User, error) {
		return r.SignInBy(ctx, pool, r.WeChatPhone(r.weixin.PhoneCode(game, "alice", phone)))
	}
	for _, row := range []struct {
		pool  userpool.Pool
		phone string
		want  error
	}{
		{shut, "13800138000", userpool.ErrWayClosed},
		{apps, "13800138000", userpool.ErrAppNotAllowed},
		{p, "13900139000", userpool.ErrAccountNotFound},
		{p, "13800138001", userpool.ErrAccountUnclear},
		{p, "13800138002", userpool.ErrBlocked},
	} {
		if u, err := by(row.pool, row.phone); !errors.Is(err, row.want) {
			t.Errorf("by %s: %+v, %v, want %v", row.phone, u, err, row.want)
		}
	}
	for phone, want := range map[string]string{"13800138000": "known", "13800138003": bound.ID} {
		u, err := by(p, phone)
		if err != nil || u.ID != want {
			t.Errorf("by %s: %s, %v, want %s", phone, u.ID, err, want)
		}
		if now := r.stored(u); len(now.Identities) != len(u.Identities) || !now.UpdatedAt.Equal(u.UpdatedAt) {
			t.Errorf("by %s the user became %+v", phone, now)
		}
	}
	r.nobody(p, userpool.Keys{Phone: "+8613900139000", Identity: identity(game, "alice")})
}
