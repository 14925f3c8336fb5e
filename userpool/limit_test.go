package userpool_test

import (
	"errors"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"app2wxapp/userpool"
)

func TestLimiter(t *testing.T) {
	l := userpool.NewLimiter[string](60)
	now := t0
	for i := range 60 {
		for range 3 { // asking costs nothing
			if err := l.Check("a", now); err != nil {
				t.Fatalf("event %d of 60: %v", i+1, err)
			}
		}
		l.Count("a", now)
	}
	err := l.Check("a", now)
	limit := (*userpool.RateLimitError)(nil)
	if !errors.As(err, &limit) || !errors.Is(err, userpool.ErrRateLimited) || limit.RetryAfter != time.Second {
		t.Fatalf("after 60: got %v, want a RateLimitError of 1s", err)
	}
	if err := l.Check("b", now); err != nil {
		t.Errorf("another key: %v", err)
	}
	l.Count("a", now) // past the limit nothing is counted: waiting does help
	if err := l.Check("a", now.Add(time.Second-time.Millisecond)); err == nil {
		t.Error("let in before RetryAfter")
	}
	now = now.Add(time.Second)
	if err := l.Check("a", now); err != nil {
		t.Errorf("after RetryAfter: %v", err)
	}
	l.Count("a", now)
	if err := l.Check("a", now); err == nil {
		t.Error("two for one second's wait")
	}
	if err := l.Check("a", now.Add(-time.Hour)); err == nil {
		t.Error("let in by a clock that was set back")
	}
	now = now.Add(24 * time.Hour)
	for range 60 {
		if err := l.Check("a", now); err != nil {
			t.Fatalf("a day later: %v", err)
		}
		l.Count("a", now)
	}
	if err := l.Check("a", now); err == nil {
		t.Error("a day's silence saved up more than 60")
	}
}

// A flood of keys takes the place of the keys that were silent longest.
func TestLimiterIsBounded(t *testing.T) {
	l := userpool.NewLimiter[string](1)
	l.Count("-1", t0)
	for i := range 16384 - 1 {
		l.Count(strconv.Itoa(i), t0)
	}
	if err := l.Check("-1", t0); err == nil {
		t.Fatal("forgotten too early")
	}
	l.Count("late", t0) // -1 was asked for just now, 0 is the oldest
	if err := l.Check("0", t0); err != nil {
		t.Errorf("the oldest key is still known: %v", err)
	}
	if err := l.Check("-1", t0); err == nil {
		t.Error("a key in use was forgotten")
	}
}

func TestLimiterAtOnce(t *testing.T) {
	l := userpool.NewLimiter[string](60)
	together(60, func(int) { l.Count("a", t0) })
	if err := l.Check("a", t0); err == nil {
		t.Error("60 at once did not all count")
	}
}

func TestAddrKey(t *testing.T) {
	for _, row := range []struct{ addr, want string }{
		{"203.0.113.7", "203.0.113.7"},
		{"::ffff:203.0.113.7", "203.0.113.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"2001:db8:1:2:ffff::", "2001:db8:1:2::"},
		{"2001:db8:1:3::1", "2001:db8:1:3::"},
		{"fe80::1%eth0", "fe80::"},
		{"::1", "::"},
	} {
		if got := userpool.AddrKey(netip.MustParseAddr(row.addr)).String(); got != row.want {
			t.Errorf("AddrKey(%s): got %s, want %s", row.addr, got, row.want)
		}
	}
	if got := userpool.AddrKey(netip.Addr{}); got.IsValid() {
		t.Errorf("AddrKey of no address: %v", got)
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	last := ""
	for i := range 200 {
		now := t0.Add(time.Duration(i) * time.Millisecond)
		text := userpool.NewID(now)
		id, err := uuid.Parse(text)
		if err != nil || id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			t.Fatalf("NewID: %q, version %d, %v", text, id.Version(), err)
		}
		ms := int64(0)
		for _, b := range id[:6] {
			ms = ms<<8 | int64(b)
		}
		if ms != now.UnixMilli() {
			t.Errorf("%s is of %d, want %d", text, ms, now.UnixMilli())
		}
		if text <= last || !userpool.ValidID(text) {
			t.Errorf("%s does not come after %s", text, last)
		}
		last = text
		for range 10 {
			id := userpool.NewID(t0)
			if seen[id] {
				t.Errorf("%s twice", id)
			}
			seen[id] = true
		}
	}
}
