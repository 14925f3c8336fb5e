package ticket_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"app2wxapp/store/storetest/place"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// A ticket is good a millisecond before its end and over at it, for the
// shortest, the usual and the longest life, whatever the fraction of a second
// it began at.
func TestLifeToTheMillisecond(t *testing.T) {
	for _, life := range []time.Duration{10 * time.Second, 120 * time.Second, 600 * time.Second} {
		for _, begin := range []time.Duration{0, time.Millisecond, 587 * time.Millisecond, 588*time.Millisecond + 999*time.Microsecond} {
			r := newRig(t)
			r.turn(begin)
			p, secret := r.pool(func(s *userpool.Settings) { s.TicketTTL = life })
			a, b := r.issue(p, r.request("alice")), r.issue(p, r.request("alice"))
			start := r.now().Truncate(time.Millisecond)
			if !a.ExpiresAt.Equal(start.Add(life)) {
				t.Errorf("life %v from %v: ends at %v", life, start, a.ExpiresAt)
			}
			r.time = a.ExpiresAt.Add(-time.Millisecond)
			r.redeem(p, ticket.Attempt{Ticket: a.Ticket, Secret: secret, Addr: addr})
			r.turn(time.Millisecond)
			r.refused("at the end", p, ticket.Attempt{Ticket: b.Ticket, Secret: secret, Addr: addr}, ticket.ErrExpired)
		}
	}
}

// Whatever the clock does, while the server runs or while it is away, a
// redeemed ticket stays redeemed and one that was seen to expire stays over. On
// PostgreSQL that is about the server's clock.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{
		-24 * time.Hour, -time.Hour, -10 * time.Second, -2 * time.Second, -500 * time.Millisecond,
		500 * time.Millisecond, 2 * time.Second, time.Hour, 24 * time.Hour,
		time.Unix(1, 0).Sub(t0), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Sub(t0),
	} {
		for _, away := range []bool{false, true} {
			r := newRigIn(t, place.NewFile(t))
			p, secret := r.pool()
			good := func(i ticket.Issued) ticket.Attempt {
				return ticket.Attempt{Ticket: i.Ticket, Secret: secret, Addr: addr}
			}
			spent, over := r.issue(p, r.request("alice")), r.issue(p, r.request("alice"))
			r.redeem(p, good(spent))
			r.turn(p.TicketLife() + 10*time.Second)
			r.refused("expired", p, good(over), ticket.ErrExpired)
			live := r.issue(p, r.request("alice")) // a commit after the end: the mark moves
			turn := func(d time.Duration) {
				r.turn(d)
				if away {
					r.reopen()
				}
			}
			turn(jump)
			for range 3 {
				r.refused(fmt.Sprint("redeemed, after ", jump), p, good(spent), ticket.ErrInvalid)
				r.refused(fmt.Sprint("expired, after ", jump), p, good(over), ticket.ErrInvalid)
			}
			_, first := r.tickets.Redeem(ctx, p, good(live))
			turn(-jump)
			_, second := r.tickets.Redeem(ctx, p, good(live))
			if first == nil && second == nil || first != nil && !errors.Is(first, ticket.ErrInvalid) || second != nil && !errors.Is(second, ticket.ErrInvalid) {
				t.Errorf("a live ticket after %v (away %v): %v, and back: %v", jump, away, first, second)
			}
			if step := max(jump, -jump); step <= 2*time.Second && first != nil {
				t.Errorf("a live ticket after a small step of %v (away %v): %v, want success", jump, away, first)
			}
			r.refused(fmt.Sprint("redeemed, after ", jump, " and back"), p, good(spent), ticket.ErrInvalid)
			r.refused(fmt.Sprint("expired, after ", jump, " and back"), p, good(over), ticket.ErrInvalid)
			r.turn(time.Minute) // past the limit of issues
			r.redeem(p, good(r.issue(p, r.request("alice"))))
		}
	}
}

// A day of a ticket every two minutes, nine of ten redeemed, every one tried again
// later, and a sweep every ten seconds: no ticket is good twice or after its
// end, and the store is at evening as large as it was in the morning.
func TestDay(t *testing.T) {
	r := newRigIn(t, place.NewFile(t))
	p, secret := r.pool(func(s *userpool.Settings) { s.TicketTTL, s.KeepOnReplay = 30*time.Second, true })
	type note struct {
		ticket.Issued
		redeemed bool
	}
	var out []note // younger than two hours
	issued, redeemed, swept := 0, 0, 0
	var morning uint64
	for step := range 24 * 360 {
		r.turn(10 * time.Second)
		n, err := r.tickets.Sweep(ctx)
		if err != nil {
			t.Fatal(err)
		}
		swept += n
		switch step % 12 {
		case 0:
			out = append(out, note{Issued: r.issue(p, r.request(fmt.Sprint("u", step%101)))})
			issued++
		case 1:
			if last := &out[len(out)-1]; issued%10 != 0 {
				r.redeem(p, ticket.Attempt{Ticket: last.Ticket, Secret: secret, Addr: addr})
				last.redeemed = true
				redeemed++
			}
		case 5: // one that ended a little, some or a long time ago
			n := out[(step*7)%len(out)]
			if _, err := r.tickets.Redeem(ctx, p, ticket.Attempt{Ticket: n.Ticket, Secret: secret, Addr: addr}); !errors.Is(err, ticket.ErrInvalid) {
				t.Fatalf("step %d: a ticket that ended at %v, redeemed before: %v: got %v", step, n.ExpiresAt, n.redeemed, err)
			}
		}
		if len(out) > 60 {
			out = out[1:]
		}
		if step == 6*360 {
			morning = pagesUsed(t, r.lies.Content(t))
		}
	}
	evening := pagesUsed(t, r.lies.Content(t))
	t.Logf("%d issued, %d redeemed, %d swept; %d pages after six hours, %d after a day", issued, redeemed, swept, morning, evening)
	if evening > morning+morning/10 {
		t.Errorf("the store has grown from %d to %d pages", morning, evening)
	}
	// A ticket every two minutes, each kept for its 30 s and ten minutes more.
	if left := issued - swept; left < 5 || left > 6 {
		t.Errorf("%d records are left, want 5 or 6", left)
	}
}

// pagesUsed returns the store's high-water mark, which stands in the newer of
// bbolt's two meta pages. The file's length would not tell: it goes in steps of
// 16 MiB.
func pagesUsed(t *testing.T, b []byte) uint64 {
	t.Helper()
	first, second := binary.NativeEndian.Uint64(b[56:]), binary.NativeEndian.Uint64(b[4096+56:])
	if binary.NativeEndian.Uint32(b[16+8:]) != 4096 || first == 0 || second == 0 {
		t.Skip("not pages of 4 KiB")
	}
	return max(first, second)
}
