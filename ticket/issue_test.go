package ticket_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"app2wxapp/ticket"
	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

func TestIssue(t *testing.T) {
	r := newRig(t)
	p, _ := r.pool()
	i := r.issue(p, r.request("alice"))
	if len(i.Ticket) != 51 || i.User.UnionID != sandbox.UnionID("platform", "alice") || !i.ExpiresAt.Equal(t0.Add(120*time.Second)) || i.Life != 120*time.Second {
		t.Errorf("issued: %+v", i)
	}
	if n := r.series("app2wxapp_tickets_issued_total", p.ID); n != 1 {
		t.Errorf("issued, counted: %v, want 1", n)
	}
	r.turn(123456 * time.Nanosecond) // a ticket's times are whole milliseconds
	if i := r.issue(p, r.request("alice")); !i.ExpiresAt.Equal(t0.Add(120 * time.Second)) {
		t.Errorf("issued between two milliseconds: until %v", i.ExpiresAt)
	}
}

// kept is a store that keeps the last ticket it was given.
type kept struct {
	ticket.Store
	last ticket.Ticket
}

func (s *kept) CreateTicket(ctx context.Context, t ticket.Ticket, now time.Time) error {
	s.last = t
	return s.Store.CreateTicket(ctx, t, now)
}

func TestWhatATicketIsBoundTo(t *testing.T) {
	r := newRig(t)
	p, _ := r.pool()
	s := &kept{}
	r.wrap = func(st ticket.Store) ticket.Store { s.Store = st; return s }
	r.reopen()
	q := r.bound("alice")
	q.Login.SourceApp, q.State = "wxapp", "state"
	i := r.issue(p, q)
	want := ticket.Ticket{
		Key: s.last.Key, PoolID: p.ID, UserID: i.User.ID, AppID: appID, SourceApp: "wxapp", Challenge: challenge(verifier), ExpiresAt: i.ExpiresAt,
	}
	if s.last != want || !s.last.Key.IssuedAt().Equal(t0) {
		t.Errorf("stored %+v, want %+v", s.last, want)
	}
}

func TestIssueValidation(t *testing.T) {
	r := newRig(t)
	p, _ := r.pool()
	strict, _ := r.pool(func(s *userpool.Settings) { s.PKCERequired = true })
	good := challenge(verifier)
	for _, row := range []struct {
		field  string // "" for a good one
		pool   userpool.Pool
		change func(*ticket.Request)
	}{
		{"", p, func(q *ticket.Request) {}},
		{"", p, func(q *ticket.Request) { q.Challenge, q.ChallengeMethod = good, "S256" }},
		{"code_challenge", p, func(q *ticket.Request) { q.ChallengeMethod = "S256" }},
		{"code_challenge_method", p, func(q *ticket.Request) { q.Challenge = good }}, // means plain
		{"code_challenge_method", p, func(q *ticket.Request) { q.Challenge, q.ChallengeMethod = good, "plain" }},
		{"code_challenge_method", p, func(q *ticket.Request) { q.Challenge, q.ChallengeMethod = good, "s256" }},
		{"code_challenge", p, func(q *ticket.Request) { q.Challenge, q.ChallengeMethod = good+"=", "S256" }},
		{"code_challenge", p, func(q *ticket.Request) { q.Challenge, q.ChallengeMethod = good+"\n", "S256" }},
		{"code_challenge", p, func(q *ticket.Request) { q.Challenge, q.ChallengeMethod = good[:42], "S256" }},
		{"code_challenge", strict, func(q *ticket.Request) {}},
		{"", strict, func(q *ticket.Request) { q.Challenge, q.ChallengeMethod = good, "S256" }},
		{"", p, func(q *ticket.Request) { q.State = strings.Repeat("~", 128) }},
		{"state", p, func(q *ticket.Request) { q.State = strings.Repeat("s", 129) }},
		{"state", p, func(q *ticket.Request) { q.State = "a&ticket=x" }},
		{"state", p, func(q *ticket.Request) { q.State = "a b" }},
		{"state", p, func(q *ticket.Request) { q.State = "状态" }},
		{"state", p, func(q *ticket.Request) { q.State = "a\n" }},
		{"", p, func(q *ticket.Request) { q.Login.SourceApp = strings.Repeat("w", 64) }},
		{"launch.appId", p, func(q *ticket.Request) { q.Login.SourceApp = strings.Repeat("w", 65) }},
		{"code", p, func(q *ticket.Request) { q.Login.Code = "" }},
	} {
		q := r.request("alice")
		row.change(&q)
		asked := r.weixin.Count(sandbox.Login)
		_, err := r.tickets.Issue(ctx, row.pool, q)
		bad := (*userpool.InvalidError)(nil)
		if row.field == "" && err != nil {
			t.Errorf("%+v: %v", q, err)
		}
		if row.field != "" && (!errors.As(err, &bad) || bad.Field != row.field || bad.EN == "" || bad.ZH == "") {
			t.Errorf("%+v: got %v, want an InvalidError of %s", q, err, row.field)
		}
		if row.field != "" && r.weixin.Count(sandbox.Login) != asked {
			t.Errorf("%+v: a code was spent", q)
		}
	}
}

