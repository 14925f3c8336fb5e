//go:build linux

package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"app2wxapp/store/postgres"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/userpool"
)

// share tells the others n events of a key, unless it is 0, and returns what they
// told.
func share(t *testing.T, s *postgres.Store, key string, n int) (heard []string) {
	t.Helper()
	var mine []userpool.Count
	if n > 0 {
		mine = []userpool.Count{{Limit: "l", Key: key, N: n}}
	}
	others, err := s.ShareCounts(ctx, mine)
	check(t, err)
	for _, o := range others {
		if o.Age < 0 || o.Age > time.Minute {
			t.Errorf("told %v ago", o.Age)
		}
		for _, c := range o.Counts {
			heard = append(heard, fmt.Sprint(c.Limit, " ", c.Key, " ", c.N))
		}
	}
	slices.Sort(heard) // processes are in no order
	return heard
}

func wantHeard(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: heard %q, want %q", what, got, want)
	}
}

// Each hears once what the others tell, who begins late the last minute's, and
// nobody what is over.
func TestCountsAreHeardOnce(t *testing.T) {
	url := pgtest.New(t)
	a, b, c := open(t, url), open(t, url), open(t, url)
	wantHeard(t, "a", share(t, a, "a", 1))
	wantHeard(t, "b", share(t, b, "b", 2), "l a 1")
	wantHeard(t, "a", share(t, a, "a", 3), "l b 2")
	wantHeard(t, "c", share(t, c, "", 0), "l a 1", "l a 3", "l b 2")
	wantHeard(t, "b", share(t, b, "", 0), "l a 3")
	for _, s := range []*postgres.Store{a, b, c} {
		wantHeard(t, "once more", share(t, s, "", 0))
	}
	pgtest.Exec(t, url, `UPDATE counted SET at = at - interval '1 minute' WHERE no = 1`)
	wantHeard(t, "who begins", share(t, open(t, url), "", 0), "l a 3")
	pgtest.Exec(t, url, `UPDATE counted SET at = at - interval '2 minutes' WHERE no = 1`)
	if n, err := a.SweepTickets(ctx, t0, 100); n != 2 || err != nil {
		t.Errorf("swept %d rows, %v, want the two that are over", n, err)
	}
}

// What could not be told is told later.
func TestCountsOutliveAnOutage(t *testing.T) {
	server := pgtest.Start(t)
	url := pgtest.NewOn(t, server.URL("postgres"))
	a, b := open(t, url), open(t, url)
	share(t, b, "", 0)
	server.Stop(t)
	for n := range 2 {
		_, err := a.ShareCounts(ctx, []userpool.Count{{Limit: "l", Key: "k", N: n + 1}})
		wantErr(t, "counts while PostgreSQL is down", err, userpool.ErrUnavailable)
	}
	server.Restart(t)
	eventually(t, "ready again", func() bool { return a.Ready() == nil && b.Ready() == nil })
	share(t, a, "", 0)
	wantHeard(t, "afterwards", share(t, b, "", 0), "l k 1", "l k 2")
}
