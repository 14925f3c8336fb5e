//go:build linux

package postgres_test

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store/postgres"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/storetest"
	"app2wxapp/ticket"
)

// machine is one with a store on it, whose clock a test puts off from the server's.
type machine struct {
	t *testing.T
	*postgres.Store
	log lines
	off atomic.Int64
	n   *int
}

func newMachine(t *testing.T, url string, n *int, off time.Duration) *machine {
	t.Helper()
	m := &machine{t: t, n: n}
	m.off.Store(int64(off))
	c := config(url + patient)
	c.Now, c.Log = m.now, slog.New(slog.NewTextHandler(&m.log, nil))
	var err error
	if m.Store, err = postgres.Open(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, m.Close()) })
	return m
}

func (m *machine) now() time.Time {
	return time.Now().Add(time.Duration(m.off.Load())).UTC().Truncate(time.Millisecond)
}

// issue issues a ticket by the server's clock, as another machine does, so long ago.
func (m *machine) issue(ago time.Duration) ticket.Ticket {
	m.t.Helper()
	*m.n++
	at := time.Now().UTC().Truncate(time.Millisecond).Add(-ago)
	tk := ticket.Ticket{Key: storetest.Key(at, *m.n), PoolID: "p", UserID: "u", AppID: "wx1", ExpiresAt: at.Add(120 * time.Second)}
	check(m.t, m.CreateTicket(ctx, tk, at))
	return tk
}

func (m *machine) redeem(tk ticket.Ticket) error {
	r := attempt(tk, "j")
	r.Now = m.now()
	return second(m.RedeemTicket(ctx, r))
}

func (m *machine) events() int {
	m.t.Helper()
	found, _, err := m.Events(ctx, audit.Query{Type: audit.ClockPutBack, Limit: 100})
	check(m.t, err)
	return len(found)
}

const putBack = "clock was put back"

// When the server's clock has been put back, while we were away or before our
// eyes, every ticket that was out is over. The mark stands for the clock: put
// forward, it leaves the clock behind.
func TestServersClockPutBack(t *testing.T) {
	url, n := pgtest.New(t), 0
	m := newMachine(t, url, &n, 0)
	seed(t, m.Store)
	live := m.issue(0)
	pgtest.Exec(t, url, `UPDATE meta SET clock = clock + interval '1 second'`)
	second := newMachine(t, url, &n, 0)
	check(t, second.redeem(live))
	for i := range 2 {
		live := m.issue(0)
		pgtest.Exec(t, url, `UPDATE meta SET clock = clock + interval '1 hour'`)
		told := m
		if i == 0 {
			told = newMachine(t, url, &n, 0)
		}
		eventually(t, "the tickets are over", func() bool { return m.events() == i+1 })
		wantErr(t, "a ticket that was out", told.redeem(live), ticket.ErrUnknown)
		check(t, m.redeem(m.issue(0)))
		check(t, newMachine(t, url, &n, 0).redeem(m.issue(0))) // that was all
	}
	if n := m.events(); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}

// A machine whose clock is behind the server's, from its start on or put back
// while it runs, lets nothing live longer, and takes what is live.
func TestMachinesClockBehind(t *testing.T) {
	for _, behind := range []time.Duration{time.Second, 20 * time.Second, time.Hour} {
		url, n := pgtest.New(t), 0
		m := newMachine(t, url, &n, -behind)
		seed(t, m.Store)
		over := m.issue(125 * time.Second)
		wantErr(t, "an expired ticket", m.redeem(over), ticket.ErrExpired)
		check(t, m.redeem(m.issue(0)))

		m.off.Store(0)
		later := newMachine(t, url, &n, 0)
		live := later.issue(0) // first: it would tell of those that had ended
		over = later.issue(125 * time.Second)
		later.off.Store(int64(-behind))
		wantErr(t, "an expired ticket, when the clock was put back", later.redeem(over), ticket.ErrExpired)
		check(t, later.redeem(live))
		if n := later.events(); n != 0 {
			t.Errorf("%d events, want none: the server's clock is right", n)
		}
		if strings.Contains(later.log.String(), putBack) {
			t.Error("the server's clock is blamed")
		}
	}
}

// A machine whose clock is ahead of the server's sweeps nothing early.
func TestMachinesClockAhead(t *testing.T) {
	url, n := pgtest.New(t), 0
	m := newMachine(t, url, &n, time.Hour)
	seed(t, m.Store)
	now := time.Now()
	check(t, m.RevokeToken(ctx, "over", now.Add(-time.Minute)))
	check(t, m.RevokeToken(ctx, "not over", now.Add(30*time.Minute)))
	if n, err := m.SweepTickets(ctx, m.now(), 100); n != 1 || err != nil {
		t.Errorf("swept %d, %v, want the one that is over", n, err)
	}
	if revoked, err := m.TokenRevoked(ctx, "not over", now.Add(30*time.Minute)); !revoked || err != nil {
		t.Errorf("the other one: revoked %v, %v", revoked, err)
	}
}

// A caller whose time is old because it waited does not end anybody's tickets:
// the clocks are asked.
func TestLateCallerIsNoClock(t *testing.T) {
	url, n := pgtest.New(t), 0
	m := newMachine(t, url, &n, 0)
	seed(t, m.Store)
	tk := m.issue(0)
	r := attempt(tk, "j")
	r.Now = m.now().Add(-10 * time.Second)
	check(t, second(m.RedeemTicket(ctx, r)))
	if n := m.events(); n != 0 {
		t.Errorf("%d events, want none", n)
	}
}
