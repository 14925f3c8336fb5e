package ticket_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// A caller without the secret must not use a ticket up.
func TestRefusedCallerLeavesTicket(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	_, foreign := r.pool()
	i := r.issue(p, r.request("alice"))
	r.refused("no secret", p, ticket.Attempt{Ticket: i.Ticket, Addr: addr}, userpool.ErrSecretRequired)
	r.refused("wrong secret", p, ticket.Attempt{Ticket: i.Ticket, Secret: "wrong", Addr: addr}, userpool.ErrSecretWrong)
	r.refused("another pool's secret", p, ticket.Attempt{Ticket: i.Ticket, Secret: foreign, Addr: addr}, userpool.ErrSecretWrong)
	done := r.redeem(p, ticket.Attempt{Ticket: i.Ticket, Secret: secret, Addr: addr})
	if done.User.ID != i.User.ID || done.User.Logins.Count != 1 || done.User.Logins.Addr != addr || !done.At.Equal(t0) || done.Repeated || done.JTI == "" {
		t.Errorf("right secret afterwards: %+v", done)
	}
}

// Whatever is wrong, the ticket is good afterwards.
func TestRefusalsLeaveTicket(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	q, foreign := r.pool()
	i := r.issue(p, r.bound("alice"))
	good := ticket.Attempt{Ticket: i.Ticket, Secret: secret, Verifier: verifier, Addr: addr}
	for _, row := range []struct {
		name   string
		pool   userpool.Pool
		change func(*ticket.Attempt)
		want   error
	}{
		{"no verifier", p, func(a *ticket.Attempt) { a.Verifier = "" }, ticket.ErrVerifier},
		{"wrong verifier", p, func(a *ticket.Attempt) { a.Verifier = strings.Repeat("x", 43) }, ticket.ErrVerifier},
		{"the challenge as verifier", p, func(a *ticket.Attempt) { a.Verifier = challenge(verifier) }, ticket.ErrVerifier},
		{"no secret", p, func(a *ticket.Attempt) { a.Secret = "" }, userpool.ErrSecretRequired},
		{"another pool", q, func(a *ticket.Attempt) { a.Secret = foreign }, ticket.ErrUnknown},
		{"wrong secret, wrong verifier", p, func(a *ticket.Attempt) { a.Secret, a.Verifier = "x", strings.Repeat("x", 43) }, userpool.ErrSecretWrong},
		{"wrong secret, no such ticket", p, func(a *ticket.Attempt) { a.Secret, a.Ticket = "x", "x" }, userpool.ErrSecretWrong},
		{"no such ticket", p, func(a *ticket.Attempt) { a.Ticket = "rubbish" }, ticket.ErrUnknown},
		{"cut off", p, func(a *ticket.Attempt) { a.Ticket = a.Ticket[:50] }, ticket.ErrUnknown},
		{"line end", p, func(a *ticket.Attempt) { a.Ticket += "\n" }, ticket.ErrUnknown},
	} {
		a := good
		row.change(&a)
		r.refused(row.name, row.pool, a, row.want)
	}
	if u, err := r.store.User(ctx, p.ID, i.User.ID); err != nil || u.Logins.Count != 0 {
		t.Errorf("logins after refusals: %d, %v, want 0", u.Logins.Count, err)
	}
	r.redeem(p, good)
}

// A verifier for a ticket that has no challenge is a downgrade: somebody took
// the challenge off.
func TestSuperfluousVerifier(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	i := r.issue(p, r.request("alice"))
	r.refused("superfluous", p, ticket.Attempt{Ticket: i.Ticket, Secret: secret, Verifier: verifier, Addr: addr}, ticket.ErrVerifier)
	r.redeem(p, ticket.Attempt{Ticket: i.Ticket, Secret: secret, Addr: addr})
}

