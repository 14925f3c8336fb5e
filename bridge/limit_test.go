package bridge_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
)

const failuresPerMinute = 60

// failing makes n attempts without the right secret from the address, each of
// which must be refused as such.
func failing(t *testing.T, b *bridgetest.Bridge, p bridgetest.Pool, addr string, n int) {
	t.Helper()
	for i := range n {
		r := b.Post(redeemPath(p), `{"ticket":"x","secret":"wrong"}`, from(addr))
		if r.Status != 401 {
			t.Fatalf("failure %d of %s: %d %s, want 401", i+1, addr, r.Status, r.Body)
		}
	}
}

// right is the request of a caller who may redeem.
func right(b *bridgetest.Bridge, p bridgetest.Pool, ticket, addr string) bridgetest.Response {
	return b.Post(redeemPath(p), object(member("ticket", ticket), member("secret", p.Secret)), from(addr))
}

// Sixty failures a minute are an address's; after them it is not even told
// whether its secret is right. Nobody else is concerned, and nothing is used up.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t, bridgetest.TrustProxies)
	p := b.NewPool()
	ticket := b.Ticket(p, "alice")
	failing(t, b, p, "203.0.113.7", failuresPerMinute)

	r := right(b, p, ticket, "203.0.113.7").WantError(429, 4290, "rate_limited")
	wait, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || wait < 1 || wait > 60 {
		t.Fatalf("Retry-After %q, want 1 to 60", r.Header.Get("Retry-After"))
	}
	b.Post(redeemPath(p), `{"ticket":"x","secret":"wrong"}`, from("203.0.113.7")).WantError(429, 4290, "rate_limited")
	b.Post(redeemPath(p), `{"ticket":"x"}`, from("203.0.113.7")).WantError(429, 4290, "rate_limited")

	right(b, p, b.Ticket(p, "bob"), "203.0.113.8").Want(200)

	b.Clock.Turn(time.Duration(wait)*time.Second - time.Millisecond)
	right(b, p, ticket, "203.0.113.7").WantError(429, 4290, "rate_limited")
	b.Clock.Turn(time.Millisecond)
	right(b, p, ticket, "203.0.113.7").Want(200)
	b.Clock.Turn(time.Minute)
	failing(t, b, p, "203.0.113.7", failuresPerMinute)
}

// What counts as a failure, and for whom.
func TestWhatCounts(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t, bridgetest.TrustProxies)
	p, open := b.NewPool(), b.NewPool(`"secretRequired":false`)
	for i, row := range []struct {
		name   string
		pool   bridgetest.Pool
		body   string
		counts bool
	}{
		{"wrong secret", p, `{"ticket":"x","secret":"x"}`, true},
		{"no secret", p, `{"ticket":"x"}`, true},
		{"bad ticket at an open pool", open, `{"ticket":"x"}`, true},
		{"bad ticket with the right secret", p, object(`"ticket":"x"`, member("secret", p.Secret)), false},
		{"bad ticket with the right secret at an open pool", open, object(`"ticket":"x"`, member("secret", open.Secret)), false},
		{"malformed", p, `{`, false},
	} {
		addr := fmt.Sprintf("198.51.100.%d", i)
		for range failuresPerMinute + 5 {
			b.Post(redeemPath(row.pool), row.body, from(addr))
		}
		want := 200
		if row.counts {
			want = 429
		}
		if r := right(b, p, b.Ticket(p, row.name), addr); r.Status != want {
			t.Errorf("%s, 65 times: afterwards %d %s, want %d", row.name, r.Status, r.Body, want)
		}
	}
}

// One customer has a /64 of IPv6.
func TestRateLimitIPv6(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t, bridgetest.TrustProxies)
	p := b.NewPool()
	for i := range failuresPerMinute {
		failing(t, b, p, fmt.Sprintf("2001:db8:1:2:%x::1", i), 1)
	}
	right(b, p, "x", "2001:db8:1:2:ffff::9").WantError(429, 4290, "rate_limited")
	right(b, p, b.Ticket(p, "alice"), "2001:db8:1:3::1").Want(200)

	failing(t, b, p, "203.0.113.7", failuresPerMinute)
	right(b, p, "x", "::ffff:203.0.113.7").WantError(429, 4290, "rate_limited") // the same address
	right(b, p, b.Ticket(p, "alice"), "::ffff:203.0.113.8").Want(200)
}

// Without trusted proxies the header is anybody's claim.
func TestForwardedIsNotBelieved(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	for i := range failuresPerMinute {
		failing(t, b, p, fmt.Sprintf("203.0.113.%d", i), 1)
	}
	for _, header := range []string{"X-Forwarded-For: 198.51.100.1", "X-Real-IP: 198.51.100.1", "Forwarded: for=198.51.100.1"} {
		b.Post(redeemPath(p), `{"ticket":"x"}`, header).WantError(429, 4290, "rate_limited")
	}
}

// With them, only what the last trusted proxy saw counts: a caller writes the
// rest of the header.
func TestForwardedByCaller(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t, bridgetest.TrustProxies)
	p := b.NewPool()
	for i := range failuresPerMinute {
		failing(t, b, p, fmt.Sprintf("198.51.100.%d, 203.0.113.7", i), 1)
	}
	right(b, p, "x", "203.0.113.7").WantError(429, 4290, "rate_limited")
	for range 3 {
		b.Post(redeemPath(p), `{"ticket":"x"}`, from("203.0.113.7"), "X-Real-IP: 198.51.100.250").WantError(429, 4290, "rate_limited")
	}
}

// A user has five live tickets in a pool; a sixth voids the oldest.
func TestLiveTickets(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, other := b.NewPool(), b.NewPool()
	elsewhere, bobs := b.Ticket(other, "alice"), b.Ticket(p, "bob")
	var tickets []string
	for range 7 {
		tickets = append(tickets, b.Ticket(p, "alice"))
		b.Clock.Turn(time.Millisecond)
	}
	for i, ticket := range tickets {
		if r := b.Redeem(p, ticket); (r.Status == 200) != (i >= 2) {
			t.Errorf("ticket %d of 7: %d %s; want the last five to live", i+1, r.Status, r.Body)
		}
	}
	wantUsable(t, b, p, bobs)
	wantUsable(t, b, other, elsewhere)

	// Used and expired tickets make room.
	first := b.Ticket(p, "alice")
	for range 4 {
		b.Redeem(p, b.Ticket(p, "alice")).Want(200)
	}
	for range 4 {
		b.Ticket(p, "alice")
	}
	wantUsable(t, b, p, first)
}

// Twenty tickets a minute are a user's.
func TestIssueLimit(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, other := b.NewPool(), b.NewPool()
	for range 20 {
		b.Issue(p, "alice").Want(200)
	}
	r := b.Issue(p, "alice").WantError(429, 4290, "rate_limited")
	wait, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || wait < 1 || wait > 60 {
		t.Fatalf("Retry-After %q, want 1 to 60", r.Header.Get("Retry-After"))
	}
	b.Issue(p, "bob").Want(200)
	b.Issue(other, "alice").Want(200)
	b.Clock.Turn(time.Duration(wait) * time.Second)
	b.Issue(p, "alice").Want(200)
}
