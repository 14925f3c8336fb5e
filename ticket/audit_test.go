package ticket_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// told flushes what was counted and returns what the store has been told of
// tickets, the newest first.
func (r *rig) told() (list []string) {
	r.t.Helper()
	if err := r.audit.Flush(ctx, r.store); err != nil {
		r.t.Fatal(err)
	}
	events, _, err := r.store.Events(ctx, audit.Query{Limit: 200})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range events {
		if strings.HasPrefix(string(e.Type), "pool.") || strings.HasPrefix(string(e.Type), "user.") {
			continue
		}
		user := ""
		if e.UserID != "" {
			user = " with user"
		}
		delete(e.Detail, audit.JTI)
		list = append(list, fmt.Sprintf("%s %s %s %v%s", e.Type, e.By.Role, e.By.Addr, e.Detail, user))
	}
	return list
}

func (r *rig) wantTold(what string, want ...string) {
	r.t.Helper()
	if got := r.told(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		r.t.Errorf("%s: told\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The replay that revokes is told at once; those that follow are counted, so
// that nobody can make the disk work with a used ticket.
func TestReplaysAreTold(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	a := ticket.Attempt{Ticket: r.issue(p, r.request("alice")).Ticket, Secret: secret, Addr: addr}
	r.redeem(p, a)
	r.wantTold("a plain redemption")
	r.refused("replay", p, a, ticket.ErrRedeemed)
	first := "ticket.replayed caller 203.0.113.7 map[revoked:true] with user"
	r.wantTold("first replay", first)
	for range 10 {
		r.turn(time.Millisecond)
		r.refused("replay", p, a, ticket.ErrRedeemed)
	}
	events, _, err := r.store.Events(ctx, audit.Query{Limit: 10})
	if err != nil || len(events) != 2 { // and the pool
		t.Errorf("before the flush: %d events, %v, want 2", len(events), err)
	}
	r.wantTold("ten more", "ticket.replayed caller 203.0.113.7 map[count:10 revoked:false] with user", first)
	if n := r.series("app2wxapp_replay_revocations_total", p.ID); n != 1 {
		t.Errorf("revocations counted: %v, want 1", n)
	}
	if n := r.series("app2wxapp_ticket_redemptions_total", p.ID, "replayed"); n != 11 {
		t.Errorf("replays counted: %v, want 11", n)
	}
}

// A pool that keeps tokens on replay is told of replays too.
func TestReplayThatKeepsTokenIsTold(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool(func(s *userpool.Settings) { s.KeepOnReplay = true })
	a := ticket.Attempt{Ticket: r.issue(p, r.request("alice")).Ticket, Secret: secret, Addr: addr}
	r.redeem(p, a)
	r.refused("replay", p, a, ticket.ErrRedeemed)
	r.wantTold("replay", "ticket.replayed caller 203.0.113.7 map[count:1 revoked:false] with user")
	if n := r.series("app2wxapp_replay_revocations_total", p.ID); n != 0 {
		t.Errorf("revocations counted: %v, want 0", n)
	}
}

// Whose ticket it is, is nothing to another pool, and nothing after a restore.
func TestUnknownTicketNamesNobody(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	q, itsSecret := r.pool()
	i := r.issue(p, r.request("alice"))
	r.refused("another pool", q, ticket.Attempt{Ticket: i.Ticket, Secret: itsSecret, Addr: addr}, ticket.ErrUnknown)
	r.wantTold("another pool", "redeem.refused caller 203.0.113.7 map[count:1 reason:unknown]")
	r.restore(r.backup())
	r.refused("after a restore", p, ticket.Attempt{Ticket: i.Ticket, Secret: secret, Addr: addr}, ticket.ErrUnknown)
	if got := r.told()[0]; got != "redeem.refused caller 203.0.113.7 map[count:1 reason:unknown]" {
		t.Errorf("after a restore: told %s", got)
	}
}

// Repeats and refusals are told by reason and address, an IPv6 one by its /64,
// and what is ours to blame is not.
func TestRefusalsAreTold(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	good := ticket.Attempt{Ticket: r.issue(p, r.request("alice")).Ticket, Secret: secret, IdempotencyKey: "k", Addr: addr}
	r.redeem(p, good)
	for range 3 {
		r.redeem(p, good)
	}
	r.wantTold("repeats", "ticket.repeated caller 203.0.113.7 map[count:3] with user")

	r = newRig(t)
	p, secret = r.pool()
	try := func(change func(*ticket.Attempt), want error) {
		t.Helper()
		r.turn(time.Millisecond)
		a := ticket.Attempt{Ticket: "x", Secret: secret, Addr: addr}
		change(&a)
		r.refused("refusal", p, a, want)
	}
	try(func(*ticket.Attempt) {}, ticket.ErrUnknown)
	for i := range 70 {
		want := userpool.ErrSecretWrong
		if i >= 60 {
			want = userpool.ErrRateLimited
		}
		try(func(a *ticket.Attempt) {
			a.Secret, a.Addr = "wrong", netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i))
		}, want)
	}
	try(func(a *ticket.Attempt) { a.Secret = "" }, userpool.ErrSecretRequired)
	i := r.issue(p, r.request("bob"))
	if _, err := r.pools.SetBlocked(ctx, p.ID, i.User.ID, true); err != nil {
		t.Fatal(err)
	}
	try(func(a *ticket.Attempt) { a.Ticket = i.Ticket }, userpool.ErrBlocked)
	r.turn(time.Millisecond)
	if _, err := r.tickets.Redeem(ctx, p, ticket.Attempt{Addr: addr}); err == nil {
		t.Error("an attempt without a ticket succeeded")
	}
	r.wantTold("refusals",
		"redeem.refused caller 203.0.113.7 map[count:1 reason:invalid_request]",
		"redeem.refused caller 203.0.113.7 map[count:1 reason:blocked] with user",
		"redeem.refused caller 203.0.113.7 map[count:1 reason:secret_required]",
		"redeem.refused caller 2001:db8:: map[count:10 reason:rate_limited]",
		"redeem.refused caller 2001:db8:: map[count:60 reason:invalid_secret]",
		"redeem.refused caller 203.0.113.7 map[count:1 reason:unknown]")
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	r.refused("store closed", p, ticket.Attempt{Ticket: i.Ticket, Secret: secret, Addr: addr}, userpool.ErrUnavailable)
	counted := r.audit
	r.open()
	r.audit = counted
	if n := len(r.told()); n != 6 {
		t.Errorf("after a failure of ours: %d events, want 6", n)
	}
}

// So is a wrong secret in a call that redeems nothing; a right one is no event.
func TestWrongSecretsElsewhereAreTold(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	for range 3 {
		if proved, err := r.tickets.Authenticate(p, secret, addr); !proved || err != nil {
			t.Errorf("right secret: %t, %v", proved, err)
		}
		if _, err := r.tickets.Authenticate(p, "wrong", addr); !errors.Is(err, userpool.ErrSecretWrong) {
			t.Errorf("wrong secret: %v, want %v", err, userpool.ErrSecretWrong)
		}
	}
	r.wantTold("wrong secrets", "redeem.refused caller 203.0.113.7 map[count:3 reason:invalid_secret]")
	for result, want := range map[string]float64{"invalid_secret": 3, "ok": 0} {
		if n := r.series("app2wxapp_ticket_redemptions_total", p.ID, result); n != want {
			t.Errorf("%s counted: %v, want %v", result, n, want)
		}
	}
}
