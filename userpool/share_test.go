package userpool_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"app2wxapp/userpool"
)

var addr = netip.MustParseAddr("203.0.113.7")

// board is where processes tell each other, each by a place of its own.
type board struct{ told map[int][]userpool.Counted }

// seat is a process's place at the board.
type seat struct {
	*board
	process int
	heard   map[int]int // of each of the others, how much
	writes  int
}

func (b *board) seat(process int) *seat {
	return &seat{board: b, process: process, heard: map[int]int{}}
}

func (s *seat) ShareCounts(_ context.Context, mine []userpool.Count) (others []userpool.Counted, err error) {
	if len(mine) > 0 {
		s.writes++
		s.told[s.process] = append(s.told[s.process], userpool.Counted{Counts: mine})
	}
	for process, told := range s.told {
		if process != s.process {
			others = append(others, told[s.heard[process]:]...)
			s.heard[process] = len(told)
		}
	}
	return others, nil
}

// replica is a process that counts 60 failures a minute.
type replica struct {
	limits userpool.Limits
	at     *seat
	*userpool.Limiter[netip.Addr]
}

func replicas(n int) (all []*replica) {
	b := &board{told: map[int][]userpool.Counted{}}
	for i := range n {
		r := &replica{at: b.seat(i)}
		r.Limiter = userpool.NewSharedLimiter[netip.Addr](&r.limits, "failures", 60)
		all = append(all, r)
	}
	return all
}

func (r *replica) share(t *testing.T, now time.Time) {
	t.Helper()
	if err := r.limits.Share(ctx, r.at, now); err != nil {
		t.Fatal(err)
	}
}

// let makes as many attempts as are let through, n at most.
func (r *replica) let(k netip.Addr, n int, now time.Time) (through int) {
	for ; through < n && r.Check(k, now) == nil; through++ {
		r.Count(k, now)
	}
	return through
}

// However a stranger spreads the attempts over replicas, they are few more than
// at one, and these are made up for.
func TestLimitIsSharedByReplicas(t *testing.T) {
	const n, minutes = 3, 10
	for _, row := range []struct {
		name  string
		every time.Duration // between attempts at each replica
		each  int           // attempts at a time
		most  int           // let through in all
	}{
		{"as fast as possible", 100 * time.Millisecond, 1000, 60*minutes + 60 + 2*60 + n*minutes},
		{"a bit faster than allowed", 2 * time.Second, 1, 60*minutes + 60 + n*minutes + n},
		{"in bursts", time.Minute, 60, 60*minutes + 60 + 2*60 + n*minutes},
	} {
		rs, now, total := replicas(n), t0, 0
		for ; now.Before(t0.Add(minutes * time.Minute)); now = now.Add(100 * time.Millisecond) {
			for _, r := range rs {
				if now.Sub(t0)%row.every == 0 {
					total += r.let(addr, row.each, now)
				}
			}
			if now.Sub(t0)%time.Second == 0 {
				for _, r := range rs {
					r.share(t, now)
				}
			}
		}
		if total > row.most || total < 60*minutes-60 {
			t.Errorf("%s: %d let through, want about %d and %d at most", row.name, total, 60*minutes, row.most)
		}
		if writes := rs[0].at.writes; writes > minutes*60+1 {
			t.Errorf("%s: %d writes in %d minutes, want one a second at most", row.name, writes, minutes)
		}
		if err := rs[2].Check(netip.MustParseAddr("192.0.2.1"), now); err != nil {
			t.Errorf("%s: another address: %v", row.name, err)
		}
	}
}

// Who hears that the limit is used up lets nothing pass, until what was let pass
// too much is made up for.
func TestLimitHeard(t *testing.T) {
	rs := replicas(3)
	for _, r := range rs[:2] {
		if n := r.let(addr, 100, t0); n != 60 {
			t.Fatalf("%d let through at once, want 60", n)
		}
		r.share(t, t0)
	}
	rs[2].share(t, t0)
	limit := (*userpool.RateLimitError)(nil)
	if err := rs[2].Check(addr, t0); !errors.As(err, &limit) || limit.RetryAfter != 61*time.Second {
		t.Errorf("after 120 elsewhere: %v, want a RateLimitError of 61 s", err)
	}
	if n := rs[2].let(addr, 100, t0.Add(61*time.Second-time.Millisecond)); n != 0 {
		t.Errorf("%d let through before that", n)
	}
	if n := rs[2].let(addr, 100, t0.Add(61*time.Second)); n != 1 {
		t.Errorf("%d let through then, want 1", n)
	}
}

// A mistake a minute is nobody else's business, unless others see some, too.
func TestOneIsNotTold(t *testing.T) {
	rs, now := replicas(2), t0
	for range 100 {
		rs[0].Count(addr, now)
		rs[0].share(t, now)
		now = now.Add(time.Minute)
	}
	if n := rs[0].at.writes; n != 0 {
		t.Errorf("one a minute was told %d times", n)
	}
	rs[0].Count(addr, now)
	now = now.Add(time.Minute - time.Millisecond)
	rs[0].Count(addr, now)
	rs[0].share(t, now)
	rs[1].share(t, now)
	if n := rs[1].let(addr, 100, now); n != 58 {
		t.Errorf("after two within a minute elsewhere %d are let through, want 58", n)
	}

	rs = replicas(2)
	rs[0].Count(addr, t0)
	rs[1].let(addr, 10, t0)
	rs[1].share(t, t0)
	rs[0].share(t, t0) // hears of ten
	rs[0].share(t, t0)
	rs[1].share(t, t0)
	if n := rs[1].let(addr, 100, t0); n != 49 {
		t.Errorf("after ten here and one elsewhere %d are let through, want 49", n)
	}
}

// Many keys are told in parts, and limits of a name only this process has are
// passed over.
func TestManyAreTold(t *testing.T) {
	rs := replicas(2)
	key := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("192.0.%d.%d", i/256, i%256)) }
	for i := range 3000 {
		rs[0].let(key(i), 60, t0)
	}
	userpool.NewSharedLimiter[string](&rs[0].limits, "of a newer version", 1).Count("k", t0)
	for range 3 {
		rs[0].share(t, t0)
	}
	if got := rs[0].at.writes; got != 3 {
		t.Errorf("3000 keys were told in %d parts, want 3", got)
	}
	rs[1].share(t, t0)
	for i := range 3000 {
		if rs[1].Check(key(i), t0) == nil {
			t.Fatalf("%v was not told", key(i))
		}
	}
}

// Counts that are a while old have been made up for by so much.
func TestOldCounts(t *testing.T) {
	rs := replicas(1)
	rs[0].at.told[7] = []userpool.Counted{{Age: 30 * time.Second, Counts: []userpool.Count{
		{Limit: "failures", Key: addr.String(), N: 60}, {Limit: "failures", Key: "no address", N: 60},
	}}}
	rs[0].share(t, t0)
	if n := rs[0].let(addr, 100, t0); n != 30 {
		t.Errorf("after 60 half a minute ago %d are let through, want 30", n)
	}
}
