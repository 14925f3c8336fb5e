//go:build linux

package bolt

import (
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

var (
	powerlossStates = flag.Int("powerloss.states", 1500, "crash states of TestPowerLoss")
	powerlossSeed   = flag.Uint64("powerloss.seed", 0, "seed of TestPowerLoss, 0 for a new one")
)

// fastFolder is a folder in memory where there is one.
func fastFolder(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("/dev/shm", "store")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { check(t, os.RemoveAll(folder)) })
	return folder
}

// plans are what users do, in the words of workload.user.
var plans = []string{
	"i1",
	"i1 r1",
	"i1 r1 p1",
	"i1 r1 i2 r2 i3 r3",
	"i1 i2 i3 i4 i5 i6 i7 r7",       // voids 1, then 2
	"i1 i2 i3 i4 i5 r2 i6 i7 r3 p2", // 7 voids 1
}

// oldPlans have a ticket that a sweep deletes.
var oldPlans = []string{
	"i0 r0",
	"i0 r0 p0 i1 r1",
	"i0 i1 i2 i3 i4 i5",
	"i1 i0 i2", // 0 is over by its own record
}

// recordLife makes a store, signs users in, one after the other and at once, and
// once more after that, sweeps now and then, closes it, and returns every call and
// every note.
func recordLife(t *testing.T, path string) []event {
	t.Helper()
	g := newGate(t)
	var s *Store
	g.do(func() {
		var err error
		g.note(step{what: "open"})
		if s, err = Open(config(path, slog.DiscardHandler)); err != nil {
			t.Error(err)
			return
		}
		g.note(step{what: "open", acked: true})
	})
	if s == nil {
		t.FailNow()
	}
	g.behind(s)
	w := workload{s: s, note: g.note}
	check(t, w.pool())
	alone := slices.Concat(plans, oldPlans)
	for i, plan := range alone {
		check(t, w.user(fmt.Sprint("u", i), plan))
		if i%3 == 2 {
			check(t, w.sweep())
		}
	}
	together(1+len(plans), func(i int) {
		do := w.sweep
		if i > 0 {
			do = func() error { return w.user(fmt.Sprint("v", i), plans[i-1]) }
		}
		if err := do(); err != nil {
			t.Error(err)
		}
	})
	for i := range alone {
		check(t, w.tickets(fmt.Sprint("u", i), "i8 r8"))
	}
	check(t, w.sweep())
	if w.swept != len(oldPlans) {
		t.Errorf("%d sweeps deleted %d old tickets, want %d", w.sweeps, w.swept, len(oldPlans))
	}
	g.do(func() { closeStore(t, s) })
	return g.events()
}

// Whatever a power loss leaves of what was written and not synced, at any
// moment of a store's life, its creation included: the store opens, and
// everything that was acknowledged is in it.
func TestPowerLoss(t *testing.T) {
	seed := *powerlossSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed: -args -powerloss.seed=%d", seed)
	root := fastFolder(t)
	path := filepath.Join(root, "a", "b", "store.db")
	log := recordLife(t, path)
	kinds := map[string]int{}
	for _, e := range log {
		kinds[e.kind]++
	}
	t.Logf("recorded: %v", kinds)
	for _, k := range []string{"write", "truncate", "sync", "create", "mkdir", "link", "unlink"} {
		if kinds[k] == 0 {
			t.Fatalf("no %s was recorded", k)
		}
	}

	type state struct {
		at, variant int
		want        truth
		there       bool
		file        image
	}
	states := make(chan state)
	var wg sync.WaitGroup
	for worker := range 2 {
		wg.Go(func() {
			spoiled := filepath.Join(root, fmt.Sprint("crash", worker), "store.db")
			for c := range states {
				if err := verifyCrash(c.want, spoiled, c.there, c.file); err != nil {
					t.Errorf("after %d of %d events, variant %d (0 none, 1 all, 2 of 512, 3 of 4096 bytes): %v", c.at, len(log), c.variant, err)
				}
			}
		})
	}
	made, creation := 0, 0
	for round := 0; made < *powerlossStates && !t.Failed(); round++ {
		r := rand.New(rand.NewPCG(seed, uint64(round)))
		d := newDiskModel()
		for i, e := range log {
			d.apply(e)
			if e.kind == "" {
				continue
			}
			if made++; made > *powerlossStates {
				break
			}
			c := state{at: i + 1, variant: (i + round) % 4}
			if c.there = d.there(path, root, r, c.variant); c.there {
				c.file = d.file(path).crash(r, c.variant)
			}
			if c.want = truthOf(log[:c.at]); !c.want.open {
				creation++
			}
			states <- c
		}
	}
	close(states)
	wg.Wait()
	t.Logf("%d states, %d of them of the creation", min(made, *powerlossStates), creation)
}

// verifyCrash looks at what a power loss left: a store, or none, which is right
// only where none had been acknowledged.
func verifyCrash(want truth, path string, there bool, file image) error {
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		return err
	}
	if there {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := file.write(path); err != nil {
			return err
		}
	} else if want.open {
		return fmt.Errorf("the store is gone")
	}
	return want.verify(path)
}
