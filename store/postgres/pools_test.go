//go:build linux

package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store/postgres"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/storetest"
	"app2wxapp/userpool"
)

// inForce waits until ok is true, which must be so of any call that begins a
// second after now, however busy the machine is: a store does not use what it
// has not confirmed for so long.
func inForce(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); ; <-time.After(5 * time.Millisecond) {
		late := time.Since(start) > time.Second
		if ok() {
			return
		}
		if late {
			t.Fatalf("not within a second: %s", what)
		}
	}
}

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

// notified makes changes in one store, each when the other has seen the last,
// until the other has seen more than by looking for them alone: that is one in
// each ReadEvery, however fast the machine is.
func notified(t *testing.T, what string, a, b *postgres.Store) {
	t.Helper()
	// Beside those looks there may be one that was due, and those at which the
	// other began to listen.
	const more = 5
	start := time.Now()
	for seen := 1; seen <= 100; seen++ {
		to := fmt.Sprint(what, " ", seen)
		rename(t, a, to)
		inForce(t, "a change is in force", called(b, to))
		if seen > int(time.Since(start)/postgres.ReadEvery)+more {
			return
		}
	}
	t.Fatalf("%s: 100 changes took %v to be in force one after the other, as without notifications", what, time.Since(start))
}

// A change made in one process is in force in the other, whether or not
// notifications come, and after PostgreSQL was away.
func TestSettingsInForce(t *testing.T) {
	server := pgtest.Start(t)
	url := pgtest.NewOn(t, server.URL("postgres"))
	a, b := open(t, url), open(t, url)
	check(t, a.CreatePool(ctx, storetest.Pool("p"), audit.Event{}))
	inForce(t, "a new pool is known", called(b, "示例"))
	rename(t, a, "told")
	inForce(t, "a change is in force", called(b, "told"))
	notified(t, "told", a, b)

	pgtest.Exec(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'`)
	rename(t, a, "not told")
	inForce(t, "a change without a notification is in force", called(b, "not told"))

	server.Stop(t)
	// Nobody is let in by settings that nobody can confirm.
	inForce(t, "old settings are not used", func() bool { return second(b.Pool(ctx, "p")) != nil })
	wantErr(t, "settings while PostgreSQL is down", second(b.Pool(ctx, "p")), userpool.ErrUnavailable)
	wantErr(t, "Ready while PostgreSQL is down", b.Ready(), userpool.ErrUnavailable)
	server.Restart(t)
	eventually(t, "ready again", func() bool { return a.Ready() == nil && b.Ready() == nil })
	rename(t, a, "back")
	inForce(t, "a change is in force again", called(b, "back"))
	notified(t, "back", a, b)
}

// Through a pooler there are no notifications.
func TestSettingsInForceThroughPooler(t *testing.T) {
	url := pgtest.New(t)
	a := open(t, url) // which makes the tables
	b := open(t, url+"&pooler=transaction")
	seed(t, a)
	inForce(t, "a new pool is known", called(b, "示例"))
	rename(t, a, "new")
	inForce(t, "a change is in force", called(b, "new"))
}
