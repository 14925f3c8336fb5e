package audit

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"sync"
)

// maxRows is how many rows a Tally keeps apart. Past it addresses are no longer
// told apart, so that whoever has many fills neither memory nor disk.
const maxRows = 32

// Tally counts events that alike ones may follow in great number. Events are
// alike if type, pool, actor and Reason are. It is safe for concurrent use.
type Tally struct {
	mu   sync.Mutex
	rows map[kind]*row
}

// kind is what events have in common that are counted together.
type kind struct {
	typ    Type
	poolID string
	by     Actor
	reason string
}

// row is the latest of them.
type row struct {
	Event
	n int
}

// NewTally returns a Tally that has counted nothing.
func NewTally() *Tally { return &Tally{rows: map[kind]*row{}} }

// Count counts the event.
func (t *Tally) Count(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(e, 1)
}

func kindOf(e Event) kind { return kind{e.Type, e.PoolID, e.By, e.Detail[Reason]} }

// add is called with mu held.
func (t *Tally) add(e Event, n int) {
	r := t.rows[kindOf(e)]
	if r == nil && len(t.rows) >= maxRows {
		e.By.Addr = netip.Addr{}
		r = t.rows[kindOf(e)]
	}
	if r == nil {
		r = &row{Event: e}
		t.rows[kindOf(e)] = r
	}
	if r.UserID != e.UserID {
		r.UserID = "" // several
	}
	if e.At.After(r.At) {
		r.At = e.At
	}
	r.n += n
}

// Flush hands the store an event for each kind that was counted since the
// previous flush, with the Count and the time of the last. It is called once a
// minute and at the end. What the store does not take is kept for the next
// flush; if the outcome was unknown it may be written twice.
func (t *Tally) Flush(ctx context.Context, s Store) error {
	t.mu.Lock()
	rows := t.rows
	t.rows = map[kind]*row{}
	t.mu.Unlock()
	if len(rows) == 0 {
		return nil
	}
	var events []Event
	for _, r := range rows {
		e := r.Event
		e.Detail = maps.Clone(e.Detail)
		if e.Detail == nil {
			e.Detail = map[string]string{}
		}
		e.Detail[Count] = strconv.Itoa(r.n)
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b Event) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Type, b.Type)) })
	err := s.RecordEvents(ctx, events)
	if err != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, r := range rows {
			t.add(r.Event, r.n)
		}
	}
	return err
}
