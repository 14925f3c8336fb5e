package userpool

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// ErrRateLimited is wrapped by every *RateLimitError.
var ErrRateLimited = errors.New("userpool: too many attempts")

// RateLimitError says when the next attempt may be made.
type RateLimitError struct{ RetryAfter time.Duration }

func (e *RateLimitError) Error() string {
	return fmt.Sprintf("%v; retry after %v", ErrRateLimited, e.RetryAfter)
}
func (e *RateLimitError) Unwrap() error { return ErrRateLimited }

// limiterKeys bounds a Limiter's memory. Past it the key that was silent
// longest starts afresh.
const limiterKeys = 16384

// LimitKey is what events are counted by: a user, or an address.
type LimitKey interface{ string | netip.Addr }

// Limiter counts events by key: most of them may come at once, and as many each
// period. It is safe for concurrent use.
type Limiter[K LimitKey] struct {
	most   int
	period time.Duration
	shared bool // its counts are told to others

	mu     sync.Mutex
	keys   *lru.Cache[K, *limited]
	untold map[K]struct{} // keys of which others are to be told
}

// limited is what is left of a key's limit, less than nothing if others let more
// pass than there was.
type limited struct {
	*rate.Limiter
	since  time.Time // when a period began
	events int       // in that period, here
	untold int       // of which others know nothing
}

// NewLimiter returns a Limiter of that many events a minute and key, in this
// process.
func NewLimiter[K LimitKey](perMinute int) *Limiter[K] {
	return newLimiter[K](perMinute, time.Minute)
}

func newLimiter[K LimitKey](most int, period time.Duration) *Limiter[K] {
	keys, err := lru.New[K, *limited](limiterKeys)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	return &Limiter[K]{most: most, period: period, keys: keys, untold: map[K]struct{}{}}
}

// Check returns a *RateLimitError if the key has no event left, and counts
// nothing.
func (l *Limiter[K]) Check(k K, now time.Time) error {
	r, ok := l.keys.Get(k)
	if !ok {
		return nil
	}
	return l.left(r, now)
}

// left returns a *RateLimitError if there is no event left.
func (l *Limiter[K]) left(r *limited, now time.Time) error {
	if missing := 1 - r.TokensAt(now); missing > 0 {
		return &RateLimitError{RetryAfter: time.Duration(missing * float64(l.period) / float64(l.most))}
	}
	return nil
}

// Take counts an event of the key if it has one left, else it returns a
// *RateLimitError: of events at once no more than there are left are counted.
func (l *Limiter[K]) Take(k K, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.of(k)
	if err := l.left(r, now); err != nil {
		return err
	}
	l.count(k, r, now)
	return nil
}

// Count counts an event of the key.
func (l *Limiter[K]) Count(k K, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(k, l.of(k), now)
}

// count is called with mu held.
func (l *Limiter[K]) count(k K, r *limited, now time.Time) {
	if r.AllowN(now, 1) && l.shared {
		l.note(k, r, now)
	}
}

// of returns what is left of the key's limit. It is called with mu held.
func (l *Limiter[K]) of(k K) *limited {
	r, ok := l.keys.Get(k)
	if !ok {
		r = &limited{Limiter: rate.NewLimiter(rate.Limit(float64(l.most)/l.period.Seconds()), l.most)}
		l.keys.Add(k, r)
	}
	return r
}

// AddrKey is what attempts from an address are counted under: an IPv4 address,
// or the /64 of an IPv6 one, since one customer has that many.
func AddrKey(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
