package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/userpool"
)

func testPools(t *testing.T, s store.Store) {
	want := Pool("p1")
	_, err := s.Pool(ctx, "p1")
	wantErr(t, "unknown pool", err, userpool.ErrPoolNotFound)
	check(t, s.CreatePool(ctx, want, audit.Event{}))
	wantErr(t, "created again", s.CreatePool(ctx, Pool("p1"), audit.Event{}), userpool.ErrPoolExists)
	same(t, "pool", must[userpool.Pool](t)(s.Pool(ctx, "p1")), want)

	refused := errors.New("refused")
	_, err = s.UpdatePool(ctx, "p1", silent(func(p *userpool.Pool) error { p.Name = "lost"; return refused }))
	wantErr(t, "refused change", err, refused)
	_, err = s.UpdatePool(ctx, "p2", silent(func(*userpool.Pool) error { return nil }))
	wantErr(t, "change of an unknown pool", err, userpool.ErrPoolNotFound)
	want.Name, want.SecretOptional = "new", false
	got := must[userpool.Pool](t)(s.UpdatePool(ctx, "p1", silent(func(p *userpool.Pool) error { p.Name, p.SecretOptional = "new", false; return nil })))
	same(t, "returned", got, want)
	same(t, "stored", must[userpool.Pool](t)(s.Pool(ctx, "p1")), want)
}

func testPoolsList(t *testing.T, s store.Store) {
	for _, id := range []string{"c", "a", "b", "d"} {
		check(t, s.CreatePool(ctx, Pool(id), audit.Event{}))
	}
	for _, row := range []struct {
		after string
		limit int
		want  string
	}{{"", 10, "[a b c d]"}, {"", 2, "[a b]"}, {"b", 2, "[c d]"}, {"bb", 1, "[c]"}, {"d", 5, "[]"}} {
		ids := []string{}
		for _, p := range must[[]userpool.Pool](t)(s.Pools(ctx, row.after, row.limit)) {
			ids = append(ids, p.ID)
		}
		if got := fmt.Sprint(ids); got != row.want {
			t.Errorf("Pools(%q, %d): got %s, want %s", row.after, row.limit, got, row.want)
		}
	}
}

func testUpdatePoolAtomic(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	together(50, func(i int) {
		_, err := s.UpdatePool(ctx, "p", silent(func(p *userpool.Pool) error {
			p.AllowedApps = append(p.AllowedApps, fmt.Sprint(i))
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
	})
	if got := len(must[userpool.Pool](t)(s.Pool(ctx, "p")).AllowedApps); got != 51 {
		t.Errorf("after 50 appends at once: %d entries, want 51", got)
	}
}

func testTouchSecrets(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	last := func() time.Time { return must[userpool.Pool](t)(s.Pool(ctx, "p")).Secrets[0].LastUsedAt }
	check(t, s.TouchSecrets(ctx, "p", map[string]time.Time{"s1": T0, "gone": T0}))
	if got := last(); !got.Equal(T0) {
		t.Errorf("last use: %v, want %v", got, T0)
	}
	check(t, s.TouchSecrets(ctx, "p", map[string]time.Time{"s1": T0.Add(-time.Hour)}))
	if got := last(); !got.Equal(T0) {
		t.Errorf("after an older time: %v, want %v", got, T0)
	}
}
