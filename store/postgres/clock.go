package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/audit"
)

// Nothing redeems twice whatever the clocks do: that is a mark on the ticket.
// But a clock that is put back would let tickets that have expired live again.
// There are two kinds of clocks. A machine's tells it when a ticket is issued and
// redeemed. PostgreSQL's is the same for all, and meta keeps the latest time that
// it was seen to show.
//
// When PostgreSQL's clock falls behind that, the epoch is renewed, which ends
// every ticket that is out. A machine whose clock is behind PostgreSQL's judges by
// PostgreSQL's.
//
// Both are looked at every lookEvery, and at once when a caller brings a time
// before that of the last look. Steps within maxStepBack are what NTP makes, and
// a machine may be behind by as much: a ticket may outlive its end by all three
// together, 9 s.
const (
	lookEvery   = 5 * time.Second
	maxStepBack = 2 * time.Second
	// warnEvery is how often it is said that the clocks differ.
	warnEvery = time.Minute
)

// clock is this machine's clock and what is known of PostgreSQL's.
type clock struct {
	now    func() time.Time // this machine's; nil if nobody watches
	look   sync.Mutex       // one looks at a time
	warned time.Time        // by the monotonic clock; with look
	behind atomic.Int64     // nanoseconds that this machine's is behind, 0 within maxStepBack
	seen   atomic.Int64     // what PostgreSQL's showed at the last look, nanoseconds since 1970
}

// judge returns the time by which a caller's is judged.
func (c *clock) judge(now time.Time) time.Time { return now.Add(time.Duration(c.behind.Load())) }

// bound returns the time by which a caller's is judged where it is better late than
// early: PostgreSQL's, as it was at the last look, of a machine that is ahead.
func (c *clock) bound(now time.Time) time.Time {
	if c.now == nil {
		return now
	}
	if seen := time.Unix(0, c.seen.Load()).UTC(); seen.Before(now) {
		return seen
	}
	return now
}

// putBack tells whether a clock that shows now, and has shown seen, must have
// been put back.
func putBack(now, seen time.Time) bool { return now.Before(seen.Add(-maxStepBack)) }

// heed returns the time by which to judge what a caller brings. One that is early
// may have waited long since it was read, so the clocks are asked before they are
// blamed. It returns userpool.ErrUnavailable if PostgreSQL does not answer.
func (s *Store) heed(ctx context.Context, now time.Time) (time.Time, error) {
	early := func() bool { return putBack(s.clock.judge(now), time.Unix(0, s.clock.seen.Load())) }
	if s.clock.now == nil || !early() {
		return s.clock.judge(now), nil
	}
	s.clock.look.Lock()
	defer s.clock.look.Unlock()
	if early() { // nobody has looked meanwhile
		if err := s.lookAtClock(ctx); err != nil {
			return now, err
		}
	}
	return s.clock.judge(now), nil
}

// watchClock looks at the clocks until ctx ends.
func (s *Store) watchClock(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.clock.look.Lock()
		err := s.lookAtClock(ctx)
		s.clock.look.Unlock()
		if err != nil && ctx.Err() == nil {
			s.log.Warn("store: PostgreSQL's clock could not be read", "err", err)
		}
	}
}

// times are what PostgreSQL's clock shows, and the latest that it was seen to
// show, nil if nobody has looked yet.
type times struct {
	now  time.Time
	mark *time.Time
}

func scanTimes(r pgx.CollectableRow) (t times, err error) {
	err = r.Scan(&t.now, &t.mark)
	return t, err
}

const (
	readClock = `SELECT clock_timestamp(), clock FROM meta`

	markClock = `UPDATE meta SET clock = clock_timestamp() WHERE clock IS NULL OR clock < clock_timestamp()`

	renewEpoch = `UPDATE meta SET epoch = $1, clock = clock_timestamp()`
)

// lookAtClock measures how far the clocks are from each other, but for half of the
// time that the answer took, and renews the epoch if PostgreSQL's was put back. It
// is called with look held.
func (s *Store) lookAtClock(ctx context.Context) error {
	ours, began := s.clock.now(), time.Now()
	found, err := read(ctx, s, "read clock", readClock, nil, scanTimes)
	if err != nil {
		return err
	}
	theirs, half := found[0].now, time.Since(began)/2
	skew := theirs.Sub(ours.Add(half))
	s.metrics.skew.Set(skew.Seconds())
	var behind time.Duration
	if skew > maxStepBack+half {
		behind = skew
	}
	s.clock.behind.Store(int64(behind))
	if skew.Abs() > maxStepBack+half && time.Since(s.clock.warned) > warnEvery {
		s.clock.warned = time.Now()
		s.log.Warn("store: this machine's clock is not PostgreSQL's; tickets end early or late by the difference; check NTP on both",
			"difference", skew.Round(time.Millisecond).String())
	}
	if mark := found[0].mark; mark != nil && putBack(theirs, *mark) {
		err = s.endTickets(ctx)
	} else {
		_, err = write(ctx, s, "mark clock", markClock, nil, exists)
	}
	if err == nil {
		s.clock.seen.Store(theirs.UnixNano())
	}
	return err
}

// endTickets renews the epoch, if PostgreSQL's clock is still behind the mark, and
// puts the mark back to it.
func (s *Store) endTickets(ctx context.Context) error {
	var t times
	err := s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, readClock+` FOR UPDATE`).Scan(&t.now, &t.mark); err != nil {
			return failed("read clock", err)
		}
		if t.mark == nil || !putBack(t.now, *t.mark) {
			return nil // another process was first
		}
		if _, err := tx.Exec(ctx, renewEpoch, newEpoch()); err != nil {
			return failed("renew epoch", err)
		}
		return s.record(ctx, tx, audit.Event{
			At: s.clock.now(), Type: audit.ClockPutBack, By: audit.Actor{Role: audit.Program},
			Detail: map[string]string{audit.LatestSeen: t.mark.UTC().Format(time.RFC3339Nano)},
		})
	})
	if err == nil && t.mark != nil && putBack(t.now, *t.mark) {
		s.log.Error("store: PostgreSQL's clock was put back; every ticket that was out is void, lest one that has expired lives again; check NTP",
			"clock", t.now.UTC(), "latest_seen", t.mark.UTC())
	}
	return err
}
