//go:build linux

package postgres_test

import (
	"testing"
	"time"

	"app2wxapp/store"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/storetest"
	"app2wxapp/store/storetest/load"
	"app2wxapp/ticket/history"
)

// The contract holds through a PgBouncer in transaction mode.
func TestContractThroughPgBouncer(t *testing.T) {
	b := pgtest.StartBouncer(t, pgtest.New(t))
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, b.URL(t, pgtest.New(t))) })
}

// Three processes behind a PgBouncer that has fewer connections than they: one
// redeemer of each ticket wins, and answers have an order, also where the
// pooler is killed and comes back.
func TestPgBouncer(t *testing.T) {
	database := pgtest.New(t)
	b := pgtest.StartBouncer(t, database)
	url := b.URL(t, database)
	stores := []load.Store{open(t, url), open(t, url), open(t, url)}

	race(t, 100, stores)
	load.History(t, *historyOps/4, stores...)
	kills := 0
	stop := disturb(300*time.Millisecond, func() {
		kills++
		b.Stop()
		b.Restart(t)
	})
	count := load.History(t, *historyOps/4, stores...)
	stop()
	t.Logf("the pooler was killed %d times, %d outcomes unknown", kills, count(history.Unknown))
	if kills == 0 {
		t.Error("the pooler was not killed: the load proves nothing")
	}
}

// Changes of settings are in force within a second through a PgBouncer, with
// notifications around it and, where no way around is given, without.
func TestSettingsInForceThroughPgBouncer(t *testing.T) {
	url := pgtest.New(t)
	b := pgtest.StartBouncer(t, url)
	a := open(t, url)
	seed(t, a)
	for what, through := range map[string]string{"around": b.URL(t, url), "only through": b.Only(t, url)} {
		s := open(t, through)
		rename(t, a, what)
		inForce(t, what+": a change is in force", called(s, what))
		if what == "around" {
			notified(t, what, a, s)
		}
	}
}
