//go:build linux

package postgres_test

import (
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store/postgres"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/storetest"
	"app2wxapp/userpool"
)

// inForce is how long a change may take to be in force in another process; the
// contract's second, and some more for a machine that is busy with tests.
const inForce = 3 * time.Second

func rename(t *testing.T, s *postgres.Store, to string) {
	t.Helper()
	check(t, second(s.UpdatePool(ctx, "p", func(p *userpool.Pool) (audit.Event, error) { p.Name = to; return audit.Event{}, nil })))
}

func called(s *postgres.Store, want string) func() bool {
	return func() bool {
		p, err := s.Pool(ctx, "p")
		return err == nil && p.Name == want
	}
}

// A change made in one process is in force in the other, whether or not
// notifications come, and after PostgreSQL was away.
func TestSettingsInForce(t *testing.T) {
	server := pgtest.Start(t)
	url := pgtest.NewOn(t, server.URL("postgres"))
	a, b := open(t, url), open(t, url)
	check(t, a.CreatePool(ctx, storetest.Pool("p"), audit.Event{}))
	eventually(t, "a new pool is known", inForce, called(b, "示例"))
	rename(t, a, "told")
	eventually(t, "a change is in force", inForce, called(b, "told"))

	pgtest.Exec(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'`)
	rename(t, a, "not told")
	eventually(t, "a change without a notification is in force", inForce, called(b, "not told"))

	server.Stop(t)
	// Nobody is let in by settings that nobody can confirm.
	eventually(t, "old settings are not used", inForce, func() bool { return second(b.Pool(ctx, "p")) != nil })
	wantErr(t, "settings while PostgreSQL is down", second(b.Pool(ctx, "p")), userpool.ErrUnavailable)
	wantErr(t, "Ready while PostgreSQL is down", b.Ready(), userpool.ErrUnavailable)
	server.Restart(t)
	eventually(t, "ready again", 10*time.Second, func() bool { return a.Ready() == nil && b.Ready() == nil })
	rename(t, a, "back")
	eventually(t, "a change is in force again", inForce, called(b, "back"))
}

// Through a pooler there are no notifications.
func TestSettingsInForceThroughPooler(t *testing.T) {
	url := pgtest.New(t)
	a := open(t, url) // which makes the tables
	b := open(t, url+"&pooler=transaction")
	seed(t, a)
	eventually(t, "a new pool is known", inForce, called(b, "示例"))
	rename(t, a, "new")
	eventually(t, "a change is in force", inForce, called(b, "new"))
}