func TestIssueReturnsSignInsErrors(t *testing.T) {
	r := newRig(t)
	p, _ := r.pool(func(s *userpool.Settings) { s.Signup = userpool.SignupClosed })
	if _, err := r.tickets.Issue(ctx, p, r.request("alice")); !errors.Is(err, userpool.ErrSignupClosed) {
		t.Errorf("got %v, want ErrSignupClosed", err)
	}
	if n := r.series("app2wxapp_tickets_issued_total", p.ID); n != 0 {
		t.Errorf("issued: %v, want 0", n)
	}
}

func TestTwentyTicketsAMinute(t *testing.T) {
	r := newRig(t)
	p, _ := r.pool()
	for range 20 {
		r.issue(p, r.request("alice"))
	}
	_, err := r.tickets.Issue(ctx, p, r.request("alice"))
	limit := (*userpool.RateLimitError)(nil)
	if !errors.As(err, &limit) || limit.RetryAfter <= 0 || limit.RetryAfter > 3*time.Second {
		t.Fatalf("the 21st: got %v, want a RateLimitError of 3s at most", err)
	}
	r.issue(p, r.request("bob"))
	q, _ := r.pool()
	r.issue(q, r.request("alice")) // the limit is of a user of a pool
	r.turn(limit.RetryAfter)
	r.issue(p, r.request("alice"))
	if _, err := r.tickets.Issue(ctx, p, r.request("alice")); !errors.Is(err, userpool.ErrRateLimited) {
		t.Errorf("two for one wait: %v", err)
	}
}

func TestSixthTicketVoidsOldest(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	var all []ticket.Issued
	for range 6 {
		all = append(all, r.issue(p, r.request("alice")))
		r.turn(time.Millisecond)
	}
	r.refused("the first of six", p, ticket.Attempt{Ticket: all[0].Ticket, Secret: secret, Addr: addr}, ticket.ErrVoid)
	for _, i := range all[1:] {
		r.redeem(p, ticket.Attempt{Ticket: i.Ticket, Secret: secret, Addr: addr})
	}
}

// A redeemed ticket takes none of the five places.
func TestRedeemedTicketMakesRoom(t *testing.T) {
	r := newRig(t)
	p, secret := r.pool()
	first := r.issue(p, r.request("alice"))
	for range 6 {
		r.redeem(p, ticket.Attempt{Ticket: r.issue(p, r.request("alice")).Ticket, Secret: secret, Addr: addr})
	}
	r.redeem(p, ticket.Attempt{Ticket: first.Ticket, Secret: secret, Addr: addr})
}
