package bolt

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/ticket"
)

// watched is a store whose clock a test turns, with user a of pool p.
type watched struct {
	t    *testing.T
	path string
	*Store
	log *events
	now atomic.Int64
	n   int
}

func newWatched(t *testing.T) *watched {
	w := &watched{t: t, path: newPath(t)}
	w.set(t0)
	w.open()
	check(t, w.CreatePool(ctx, testPool("p"), audit.Event{}))
	check(t, w.CreateUser(ctx, testUser("a")))
	return w
}

func (w *watched) time() time.Time      { return time.UnixMilli(w.now.Load()).UTC() }
func (w *watched) set(to time.Time)     { w.now.Store(to.UnixMilli()) }
func (w *watched) turn(d time.Duration) { w.now.Add(d.Milliseconds()) }

func (w *watched) open() {
	w.t.Helper()
	w.log = newEvents()
	c := config(w.path, w.log)
	c.Now = w.time
	var err error
	if w.Store, err = Open(c); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.Close() })
}

func (w *watched) reopen() {
	w.t.Helper()
	closeStore(w.t, w.Store)
	w.open()
}

// issue issues a ticket that lives for ten minutes.
func (w *watched) issue() ticket.Ticket {
	w.t.Helper()
	w.n++
	tk := testTicket("a", w.n)
	ms := w.now.Load()
	for i := range 6 {
		tk.Key[i] = byte(ms >> (8 * (5 - i)))
	}
	tk.ExpiresAt = w.time().Add(10 * time.Minute)
	check(w.t, w.CreateTicket(ctx, tk, w.time()))
	return tk
}

func (w *watched) redeem(tk ticket.Ticket) error {
	r := attempt(tk, "j")
	r.Now = w.time()
	return second(w.RedeemTicket(ctx, r))
}

// A clock that is put back, before our eyes or while we were away, ends the
// tickets that were out, the expired ones above all; small steps do not.
func TestClockPutBack(t *testing.T) {
	for _, away := range []bool{false, true} {
		for _, row := range []struct {
			back time.Duration
			want error
		}{
			{0, nil}, {500 * time.Millisecond, nil}, {2 * time.Second, nil},
			{2*time.Second + time.Millisecond, ticket.ErrUnknown}, {20 * time.Minute, ticket.ErrUnknown},
			{24 * time.Hour, ticket.ErrUnknown}, {t0.Sub(time.Unix(1, 0)), ticket.ErrUnknown},
		} {
			w := newWatched(t)
			live := w.issue() // the first ticket sets the mark
			w.turn(-row.back)
			if away {
				w.reopen()
			}
			if away && row.want != nil { // told before anybody comes
				w.log.await(t, "the clock was put back")
			}
			wantErr(t, "a live ticket", w.redeem(live), row.want)
			if !away && row.want != nil {
				w.log.await(t, "the clock was put back")
			}
			fresh := w.issue()
			w.turn(time.Second)
			w.reopen()
			wantErr(t, "a ticket made afterwards", w.redeem(fresh), nil)
			wantErr(t, "the same once more", w.redeem(fresh), ticket.ErrRedeemed)
		}
	}
}

// After a jump to 2100 and back nothing that was redeemed or over is good.
func TestClockJumpsForwardAndBack(t *testing.T) {
	w := newWatched(t)
	spent, over := w.issue(), w.issue()
	check(t, w.redeem(spent))
	w.set(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	wantErr(t, "in 2100", w.redeem(over), ticket.ErrExpired)
	there := w.issue()
	if _, err := w.SweepTickets(ctx, w.time(), 100); err != nil {
		t.Fatal(err)
	}
	w.set(t0.Add(time.Second))
	for name, tk := range map[string]ticket.Ticket{"the spent one": spent, "the expired one": over, "one from 2100": there} {
		wantErr(t, name, w.redeem(tk), ticket.ErrUnknown)
	}
	check(t, w.redeem(w.issue()))
}

// A caller whose time is old because it waited does not end anybody's tickets:
// the clock is asked.
func TestLateCallerIsNoClock(t *testing.T) {
	w := newWatched(t)
	w.issue()
	w.turn(time.Minute)
	live, other := w.issue(), w.issue()
	r := attempt(live, "j")
	r.Now = w.time().Add(-10 * time.Second)
	check(t, second(w.RedeemTicket(ctx, r)))
	check(t, w.redeem(other))
}

// The mark moves at most every five seconds, and costs no commit of its own.
func TestClockMarkMoves(t *testing.T) {
	w := newWatched(t)
	d := &disk{}
	w.commit = d.commit
	for i, want := range []time.Duration{0, 0, 0, 0, 0, 5 * time.Second, 5 * time.Second} {
		w.issue()
		if got := time.UnixMilli(w.clock.mark.Load()).Sub(t0); got != want || d.count() != i+1 {
			t.Errorf("after %d s: the mark is at %v after %d commits, want %v and %d", i, got, d.count(), want, i+1)
		}
		w.turn(time.Second)
	}
}

// Many who meet the clock behind at once renew the epoch once, and a failed
// commit leaves the tickets as they were.
func TestClockPutBackForMany(t *testing.T) {
	w := newWatched(t)
	live := w.issue()
	w.turn(-time.Hour)
	d := &disk{fail: 1}
	w.commit = d.commit
	if err := w.redeem(live); err == nil || errors.Is(err, ticket.ErrInvalid) {
		t.Errorf("while the disk fails: %v, want ErrUnavailable", err)
	}
	w.log.await(t, "store: opened again")
	together(20, func(int) { wantErr(t, "the ticket", w.redeem(live), ticket.ErrUnknown) })
	w.log.await(t, "the clock was put back")
	check(t, w.redeem(w.issue()))
	if len(w.log.lines) > 0 {
		t.Errorf("logged once more: %s", <-w.log.lines)
	}
}
