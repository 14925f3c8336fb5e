package userpool

import (
	"context"
	"net/netip"
	"time"
)

// Processes that have one store have their limits in common: each counts for
// itself and at once, and about once a second they tell each other what they
// have counted, all of it in one write. So nobody can force a write per request.
// Of a key's first event in a period nobody is told: few have a second.
//
// What a process lets pass before it has heard of the others' is made up for: it
// lets nothing pass for as long as that takes. Of a limit of n a minute r
// processes together let pass n a minute in the long run, besides r whose
// events nobody was told of; and in a burst n each at the very most, which is n
// at one of them and at the others what fits between two tellings.

// maxTold bounds what a Limiter tells at a time; the rest follows.
const maxTold = 1024

// Count is a number of events of a key that count against a limit.
type Count struct {
	Limit string // its name, such as "redeem.failures"
	Key   string // an address or a user
	N     int
}

// Counted is what another process told, and how long ago.
type Counted struct {
	Age    time.Duration
	Counts []Count
}

// Counts is where processes on one store tell each other.
type Counts interface {
	// ShareCounts tells the others what this process has counted since its last
	// call, and returns what they have told since that, each of it once and in
	// the order of each of them; to a process that has just begun, what they told
	// in the last minute. After an error the counts are told with the next call.
	// A crash may forget some.
	ShareCounts(ctx context.Context, mine []Count) (others []Counted, err error)
}

// Limits are the Limiters of a process that it shares with others. The zero
// value has none and is ready for use.
type Limits struct {
	limiters map[string]sharer
}

// sharer is a Limiter, whatever its keys are.
type sharer interface {
	tell(limit string) []Count
	hear(c Count, age time.Duration, now time.Time)
}

// NewSharedLimiter returns a Limiter of that many events a minute and key, in
// all processes together that have a Limiter of this name. It must be made
// before Share is called. With nil for Limits it is a process's own.
func NewSharedLimiter[K LimitKey](in *Limits, name string, perMinute int) *Limiter[K] {
	return newLimiter[K](perMinute, time.Minute).sharing(in, name)
}

// NewHourlyLimiter returns a Limiter as NewSharedLimiter's, of that many events an
// hour.
func NewHourlyLimiter[K LimitKey](in *Limits, name string, perHour int) *Limiter[K] {
	return newLimiter[K](perHour, time.Hour).sharing(in, name)
}

func (l *Limiter[K]) sharing(in *Limits, name string) *Limiter[K] {
	if in == nil {
		return l
	}
	if in.limiters == nil {
		in.limiters = map[string]sharer{}
	}
	if in.limiters[name] != nil {
		panic("two limits are named " + name)
	}
	l.shared, in.limiters[name] = true, l
	return l
}

// Share tells others what was counted here and counts what they tell. It is
// called about once a second.
func (l *Limits) Share(ctx context.Context, with Counts, now time.Time) error {
	var mine []Count
	for name, limiter := range l.limiters {
		mine = append(mine, limiter.tell(name)...)
	}
	others, err := with.ShareCounts(ctx, mine)
	for _, o := range others {
		for _, c := range o.Counts {
			// A newer version may have limits of which this one knows nothing.
			if limiter := l.limiters[c.Limit]; limiter != nil {
				limiter.hear(c, o.Age, now)
			}
		}
	}
	return err
}

// note counts an event of which others may have to be told. It is called with mu
// held.
func (l *Limiter[K]) note(k K, r *limited, now time.Time) {
	if now.Sub(r.since) >= l.period {
		if r.events == 1 {
			r.untold = 0 // it was the only one
		}
		r.since, r.events = now, 0
	}
	r.events++
	r.untold++
	if r.events > 1 {
		l.untold[k] = struct{}{}
	}
}

func (l *Limiter[K]) tell(limit string) (counts []Count) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := range l.untold {
		if len(counts) == maxTold {
			break
		}
		delete(l.untold, k)
		if r, ok := l.keys.Peek(k); ok { // else it was pushed out
			counts = append(counts, Count{limit, keyText(k), r.untold})
			r.untold = 0
		}
	}
	return counts
}

func (l *Limiter[K]) hear(c Count, age time.Duration, now time.Time) {
	k, ok := parseKey[K](c.Key)
	// Meanwhile some of it has been made up for.
	left := c.N - int(age.Seconds()/l.period.Seconds()*float64(l.most))
	if !ok || left <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.of(k)
	for ; left > 0; left -= l.most {
		r.ReserveN(now, min(left, l.most))
	}
	if r.untold > 0 {
		l.untold[k] = struct{}{} // others have seen this key, too
	}
}

func keyText[K LimitKey](k K) string {
	switch k := any(k).(type) {
	case netip.Addr:
		return k.String()
	case string:
		return k
	}
	return "" // there are no others
}

func parseKey[K LimitKey](text string) (k K, ok bool) {
	switch to := any(&k).(type) {
	case *netip.Addr:
		a, err := netip.ParseAddr(text)
		*to, ok = a, err == nil
	case *string:
		*to, ok = text, true
	}
	return k, ok
}
