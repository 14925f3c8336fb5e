package userpool_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"app2wxapp/userpool"
)

// authenticate shows a secret at the pool as it stands now.
func (r *rig) authenticate(poolID string, secret userpool.Secret) (bool, error) {
	r.t.Helper()
	p, err := r.Pool(ctx, poolID)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.Authenticate(p, string(secret))
}

func TestAuthenticate(t *testing.T) {
	r := newRig(t)
	p, secret, err := r.CreatePool(ctx, userpool.NewPool{Settings: settings(game)})
	if err != nil {
		t.Fatal(err)
	}
	_, foreign, err := r.CreatePool(ctx, userpool.NewPool{Settings: settings(game)})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name     string
		optional bool
		secret   userpool.Secret
		proved   bool
		want     error
	}{
		{"right", false, secret, true, nil},
		{"none", false, "", false, userpool.ErrSecretRequired},
		{"wrong", false, "wrong", false, userpool.ErrSecretWrong},
		{"another pool's", false, foreign, false, userpool.ErrSecretWrong},
		{"the JWT secret", false, p.JWTSecret, false, userpool.ErrSecretWrong},
		{"longer", false, secret + "x", false, userpool.ErrSecretWrong},
		{"right, optional", true, secret, true, nil},
		{"none, optional", true, "", false, nil},
		{"wrong, optional", true, "wrong", false, userpool.ErrSecretWrong},
	} {
		if _, err := r.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error { s.SecretOptional = row.optional; return nil }); err != nil {
			t.Fatal(err)
		}
		if proved, err := r.authenticate(p.ID, row.secret); proved != row.proved || !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, %v, want %v, %v", row.name, proved, err, row.proved, row.want)
		}
	}
}

