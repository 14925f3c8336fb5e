package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"app2wxapp/userpool"
)

// Group commit. Calls that wait at the same moment share one statement, each
// with a result of its own. There is no timer: who comes while fewer than
// flights statements are under way is sent at once, alone if nobody else waits;
// who comes later waits for the next to return, together with all who do.
//
// Two statements at a time carry more than four: fewer, fuller ones cost the
// server less.
const (
	flights    = 2
	maxFlight  = 256
	maxWaiting = 8192
)

// call is one of those that share a statement.
type call[Q, A any] struct {
	ask    Q
	answer A
	err    error

	since time.Time
	gone  bool // the caller has, before it was sent
	done  chan struct{}
}

// group shares statements among calls.
type group[Q, A any] struct {
	// key is the same for calls that may not share a statement.
	key func(Q) string
	// send answers the calls.
	send func([]*call[Q, A])
	// maxWait is how long a call may have waited before further ones are refused
	// at once, as they are where maxWaiting wait: who is refused early can come
	// back, who times out has only made others wait.
	maxWait time.Duration
	// alone is for comparison: each call has a statement of its own, as many of
	// them at a time as there are connections.
	alone bool

	mu      sync.Mutex
	waiting []*call[Q, A]
	flying  int
	closed  bool
	idle    sync.WaitGroup
}

// do returns the answer to the call. If ctx ends before, that is
// userpool.ErrUnavailable: the outcome is unknown.
func (g *group[Q, A]) do(ctx context.Context, ask Q) (answer A, err error) {
	c := &call[Q, A]{ask: ask, since: time.Now(), done: make(chan struct{})}
	g.mu.Lock()
	switch {
	case g.closed:
		err = errClosed
	case len(g.waiting) >= maxWaiting, len(g.waiting) > 0 && time.Since(g.waiting[0].since) > g.maxWait:
		err = errBusy
	}
	if err != nil {
		g.mu.Unlock()
		return answer, err
	}
	g.waiting = append(g.waiting, c)
	if g.flying < g.flights() {
		g.flying++
		g.idle.Add(1)
		first := g.take()
		g.mu.Unlock()
		g.fly(first)
	} else {
		g.mu.Unlock()
	}
	select {
	case <-c.done:
		return c.answer, c.err
	case <-ctx.Done():
		g.mu.Lock()
		c.gone = true
		g.mu.Unlock()
		return answer, fmt.Errorf("%w: %w", userpool.ErrUnavailable, ctx.Err())
	}
}

func (g *group[Q, A]) flights() int {
	if g.alone {
		return maxConns
	}
	return flights
}

func (g *group[Q, A]) maxFlight() int {
	if g.alone {
		return 1
	}
	return maxFlight
}

// fly sends the calls in the caller's own time, and those who wait afterwards
// in another's.
func (g *group[Q, A]) fly(calls []*call[Q, A]) {
	g.land(calls)
	g.mu.Lock()
	next := g.take()
	g.mu.Unlock()
	if next == nil {
		return
	}
	go func() {
		for next != nil {
			g.land(next)
			g.mu.Lock()
			next = g.take()
			g.mu.Unlock()
		}
	}()
}

func (g *group[Q, A]) land(calls []*call[Q, A]) {
	g.send(calls)
	for _, c := range calls {
		close(c.done)
	}
}

// take returns those who go next, nil if nobody waits: then the flight is over.
// It is called with mu held.
func (g *group[Q, A]) take() []*call[Q, A] {
	var next, later []*call[Q, A]
	keys := map[string]bool{}
	for i, c := range g.waiting {
		if c.gone {
			continue
		}
		if len(next) == g.maxFlight() {
			later = append(later, g.waiting[i:]...)
			break
		}
		if key := g.key(c.ask); keys[key] {
			later = append(later, c)
		} else {
			keys[key] = true
			next = append(next, c)
		}
	}
	g.waiting = later
	if next == nil {
		g.flying--
		g.idle.Done()
	}
	return next
}

// close refuses further calls and returns when those under way are answered.
func (g *group[Q, A]) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.idle.Wait()
}
