//go:build linux

package postgres_test

import (
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/store/postgres"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/userpool"
)

// A code is claimed once by all processes together, whatever the order in which
// they claim.
func TestCodesOfManyProcesses(t *testing.T) {
	const codes, processes = 100, 3
	url := pgtest.New(t)
	var stores []*postgres.Store
	for range processes {
		stores = append(stores, open(t, url))
	}
	var fresh [codes]atomic.Int32
	together(codes*processes, func(i int) {
		process, code := i%processes, i/processes
		if process == 1 {
			code = codes - 1 - code
		}
		switch ok, err := stores[process].ClaimCode(ctx, userpool.CodeKey{byte(code)}, t0); {
		case err != nil:
			t.Error(err)
		case ok:
			fresh[code].Add(1)
		}
	})
	for i := range fresh {
		if n := fresh[i].Load(); n != 1 {
			t.Errorf("code %d was fresh %d times, want once", i, n)
		}
	}
}

// A code is forgotten after its time, swept or not.
func TestCodesAreForgotten(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	a, b := userpool.CodeKey{1}, userpool.CodeKey{2}
	claim := func(what string, k userpool.CodeKey, at time.Time, want bool) {
		t.Helper()
		got, err := s.ClaimCode(ctx, k, at)
		check(t, err)
		if got != want {
			t.Errorf("%s: fresh %v, want %v", what, got, want)
		}
	}
	claim("first", a, t0, true)
	claim("first", b, t0, true)
	over := t0.Add(userpool.CodeMemory)
	claim("over", a, over, true)
	claim("claimed anew", a, over, false)
	if n, err := s.SweepTickets(ctx, over, 100); n != 1 || err != nil {
		t.Errorf("swept %d rows, %v, want 1, the code that is over", n, err)
	}
	claim("swept", b, over, true)
}