func TestSecretsTwoAtMost(t *testing.T) {
	r := newRig(t)
	p, first, err := r.CreatePool(ctx, userpool.NewPool{Settings: settings(game)})
	if err != nil {
		t.Fatal(err)
	}
	kept, second, err := r.AddSecret(ctx, p.ID)
	if err != nil || kept.ID == p.Secrets[0].ID || string(first) == string(second) {
		t.Fatalf("second secret: %v", err)
	}
	if _, _, err := r.AddSecret(ctx, p.ID); !errors.Is(err, userpool.ErrSecretLimit) {
		t.Errorf("third secret: got %v, want ErrSecretLimit", err)
	}
	for name, s := range map[string]userpool.Secret{"first": first, "second": second} {
		if proved, err := r.authenticate(p.ID, s); !proved || err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	// A deletion is in force at once.
	if err := r.DeleteSecret(ctx, p.ID, p.Secrets[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.authenticate(p.ID, first); !errors.Is(err, userpool.ErrSecretWrong) {
		t.Errorf("deleted: got %v, want ErrSecretWrong", err)
	}
	if proved, err := r.authenticate(p.ID, second); !proved || err != nil {
		t.Errorf("the other one: %v", err)
	}
	if err := r.DeleteSecret(ctx, p.ID, p.Secrets[0].ID); !errors.Is(err, userpool.ErrSecretNotFound) {
		t.Errorf("deleted again: got %v, want ErrSecretNotFound", err)
	}
	if _, _, err := r.AddSecret(ctx, p.ID); err != nil {
		t.Errorf("a second one again: %v", err)
	}
	if err := r.DeleteSecret(ctx, "nope", "x"); !errors.Is(err, userpool.ErrPoolNotFound) {
		t.Errorf("unknown pool: got %v, want ErrPoolNotFound", err)
	}
}

// Many at once make no third secret.
func TestSecretLimitRace(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	together(8, func(int) {
		if _, _, err := r.AddSecret(ctx, p.ID); err != nil && !errors.Is(err, userpool.ErrSecretLimit) {
			t.Error(err)
		}
	})
	if p, err := r.Pool(ctx, p.ID); err != nil || len(p.Secrets) != userpool.MaxSecrets {
		t.Errorf("%d secrets, %v, want %d", len(p.Secrets), err, userpool.MaxSecrets)
	}
}

// lastUse returns the last use of the pool's first secret.
func (r *rig) lastUse(poolID string) time.Time {
	r.t.Helper()
	p, err := r.PoolWithUses(ctx, poolID)
	if err != nil {
		r.t.Fatal(err)
	}
	return p.Secrets[0].LastUsedAt
}

func TestLastUse(t *testing.T) {
	r := newRig(t)
	p, secret, err := r.CreatePool(ctx, userpool.NewPool{Settings: settings(game)})
	if err != nil {
		t.Fatal(err)
	}
	use := func() {
		t.Helper()
		if _, err := r.authenticate(p.ID, secret); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.lastUse(p.ID); !got.IsZero() {
		t.Errorf("never used: %v", got)
	}
	r.turn(time.Minute)
	commits := r.series("app2wxapp_store_commit_writes")
	use()
	if n := r.series("app2wxapp_store_commit_writes"); n != commits {
		t.Error("a use made a commit")
	}
	if got := r.lastUse(p.ID); !got.Equal(t0.Add(time.Minute)) {
		t.Errorf("shown at once: %v, want %v", got, t0.Add(time.Minute))
	}
	pools, err := r.Pools(ctx, "", 10)
	if err != nil || !pools[0].Secrets[0].LastUsedAt.Equal(t0.Add(time.Minute)) {
		t.Errorf("in the list: %+v, %v", pools, err)
	}
	if err := r.FlushSecretUses(ctx); err != nil {
		t.Fatal(err)
	}
	commits = r.series("app2wxapp_store_commit_writes")
	if err := r.FlushSecretUses(ctx); err != nil || r.series("app2wxapp_store_commit_writes") != commits {
		t.Errorf("a flush without news: commits %v, %v", r.series("app2wxapp_store_commit_writes")-commits, err)
	}
	r.turn(time.Minute)
	use() // not flushed
	r.reopen()
	if got := r.lastUse(p.ID); !got.Equal(t0.Add(time.Minute)) {
		t.Errorf("after a restart: %v, want the flushed %v", got, t0.Add(time.Minute))
	}
	if err := r.FlushSecretUses(ctx); err != nil {
		t.Error(err)
	}
	r.turn(time.Minute)
	use()
	if err := r.FlushSecretUses(ctx); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	if got := r.lastUse(p.ID); !got.Equal(r.now()) {
		t.Errorf("after another restart: %v, want %v", got, r.now())
	}
	// A wrong secret is no use of any.
	r.turn(time.Minute)
	if _, err := r.authenticate(p.ID, "wrong"); err == nil {
		t.Fatal("wrong secret taken")
	}
	if got := r.lastUse(p.ID); !got.Before(r.now()) {
		t.Errorf("a wrong secret counts as a use: %v", got)
	}
}

// failTouch fails TouchSecrets of one pool.
type failTouch struct {
	userpool.Store
	poolID string
}

func (s failTouch) TouchSecrets(ctx context.Context, poolID string, used map[string]time.Time) error {
	if poolID == s.poolID {
		return userpool.ErrUnavailable
	}
	return s.Store.TouchSecrets(ctx, poolID, used)
}

// A pool whose record is damaged does not hold up the others.
func TestFlushGoesOnAfterFailure(t *testing.T) {
	r := newRig(t)
	var pools []userpool.Pool
	var secrets []userpool.Secret
	for range 6 {
		p, secret, err := r.CreatePool(ctx, userpool.NewPool{Settings: settings(game)})
		if err != nil {
			t.Fatal(err)
		}
		pools, secrets = append(pools, p), append(secrets, secret)
	}
	s := r.over(failTouch{r.store, pools[0].ID})
	for i, p := range pools {
		if _, err := s.Authenticate(p, string(secrets[i])); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.FlushSecretUses(ctx); !errors.Is(err, userpool.ErrUnavailable) {
		t.Errorf("flush: got %v, want the failed pool's ErrUnavailable", err)
	}
	for _, p := range pools[1:] {
		if got := r.lastUse(p.ID); !got.Equal(t0) {
			t.Errorf("last use of another pool: %v, want %v", got, t0)
		}
	}
}
