//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"app2wxapp/store"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

const (
	// loginsAtOnce share commits; of few users less log in at once, so that
	// nobody has more live tickets than are allowed.
	loginsAtOnce = 256
	sweepEvery   = 10 * time.Second // simulated; as ticket.Service's RunSweeper
	checkEvery   = 1000             // one in so many tickets is raced for
	maxGrowth    = 1.3
)

// growth logs users in, in an order of chance, as fast as it goes: each login
// issues a ticket and redeems it, through ticket.Service and the store. Time is
// simulated and moves with the logins, so that old tickets are swept as they
// are in production.
type growth struct {
	service *ticket.Service
	pool    userpool.Pool
	secret  string
	users   int
	atOnce  int
	rate    int // logins of a simulated second

	begun  time.Time
	logins atomic.Int64
	swept  int64
	sweep  chan struct{} // a token for each sweep that is due
	turn   sync.RWMutex  // no login while a sweep waits for the one before
}

func (c config) growth(folder string, s seed, out io.Writer) error {
	path := filepath.Join(folder, "store.db")
	if err := copyFile(s.path, path); err != nil {
		return err
	}
	before, err := sizeOf(path)
	if err != nil {
		return err
	}
	g := &growth{secret: s.Secret, users: s.Users, atOnce: min(loginsAtOnce, 1+s.Users/64), rate: c.rate, begun: now(), sweep: make(chan struct{})}
	if err := openStore(path, g.now, func(st store.Store) (err error) {
		if g.pool, err = st.Pool(context.Background(), s.PoolID); err != nil {
			return err
		}
		g.service = newTickets(st, g.pool, g.now)
		begun := time.Now()
		if err := g.run(c.logins, path, out); err != nil {
			return err
		}
		took := time.Since(begun)
		fmt.Fprintf(out, "%d logins in %.0f s: %.0f logins/s, %d at a time; simulated: %v, %d logins/s\n",
			c.logins, took.Seconds(), float64(c.logins)/took.Seconds(), g.atOnce, g.now().Sub(g.begun).Round(time.Second), g.rate)
		kept := ticket.RetainFor + g.pool.TicketLife()
		fmt.Fprintf(out, "tickets kept at the end: %d, of %v: %d\n", int64(c.logins)-g.swept, kept, min(c.logins, int(kept.Seconds())*g.rate))
		return g.check(st, c.logins)
	}); err != nil {
		return err
	}
	after, err := sizeOf(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "store file: %.1f MiB before, %.1f MiB after\n\n", before, after)
	printRows(out, row{what: fmt.Sprintf("store file after %d logins of %d users", c.logins, c.users),
		got: after / before, form: "%.2f × its size before", floor: maxGrowth, atMost: true})
	return nil
}

// now is the simulated clock.
func (g *growth) now() time.Time {
	at := time.Duration(g.logins.Load()) * time.Second / time.Duration(g.rate)
	return g.begun.Add(at.Truncate(time.Millisecond))
}

// run logs in n times and tells the file's size ten times.
func (g *growth) run(n int, path string, out io.Writer) error {
	var sweeping sync.WaitGroup
	var sweepErr error
	sweeping.Go(func() {
		for range g.sweep {
			swept, err := g.service.Sweep(context.Background())
			g.swept += int64(swept)
			sweepErr = errors.Join(sweepErr, err)
		}
	})
	perSweep := int64(sweepEvery.Seconds()) * int64(g.rate)
	err := each(g.atOnce, n, func(int) error {
		done := g.logins.Add(1)
		if done%perSweep == 0 {
			g.turn.Lock() // time is hurried, sweeps are not
			g.sweep <- struct{}{}
			g.turn.Unlock()
		}
		g.turn.RLock()
		defer g.turn.RUnlock()
		if done%max(1, int64(n)/10) == 0 {
			size, err := sizeOf(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "after %d logins %.1f MiB\n", done, size)
		}
		return g.login(done%checkEvery == 0)
	})
	close(g.sweep)
	sweeping.Wait()
	return errors.Join(err, sweepErr)
}

// login logs a user of chance in. If raced, two redeem the ticket at once.
func (g *growth) login(raced bool) error {
	var issued ticket.Issued
	if err := patiently(func() (err error) {
		issued, err = g.service.Issue(context.Background(), g.pool, loginOf(rand.IntN(g.users)))
		return err
	}); err != nil {
		return fmt.Errorf("issue: %w", err)
	}
	if !raced {
		return g.redeem(issued.Ticket)
	}
	second := make(chan error)
	go func() { second <- g.redeem(issued.Ticket) }()
	a, b := g.redeem(issued.Ticket), <-second
	if (a == nil) == (b == nil) || !errors.Is(errors.Join(a, b), ticket.ErrRedeemed) {
		return fmt.Errorf("one ticket redeemed at once gave %v and %v, want one success", a, b)
	}
	return nil
}

func (g *growth) redeem(text string) error {
	return patiently(func() error {
		_, err := g.service.Redeem(context.Background(), g.pool, ticket.Attempt{
			Ticket: text, Secret: g.secret, Addr: netip.AddrFrom4([4]byte{203, 0, 113, 7}),
		})
		return err
	})
}

// check returns an error unless the users' counts say that there were n logins.
func (g *growth) check(st store.Store, n int) error {
	var counted atomic.Int64
	if err := each(8, g.users, func(i int) error {
		u, err := st.User(context.Background(), g.pool.ID, userID(i))
		counted.Add(int64(u.Logins.Count))
		return err
	}); err != nil {
		return err
	}
	if got := int(counted.Load()); got != n {
		return fmt.Errorf("the users' counts say %d logins, want %d", got, n)
	}
	return nil
}
