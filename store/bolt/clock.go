package bolt

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"

	"app2wxapp/audit"
)

// Nothing redeems twice whatever the clock does: that is a mark on the ticket.
// But a clock that is put back would let tickets that have expired live again.
// So the store keeps the latest time that it was told, and when the clock falls
// behind it the epoch is renewed, which ends every ticket that is out.
//
// The mark lags the clock by up to markEvery, and steps within maxStepBack are
// what NTP makes: a ticket may outlive its end by the two together, 7 s.
const (
	metaClock   = "clock"
	markEvery   = 5 * time.Second
	maxStepBack = 2 * time.Second
)

// clock is the clock that is watched, and its high-water mark as it is on disk.
type clock struct {
	now  func() time.Time // nil for none
	mark atomic.Int64     // milliseconds since 1970
}

// putBack tells whether now is so far behind the mark that the clock must have
// been put back.
func putBack(now time.Time, mark int64) bool {
	return now.UnixMilli() < mark-maxStepBack.Milliseconds()
}

// heed looks at a time that a caller brings. An early one may have waited long
// since it was read, so the clock is asked before it is blamed.
func (s *Store) heed(now time.Time) error {
	if !putBack(now, s.clock.mark.Load()) {
		return nil
	}
	return s.watchClock()
}

// watchClock renews the epoch if the clock is behind the mark, and moves the
// mark back to it.
func (s *Store) watchClock() error {
	if s.clock.now == nil || !putBack(s.clock.now(), s.clock.mark.Load()) {
		return nil
	}
	var now time.Time
	var mark int64
	err := s.update(func(t *tx) (err error) {
		now = s.clock.now()
		if mark, err = t.clock(); err != nil || !putBack(now, mark) {
			return err // or another caller was first
		}
		var epoch [epochSize]byte
		rand.Read(epoch[:])
		t.OnCommit(func() {
			s.dbMu.Lock() // those who read look at the epoch, too
			defer s.dbMu.Unlock()
			s.epoch = string(epoch[:])
		})
		return errors.Join(t.put(bucketMeta, []byte(metaEpoch), epoch[:]), t.putClock(now), t.record(audit.Event{
			At: now, Type: audit.ClockPutBack, By: audit.Actor{Role: audit.Program},
			Detail: map[string]string{audit.LatestSeen: time.UnixMilli(mark).UTC().Format(time.RFC3339Nano)},
		}))
	})
	if err == nil && putBack(now, mark) {
		s.log.Error("store: the clock was put back; every ticket that was out is void, lest one that has expired lives again; check NTP",
			"clock", now, "latest_seen", time.UnixMilli(mark).UTC())
	}
	return err
}

// markClock moves the mark to now if that is markEvery ahead of it.
func (t *tx) markClock(now time.Time) error {
	if t.s.clock.now == nil || now.UnixMilli() < t.s.clock.mark.Load()+markEvery.Milliseconds() {
		return nil
	}
	return t.putClock(now)
}

func (t *tx) putClock(now time.Time) error {
	mark := now.UnixMilli()
	t.OnCommit(func() { t.s.clock.mark.Store(mark) })
	return t.put(bucketMeta, []byte(metaClock), binary.BigEndian.AppendUint64(nil, uint64(mark))) // #nosec G115 -- a time after 1970
}

// clock returns the mark, 0 if there is none yet.
func (t *tx) clock() (int64, error) {
	b, ok, err := t.get(bucketMeta, []byte(metaClock))
	if err != nil || !ok {
		return 0, err
	}
	if len(b) != 8 {
		return 0, corrupt(bucketMeta, errors.New("the clock's mark has not 8 bytes"))
	}
	return int64(binary.BigEndian.Uint64([]byte(b))), nil // #nosec G115 -- putClock converted it the other way
}
