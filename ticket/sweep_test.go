package ticket_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/audit"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// litter is a store with so many old tickets.
type litter struct {
	ticket.Store
	mu    sync.Mutex
	left  int
	calls []time.Time
	fail  error
	after func()
}

func (s *litter) SweepTickets(_ context.Context, now time.Time, limit int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, now)
	if s.after != nil {
		defer s.after()
	}
	if s.fail != nil {
		return 0, s.fail
	}
	n := min(limit, s.left)
	s.left -= n
	return n, nil
}

func (s *litter) sweeps() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

func (s *litter) failWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func sweeper(s ticket.Store, log io.Writer) *ticket.Service {
	return ticket.NewService(ticket.Config{
		Store: s, Now: time.Now, Log: slog.New(slog.NewTextHandler(log, nil)), Metrics: ticket.NewMetrics(prometheus.NewRegistry()), Audit: audit.NewTally(),
	})
}

// A sweep goes on until nothing is left, in small steps.
func TestSweepInSteps(t *testing.T) {
	for _, row := range []struct{ left, steps int }{{0, 1}, {499, 1}, {500, 2}, {1300, 3}} {
		s := &litter{left: row.left}
		n, err := sweeper(s, io.Discard).Sweep(ctx)
		if n != row.left || err != nil || s.left != 0 || len(s.calls) != row.steps {
			t.Errorf("%d old tickets: swept %d in %d steps, %v; want %d steps", row.left, n, len(s.calls), err, row.steps)
		}
	}
}

func TestSweepEndsWithContext(t *testing.T) {
	ended, end := context.WithCancel(ctx)
	s := &litter{left: 5000, after: end}
	if n, err := sweeper(s, io.Discard).Sweep(ended); n != 500 || err != nil {
		t.Errorf("swept %d, %v, want one step of 500", n, err)
	}
}

func TestRunSweeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logs{}
		s := &litter{left: 3}
		start := time.Now()
		running, end := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			sweeper(s, log).RunSweeper(running)
			close(done)
		}()
		time.Sleep(10*time.Second - 1) // the bubble's clock
		synctest.Wait()
		if n := s.sweeps(); n != 0 {
			t.Errorf("swept %d times before ten seconds", n)
		}
		time.Sleep(1 * time.Nanosecond)
		synctest.Wait()
		if n := s.sweeps(); n != 1 {
			t.Errorf("after ten seconds: swept %d times, want once", n)
		}
		s.failWith(errors.New("disk on fire"))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := strings.Count(log.String(), "disk on fire"); n != 2 {
			t.Errorf("two failures were logged %d times: %s", n, log)
		}
		s.failWith(nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := s.sweeps(); n != 4 {
			t.Errorf("it did not go on after a failure: %d sweeps, want 4", n)
		}
		end()
		<-done
		if s.left != 0 || s.calls[0].Sub(start) != 10*time.Second {
			t.Errorf("first swept after %v, %d left", s.calls[0].Sub(start), s.left)
		}
	})
}

// What a sweep leaves and takes of real tickets.
func TestSweep(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	i := r.issue(p, r.request("alice"))
	a := ticket.Attempt{Ticket: i.Ticket, Secret: secret, Addr: addr}
	r.redeem(p, a)
	sweep := func(want int) {
		t.Helper()
		if n, err := r.tickets.Sweep(ctx); n != want || err != nil {
			t.Errorf("at %v: swept %d, %v, want %d", r.now().Sub(t0), n, err, want)
		}
	}
	r.turn(userpool.CodeMemory)
	if _, err := r.tickets.Sweep(ctx); err != nil { // of the login code, where the store remembers that it was sent
		t.Fatal(err)
	}
	r.turn(120*time.Second + ticket.RetainFor - time.Millisecond - userpool.CodeMemory)
	sweep(0)
	r.refused("before the sweep", p, a, ticket.ErrRedeemed)
	r.turn(time.Millisecond)
	sweep(1)
	r.refused("after it", p, a, ticket.ErrUnknown)
	r.turn(p.TokenLife())
	sweep(2) // the deny-list entry of the replay, and the session that was not to begin
}
