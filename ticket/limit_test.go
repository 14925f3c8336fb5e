package ticket_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// What a caller may do again and again without being taken for a guesser, and
// what not.
func TestWhatCountsAsFailure(t *testing.T) {
	for _, row := range []struct {
		name   string
		counts bool
		try    func(r *rig, p userpool.Pool, secret string) error
	}{
		{"wrong secret", true, func(r *rig, p userpool.Pool, secret string) error {
			_, err := r.tickets.Redeem(ctx, p, ticket.Attempt{Ticket: "x", Secret: "wrong", Addr: addr})
			return err
		}},
		{"no secret", true, func(r *rig, p userpool.Pool, secret string) error {
			_, err := r.tickets.Redeem(ctx, p, ticket.Attempt{Ticket: "x", Addr: addr})
			return err
		}},
		{"guess at an open pool", true, func(r *rig, p userpool.Pool, secret string) error {
			p.SecretOptional = true
			_, err := r.tickets.Redeem(ctx, p, ticket.Attempt{Ticket: "x", Addr: addr})
			return err
		}},
		{"no verifier at an open pool", true, func(r *rig, p userpool.Pool, secret string) error {
			p.SecretOptional, p.PKCERequired = true, true
			_, err := r.tickets.Redeem(ctx, p, ticket.Attempt{Ticket: "x", Addr: addr})
			return err
		}},
		{"bad ticket, right secret", false, func(r *rig, p userpool.Pool, secret string) error {
			_, err := r.tickets.Redeem(ctx, p, ticket.Attempt{Ticket: "x", Secret: secret, Addr: addr})
			return err
		}},
		{"bad ticket, right secret at an open pool", false, func(r *rig, p userpool.Pool, secret string) error {
			p.SecretOptional = true
			_, err := r.tickets.Redeem(ctx, p, ticket.Attempt{Ticket: "x", Secret: secret, Addr: addr})
			return err
		}},
		{"malformed", false, func(r *rig, p userpool.Pool, secret string) error {
			_, err := r.tickets.Redeem(ctx, p, ticket.Attempt{Addr: addr})
			return err
		}},
	} {
		r := newRig(t)
		p, secret := r.pool()
		last := error(nil)
		for range 61 {
			if last = row.try(r, p, secret); last == nil {
				t.Fatalf("%s: success", row.name)
			}
		}
		if got := errors.Is(last, userpool.ErrRateLimited); got != row.counts {
			t.Errorf("%s 61 times: got %v, want limited %v", row.name, last, row.counts)
		}
		if err := row.try(r, p, secret); row.counts && err != nil {
			if _, err := r.tickets.Redeem(ctx, p, ticket.Attempt{Ticket: "x", Secret: secret, Addr: other}); !errors.Is(err, ticket.ErrUnknown) {
				t.Errorf("%s: another address: got %v, want ErrUnknown", row.name, err)
			}
			r.turn(time.Second)
			if _, err := r.tickets.Redeem(ctx, p, ticket.Attempt{Ticket: "x", Secret: secret, Addr: addr}); !errors.Is(err, ticket.ErrUnknown) {
				t.Errorf("%s: a second later: got %v, want ErrUnknown", row.name, err)
			}
		}
	}
}

func TestBlockedUserDoesNotCount(t *testing.T) {
	r := newRig(t)
	p, _ := r.pool(optional)
	i := r.issue(p, r.request("alice"))
	if _, err := r.pools.SetBlocked(ctx, p.ID, i.User.ID, true); err != nil {
		t.Fatal(err)
	}
	for range 70 {
		r.refused("blocked", p, ticket.Attempt{Ticket: i.Ticket, Addr: addr}, userpool.ErrBlocked)
	}
}

// down is a store that cannot answer.
type down struct{ ticket.Store }

func (down) RedeemTicket(context.Context, ticket.Redemption) (ticket.Redeemed, error) {
	return ticket.Redeemed{}, userpool.ErrUnavailable
}

// An outage must not lock its victims out.
func TestUnavailableDoesNotCount(t *testing.T) {
	r := newRig(t)
	p, _ := r.pool(optional)
	r.wrap = func(st ticket.Store) ticket.Store { return down{st} }
	r.reopen()
	for range 70 {
		r.refused("down", p, ticket.Attempt{Ticket: "x", Addr: addr}, userpool.ErrUnavailable)
	}
	if n := r.series("app2wxapp_ticket_redemptions_total", p.ID, "error"); n != 70 {
		t.Errorf("counted as error: %v, want 70", n)
	}
}

// One customer's IPv6 addresses are one.
func TestFailuresByNetwork(t *testing.T) {
	r := newRig(t)
	p, _ := r.pool(optional)
	next := netip.MustParseAddr("2001:db8:1:2::1")
	for range 60 {
		r.refused("guess", p, ticket.Attempt{Ticket: "x", Addr: next}, ticket.ErrUnknown)
		next = next.Next()
	}
	r.refused("the 61st address", p, ticket.Attempt{Ticket: "x", Addr: next}, userpool.ErrRateLimited)
	r.refused("another network", p, ticket.Attempt{Ticket: "x", Addr: netip.MustParseAddr("2001:db8:1:3::1")}, ticket.ErrUnknown)
}

func TestMetrics(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	i, lapsed := r.issue(p, r.request("alice")), r.issue(p, r.request("alice"))
	bound := r.issue(p, r.bound("bob"))
	attempt := func(a ticket.Attempt) { _, _ = r.tickets.Redeem(ctx, p, a) }
	good := ticket.Attempt{Ticket: i.Ticket, Secret: secret, IdempotencyKey: "k", Addr: addr}
	attempt(ticket.Attempt{Addr: addr})
	attempt(ticket.Attempt{Ticket: i.Ticket, Addr: other})
	attempt(ticket.Attempt{Ticket: i.Ticket, Secret: "wrong", Addr: other})
	attempt(ticket.Attempt{Ticket: "x", Secret: secret, Addr: addr})
	attempt(ticket.Attempt{Ticket: bound.Ticket, Secret: secret, Addr: addr})
	attempt(good)
	attempt(good)
	good.IdempotencyKey = ""
	attempt(good)
	r.turn(121 * time.Second)
	attempt(ticket.Attempt{Ticket: lapsed.Ticket, Secret: secret, Addr: addr})
	fresh := r.issue(p, r.request("bob"))
	if _, err := r.pools.SignOut(ctx, p.ID, fresh.User.ID); err != nil {
		t.Fatal(err)
	}
	attempt(ticket.Attempt{Ticket: fresh.Ticket, Secret: secret, Addr: addr})
	if _, err := r.pools.SetBlocked(ctx, p.ID, fresh.User.ID, true); err != nil {
		t.Fatal(err)
	}
	attempt(ticket.Attempt{Ticket: fresh.Ticket, Secret: secret, Addr: addr})
	for range 61 {
		attempt(ticket.Attempt{Ticket: "x", Addr: netip.MustParseAddr("192.0.2.1")})
	}
	for result, want := range map[string]float64{
		"ok": 1, "repeated": 1, "replayed": 1, "unknown": 1, "verifier": 1, "expired": 1, "void": 1, "blocked": 1,
		"secret_required": 61, "invalid_secret": 1, "rate_limited": 1, "invalid_request": 1, "error": 0,
	} {
		if got := r.series("app2wxapp_ticket_redemptions_total", p.ID, result); got != want {
			t.Errorf("%s: %v, want %v", result, got, want)
		}
	}
	if got := r.series("app2wxapp_ticket_age_ratio"); got != 1 {
		t.Errorf("ages observed: %v, want 1, the one success's", got)
	}
}
