package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

func (s *Store) recipientKey(poolID, to string) []byte {
	return s.keys.Blind(bucketRecipients, poolID, to)
}

// codeHash returns the HMAC of the code as if it had been sent for that sign-in.
func (s *Store) codeHash(c userpool.OneTimeCode, of userpool.OneTimeKey) userpool.CodeHash {
	return userpool.CodeHash(s.keys.Blind("codes", c.PoolID, c.Purpose, c.To, string(of[:]), string(c.Code)))
}

// recipient returns what is kept under the key. Its record begins with the epoch:
// codes of another one are nobody's, and what was sent was sent.
func (t *tx) recipient(key []byte) (r userpool.Recipient, err error) {
	rec, ok, err := t.get(bucketRecipients, key)
	if err != nil || !ok {
		return r, err
	}
	if len(rec) < epochSize {
		return r, corrupt(bucketRecipients, errNoEpoch)
	}
	if r, err = record.DecodeRecipient(rec[epochSize:]); err != nil {
		return r, corrupt(bucketRecipients, err)
	}
	if rec[:epochSize] != t.s.epoch {
		r.Codes = nil
	}
	return r, nil
}

// putRecipient stores a recipient whose record ended at that time, zero for none, and
// moves its entry among the ends.
func (t *tx) putRecipient(key []byte, ended time.Time, r userpool.Recipient) error {
	if end := r.EndsAt(); !end.Equal(ended) {
		if !ended.IsZero() {
			if err := t.delete(bucketRecipientEnds, recipientEnd(ended, key)); err != nil {
				return err
			}
		}
		if err := t.put(bucketRecipientEnds, recipientEnd(end, key), nil); err != nil {
			return err
		}
	}
	return t.put(bucketRecipients, key, append([]byte(t.s.epoch), record.EncodeRecipient(r)...))
}

// recipientEnd sorts recipients by their end, so that they are swept from the front.
func recipientEnd(end time.Time, key []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(end.UnixMilli())), key...) // #nosec G115 -- a time after 1970
}

// KeepCode implements userpool.SentCodes.
func (s *Store) KeepCode(_ context.Context, c userpool.OneTimeCode, now time.Time) error {
	if err := s.heed(now); err != nil {
		return err
	}
	return s.update(func(t *tx) error {
		var u userpool.Unfinished
		if c.Of != (userpool.OneTimeKey{}) {
			var err error
			if u, err = t.unfinished(c.PoolID, c.Of, now); err != nil {
				return err
			}
			if err := u.CountCode(); err != nil {
				return err
			}
		}
		key := s.recipientKey(c.PoolID, c.To)
		r, err := t.recipient(key)
		if err != nil {
			return err
		}
		ended := r.EndsAt()
		if err := r.Add(userpool.SentCode{Purpose: c.Purpose, Hash: s.codeHash(c, c.Of), Of: c.Of, ExpiresAt: now.Add(userpool.CodeLife)}, now); err != nil {
			return err
		}
		if err := t.markClock(now); err != nil {
			return err
		}
		if c.Of != (userpool.OneTimeKey{}) {
			if err := t.putUnfinished(u); err != nil {
				return err
			}
		}
		return t.putRecipient(key, ended, r)
	})
}

// UseCode implements userpool.SentCodes.
func (s *Store) UseCode(_ context.Context, c userpool.OneTimeCode, now time.Time) error {
	if err := s.heed(now); err != nil {
		return err
	}
	var judged error
	err := s.update(func(t *tx) error {
		key := s.recipientKey(c.PoolID, c.To)
		r, err := t.recipient(key)
		if err != nil {
			return err
		}
		var counted bool
		counted, judged = r.Use(c.Purpose, c.Of, func(of userpool.OneTimeKey) userpool.CodeHash { return s.codeHash(c, of) }, now)
		if !counted {
			return judged
		}
		if err := t.markClock(now); err != nil {
			return err
		}
		return t.putRecipient(key, r.EndsAt(), r)
	})
	if err != nil {
		return err
	}
	return judged
}

// oldRecipients returns the entries of up to limit recipients of whom nothing need be
// known any more.
func (t *tx) oldRecipients(now time.Time, limit int) (ends [][]byte) {
	last := recipientEnd(now, bytes.Repeat([]byte{0xff}, 33))
	c := t.Bucket([]byte(bucketRecipientEnds)).Cursor()
	for k, _ := c.First(); k != nil && len(ends) < limit && bytes.Compare(k, last) < 0; k, _ = c.Next() {
		ends = append(ends, bytes.Clone(k))
	}
	return ends
}

// sweepRecipients deletes the recipients of the entries, and returns how many these
// were.
func (t *tx) sweepRecipients(ends [][]byte) (int, error) {
	return t.sweepEnds(bucketRecipientEnds, bucketRecipients, ends, func(key []byte) ([]byte, error) {
		r, err := t.recipient(key)
		if len(r.Sent) == 0 { // there is none
			return nil, err
		}
		return recipientEnd(r.EndsAt(), key), err
	})
}