// What is needed is what the pool says when the ticket is redeemed.
func TestNeedsAtRedemption(t *testing.T) {
	for _, row := range []struct {
		name             string
		optional, pkce   bool
		bound            bool
		secret, verifier bool
		want             error
	}{
		{"secret", false, false, false, true, false, nil},
		{"secret missing", false, false, false, false, false, userpool.ErrSecretRequired},
		{"secret and verifier", false, false, true, true, true, nil},
		{"secret, verifier missing", false, false, true, true, false, ticket.ErrVerifier},
		{"verifier, secret missing", false, false, true, false, true, userpool.ErrSecretRequired},
		{"optional, verifier", true, false, true, false, true, nil},
		{"optional, verifier missing", true, false, true, false, false, ticket.ErrVerifier},
		{"optional, bound, secret only", true, false, true, true, false, ticket.ErrVerifier},
		{"open", true, false, false, false, false, nil},
		{"open, secret all the same", true, false, false, true, false, nil},
		{"proof key demanded since", true, true, false, false, false, ticket.ErrVerifier},
		{"proof key demanded since, secret", false, true, false, true, false, ticket.ErrVerifier},
		{"proof key demanded since, verifier", false, true, false, true, true, ticket.ErrVerifier},
		{"proof key", true, true, true, false, true, nil},
	} {
		r := newRig(t)
		p, secret := r.pool()
		q := r.request("alice")
		if row.bound {
			q = r.bound("alice")
		}
		a := ticket.Attempt{Ticket: r.issue(p, q).Ticket, Addr: addr}
		if row.secret {
			a.Secret = secret
		}
		if row.verifier {
			a.Verifier = verifier
		}
		p, err := r.pools.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error {
			s.SecretOptional, s.PKCERequired = row.optional, row.pkce
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.tickets.Redeem(ctx, p, a); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
}

// asked is a store that counts what it is asked, and knows nothing.
type asked struct {
	ticket.Store
	redeem int
}

func (s *asked) RedeemTicket(context.Context, ticket.Redemption) (ticket.Redeemed, error) {
	s.redeem++
	return ticket.Redeemed{}, ticket.ErrUnknown
}

// Whoever is refused for what they sent, their number or their secret learns
// nothing of a ticket: the store is not even asked.
func TestOrderOfChecks(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	s := &asked{}
	r.wrap = func(ticket.Store) ticket.Store { return s }
	r.reopen()
	attempt := ticket.Attempt{Ticket: "rubbish", Secret: "wrong", Addr: addr}
	for range 60 {
		r.refused("wrong secret", p, attempt, userpool.ErrSecretWrong)
	}
	r.refused("after 60 failures", p, attempt, userpool.ErrRateLimited)
	attempt.Secret = secret
	r.refused("right secret after 60 failures", p, attempt, userpool.ErrRateLimited)
	bad := attempt
	bad.Verifier = "short"
	if _, err := r.tickets.Redeem(ctx, p, bad); !errors.As(err, new(*userpool.InvalidError)) {
		t.Errorf("bad request after 60 failures: got %v, want an InvalidError", err)
	}
	p.PKCERequired, attempt.Addr = true, other
	r.refused("no verifier where one is demanded", p, attempt, ticket.ErrVerifier)
	if s.redeem != 0 {
		t.Errorf("the store was asked %d times, want 0", s.redeem)
	}
	p.PKCERequired = false
	r.refused("unknown", p, attempt, ticket.ErrUnknown)
	if s.redeem != 1 {
		t.Errorf("the store was asked %d times, want once", s.redeem)
	}
}

func TestRedeemValidation(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	good := ticket.Attempt{Ticket: "x", Secret: secret, Addr: addr}
	for _, row := range []struct {
		field  string // "" for one that gets as far as the ticket
		change func(*ticket.Attempt)
	}{
		{"", func(a *ticket.Attempt) {}},
		{"ticket", func(a *ticket.Attempt) { a.Ticket = "" }},
		{"", func(a *ticket.Attempt) { a.Ticket = strings.Repeat("x", 512) }},
		{"ticket", func(a *ticket.Attempt) { a.Ticket = strings.Repeat("x", 513) }},
		{"secret", func(a *ticket.Attempt) { a.Secret = strings.Repeat("x", 257) }},
		{"", func(a *ticket.Attempt) { a.Verifier = strings.Repeat("x", 43) }},
		{"", func(a *ticket.Attempt) { a.Verifier = strings.Repeat("~", 128) }},
		{"code_verifier", func(a *ticket.Attempt) { a.Verifier = strings.Repeat("x", 42) }},
		{"code_verifier", func(a *ticket.Attempt) { a.Verifier = strings.Repeat("x", 129) }},
		{"code_verifier", func(a *ticket.Attempt) { a.Verifier = strings.Repeat("x", 42) + "+" }},
		{"code_verifier", func(a *ticket.Attempt) { a.Verifier = strings.Repeat("x", 43) + "\n" }},
		{"code_verifier", func(a *ticket.Attempt) { a.Verifier = strings.Repeat("界", 15) }},
		{"", func(a *ticket.Attempt) { a.IdempotencyKey = strings.Repeat("~", 255) }},
		{"Idempotency-Key", func(a *ticket.Attempt) { a.IdempotencyKey = strings.Repeat("k", 256) }},
		{"Idempotency-Key", func(a *ticket.Attempt) { a.IdempotencyKey = "a b" }},
		{"Idempotency-Key", func(a *ticket.Attempt) { a.IdempotencyKey = "a\x7f" }},
		{"Idempotency-Key", func(a *ticket.Attempt) { a.IdempotencyKey = "键" }},
	} {
		a := good
		row.change(&a)
		_, err := r.tickets.Redeem(ctx, p, a)
		bad := (*userpool.InvalidError)(nil)
		if row.field == "" && !errors.Is(err, ticket.ErrUnknown) {
			t.Errorf("%+v: got %v, want ErrUnknown", a, err)
		}
		if row.field != "" && (!errors.As(err, &bad) || bad.Field != row.field || bad.EN == "" || bad.ZH == "") {
			t.Errorf("%+v: got %v, want an InvalidError of %s", a, err, row.field)
		}
	}
}

func TestRedeemAtTheEnd(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool(func(s *userpool.Settings) { s.TicketTTL = 30 * time.Second })
	a, b := r.issue(p, r.request("alice")), r.issue(p, r.request("alice"))
	if !a.ExpiresAt.Equal(t0.Add(30*time.Second)) || a.Life != 30*time.Second {
		t.Errorf("issued until %v for %v", a.ExpiresAt, a.Life)
	}
	r.turn(30*time.Second - time.Millisecond)
	r.redeem(p, ticket.Attempt{Ticket: a.Ticket, Secret: secret, Addr: addr})
	r.turn(time.Millisecond)
	r.refused("at ExpiresAt", p, ticket.Attempt{Ticket: b.Ticket, Secret: secret, Addr: addr}, ticket.ErrExpired)
	r.turn(-time.Millisecond) // the refusal used nothing up
	r.redeem(p, ticket.Attempt{Ticket: b.Ticket, Secret: secret, Addr: addr})
}

// A replay is told from a guess in the log, revokes the token unless the pool
// says otherwise, and is told from nothing to the caller.
func TestReplay(t *testing.T) {
	for _, keep := range []bool{false, true} {
		r := newRig(t)
		p, secret := r.pool(func(s *userpool.Settings) { s.KeepOnReplay = keep })
		i := r.issue(p, r.request("alice"))
		a := ticket.Attempt{Ticket: i.Ticket, Secret: secret, Addr: addr}
		first := r.redeem(p, a)
		end := t0.Truncate(time.Second).Add(p.TokenLife())
		for _, want := range []bool{!keep, false} {
			done, err := r.tickets.Redeem(ctx, p, a)
			if !errors.Is(err, ticket.ErrRedeemed) || !errors.Is(err, ticket.ErrInvalid) || done.Revoked != want || done.JTI != first.JTI {
				t.Errorf("keep %v: got %v, revoked %v; want ErrRedeemed, %v", keep, err, done.Revoked, want)
			}
		}
		revoked, err := r.store.TokenRevoked(ctx, first.JTI, end)
		if err != nil || revoked == keep {
			t.Errorf("keep %v: token revoked %v, %v", keep, revoked, err)
		}
		if n := strings.Count(r.log.String(), "ticket shown again"); n != 2 {
			t.Errorf("logged %d times, want 2: %s", n, r.log)
		}
		for _, secret := range []string{i.Ticket, secret} {
			if strings.Contains(r.log.String(), secret) {
				t.Errorf("the log holds %q", secret)
			}
		}
	}
}

// A refused caller's second showing revokes nothing.
func TestRefusedReplayRevokesNothing(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	i := r.issue(p, r.bound("alice"))
	first := r.redeem(p, ticket.Attempt{Ticket: i.Ticket, Secret: secret, Verifier: verifier, Addr: addr})
	r.refused("no secret", p, ticket.Attempt{Ticket: i.Ticket, Verifier: verifier, Addr: addr}, userpool.ErrSecretRequired)
	r.refused("no verifier", p, ticket.Attempt{Ticket: i.Ticket, Secret: secret, Addr: addr}, ticket.ErrVerifier)
	if revoked, err := r.store.TokenRevoked(ctx, first.JTI, t0.Truncate(time.Second).Add(p.TokenLife())); err != nil || revoked {
		t.Errorf("revoked %v, %v", revoked, err)
	}
}

func TestIdempotentRepeat(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	i := r.issue(p, r.request("alice"))
	a := ticket.Attempt{Ticket: i.Ticket, Secret: secret, IdempotencyKey: "k1", Addr: addr}
	first := r.redeem(p, a)
	r.turn(time.Second)
	r.reopen()
	again := r.redeem(p, a)
	if !again.Repeated || again.JTI != first.JTI || !again.At.Equal(first.At) || again.User.Logins != first.User.Logins {
		t.Errorf("repeat: %+v, want the first answer %+v", again, first)
	}
	r.refused("a repeat without the secret", p, ticket.Attempt{Ticket: i.Ticket, IdempotencyKey: "k1", Addr: addr}, userpool.ErrSecretRequired)
	a.IdempotencyKey = "k2"
	r.refused("another key", p, a, ticket.ErrRedeemed)
	if u, err := r.store.User(ctx, p.ID, i.User.ID); err != nil || u.Logins.Count != 1 {
		t.Errorf("logins: %d, %v, want 1", u.Logins.Count, err)
	}
}
