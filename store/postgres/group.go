package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"app2wxapp/userpool"
)

// Group commit. Calls that wait at the same moment share one statement, each
// with a result of its own. One statement is under way at a time, since fewer,
// fuller ones cost the server less: who comes while none is is sent at once,
// alone if nobody else waits; who comes later waits for it to return, together
// with all who do. Only when somebody has waited for overdue is a second one sent
// beside it: the first hangs on a lock, perhaps, and is not to hold up those who
// do not want what it wants.
const (
	flights    = 2
	overdue    = 20 * time.Millisecond
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
	flying  int         // statements under way
	late    *time.Timer // until a call that waits is overdue; nil if none can be
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
	first := g.launch(false)
	g.mu.Unlock()
	g.fly(first)
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

func (g *group[Q, A]) maxFlight() int {
	if g.alone {
		return 1
	}
	return maxFlight
}

// fly sends the calls, if any, in the caller's own time, and those who wait
// afterwards in another's.
func (g *group[Q, A]) fly(calls []*call[Q, A]) {
	if calls == nil {
		return
	}
	if next := g.land(calls); next != nil {
		go func() {
			for next != nil {
				next = g.land(next)
			}
		}()
	}
}

// land answers the calls and returns those who go next.
func (g *group[Q, A]) land(calls []*call[Q, A]) (next []*call[Q, A]) {
	g.send(calls)
	for _, c := range calls {
		close(c.done)
	}
	defer g.idle.Done() // after who goes next has been counted
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flying--
	return g.launch(false)
}

// launch returns those whose statement is to be sent now, nil if nobody waits or
// they are to wait on. It is called with mu held.
func (g *group[Q, A]) launch(late bool) (next []*call[Q, A]) {
	if g.mayFly(late) {
		next = g.take()
	}
	if next != nil {
		g.flying++
		g.idle.Add(1)
		if g.late != nil {
			g.late.Stop()
			g.late = nil
		}
	}
	if g.late == nil && len(g.waiting) > 0 && g.flying < flights {
		g.late = time.AfterFunc(overdue, g.hurry)
	}
	return next
}

// mayFly tells whether a statement may be sent beside those under way.
func (g *group[Q, A]) mayFly(late bool) bool {
	if g.alone {
		return g.flying < maxConns
	}
	return g.flying == 0 || late && g.flying < flights
}

// hurry sends those who have waited for too long.
func (g *group[Q, A]) hurry() {
	g.mu.Lock()
	g.late = nil
	next := g.launch(true)
	g.mu.Unlock()
	g.fly(next)
}

// take returns those of the waiting who share the next statement, nil if nobody
// waits. It is called with mu held.
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
	return next
}

// close refuses further calls and returns when those under way are answered.
func (g *group[Q, A]) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.idle.Wait()
}
