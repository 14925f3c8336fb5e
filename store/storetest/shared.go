package storetest

import (
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/store"
	"app2wxapp/userpool"
)

func testCodes(t *testing.T, s store.Store) {
	claim := func(what string, k userpool.CodeKey, after time.Duration, want bool) {
		t.Helper()
		if got := must[bool](t)(s.ClaimCode(ctx, k, T0.Add(after))); got != want {
			t.Errorf("%s: fresh %v, want %v", what, got, want)
		}
	}
	a, b := userpool.CodeKey{1}, userpool.CodeKey{2}
	claim("first", a, 0, true)
	claim("again", a, 0, false)
	claim("another code", b, 0, true)
	claim("in its last millisecond", a, userpool.CodeMemory-time.Millisecond, false)
	claim("by a clock that is behind", a, -time.Hour, false)
	check(t, s.ReleaseCode(ctx, a))
	check(t, s.ReleaseCode(ctx, userpool.CodeKey{3})) // of which nobody knows
	claim("released", a, time.Second, true)
	claim("again", a, time.Second, false)
	_, err := s.SweepTickets(ctx, T0.Add(userpool.CodeMemory-time.Millisecond), 100)
	check(t, err)
	claim("swept too early", b, userpool.CodeMemory-time.Millisecond, false)
}

// Each of many codes that many claim at once has one who is told that it is
// fresh.
func testCodesRace(t *testing.T, s store.Store) {
	const codes, callers = 20, 16
	var fresh [codes]atomic.Int32
	together(codes*callers, func(i int) {
		switch ok, err := s.ClaimCode(ctx, userpool.CodeKey{byte(i % codes)}, T0); {
		case err != nil:
			t.Error(err)
		case ok:
			fresh[i%codes].Add(1)
		}
	})
	for i := range fresh {
		if n := fresh[i].Load(); n != 1 {
			t.Errorf("code %d was fresh %d times, want once", i, n)
		}
	}
}

// A process does not hear what it told itself. What several tell each other is
// for the stores that several can have.
func testShareCounts(t *testing.T, s store.Store) {
	for _, mine := range [][]userpool.Count{nil, {{Limit: "l", Key: "k", N: 3}}, nil} {
		if others := must[[]userpool.Counted](t)(s.ShareCounts(ctx, mine)); len(others) > 0 {
			t.Errorf("heard %v, want nothing", others)
		}
	}
}
