package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"time"

	"app2wxapp/store/record"
	"app2wxapp/token"
)

// session returns the record, token.ErrSession if there is none.
func (t *tx) session(id string) (token.Session, error) {
	rec, ok, err := t.get(bucketSessions, []byte(id))
	if err != nil {
		return token.Session{}, err
	}
	if !ok {
		return token.Session{}, token.ErrSession
	}
	s, err := record.DecodeSession(id, rec)
	if err != nil {
		return token.Session{}, corrupt(bucketSessions, err)
	}
	return s, nil
}

// putSession stores a session, old as it was or nil if there is none, and moves
// its entry among the ends.
func (t *tx) putSession(old *token.Session, s token.Session) error {
	if old == nil || !old.ExpiresAt.Equal(s.ExpiresAt) {
		if old != nil {
			if err := t.delete(bucketSessionEnds, sessionEnd(old.ExpiresAt, s.ID)); err != nil {
				return err
			}
		}
		if err := t.put(bucketSessionEnds, sessionEnd(s.ExpiresAt, s.ID), nil); err != nil {
			return err
		}
	}
	return t.put(bucketSessions, []byte(s.ID), record.EncodeSession(s))
}

func (t *tx) writeSession(key, value string) error {
	s, err := record.DecodeSession(key, value)
	if err != nil {
		return err
	}
	return t.putSession(nil, s)
}

// sessionEnd sorts sessions by their end, so that they are swept from the front.
func sessionEnd(end time.Time, id string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(end.UnixMilli())), id...) // #nosec G115 -- a time after 1970
}

// entomb ends the session that the replayed ticket's token belongs to; if it has
// none yet, none will begin.
func (t *tx) entomb(grave token.Session) error {
	s, err := t.session(grave.ID)
	switch {
	case errors.Is(err, token.ErrSession):
		return t.putSession(nil, grave)
	case err != nil:
		return err
	}
	s.Ended = true
	return t.putSession(&s, s)
}

// oldSessions returns the entries of up to limit sessions that have expired.
func (t *tx) oldSessions(now time.Time, limit int) (ends [][]byte) {
	last := sessionEnd(now, "\xff")
	c := t.Bucket([]byte(bucketSessionEnds)).Cursor()
	for k, _ := c.First(); k != nil && len(ends) < limit && bytes.Compare(k, last) < 0; k, _ = c.Next() {
		ends = append(ends, bytes.Clone(k))
	}
	return ends
}

// sweepSessions deletes the sessions of the entries, and returns how many these
// were.
func (t *tx) sweepSessions(ends [][]byte) (int, error) {
	return t.sweepEnds(bucketSessionEnds, bucketSessions, ends, func(id []byte) ([]byte, error) {
		s, err := t.session(string(id))
		if errors.Is(err, token.ErrSession) {
			return nil, nil
		}
		return sessionEnd(s.ExpiresAt, s.ID), err
	})
}

// sweepEnds deletes the entries, and the records that end where they say, and
// returns how many records these were. One that was renewed since it was looked for
// has another entry now, and stays; one that does not open goes. entry returns a
// record's own entry, nil if there is no record.
func (t *tx) sweepEnds(bucketEnds, bucket string, ends [][]byte, entry func(key []byte) ([]byte, error)) (n int, err error) {
	for _, k := range ends {
		own, damaged := entry(k[8:])
		if err := t.delete(bucketEnds, k); err != nil {
			return n, err
		}
		if damaged == nil && !bytes.Equal(own, k) {
			continue
		}
		if err := t.delete(bucket, k[8:]); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// CreateSession implements token.Store.
func (s *Store) CreateSession(_ context.Context, made token.Session) error {
	return s.update(func(t *tx) error {
		there, err := t.session(made.ID)
		switch {
		case errors.Is(err, token.ErrSession):
			return t.putSession(nil, made)
		case err != nil:
			return err
		case there.Ended, there.Refresh != made.Refresh, there.PoolID != made.PoolID:
			return token.ErrSession
		}
		return nil
	})
}

// Session implements token.Store.
func (s *Store) Session(_ context.Context, id string) (found token.Session, err error) {
	err = s.view(func(t *tx) error {
		found, err = t.session(id)
		return err
	})
	return found, err
}

// RotateSession implements token.Store.
func (s *Store) RotateSession(_ context.Context, r token.Rotation) (rotated token.Session, err error) {
	var reused bool
	err = s.update(func(t *tx) error {
		reused = false
		old, err := t.session(r.SessionID)
		if err != nil {
			return err
		}
		a, err := t.writtenAccess(old.PoolID, old.UserID)
		if err != nil {
			return err
		}
		err = old.Judge(r, a.blocked, a.notBefore)
		if errors.Is(err, token.ErrReused) {
			reused = true
			ended := old
			ended.Ended = true
			if err := t.putSession(&old, ended); err != nil {
				return err
			}
			return t.record(r.Reused(old))
		}
		if err != nil {
			return err
		}
		if r.RevokePrevious {
			if err := t.put(bucketRevoked, revokedKey(old.JTI, old.TokenEnd), nil); err != nil {
				return err
			}
		}
		rotated = old.Rotated(r)
		return t.putSession(&old, rotated)
	})
	switch {
	case err != nil:
		return token.Session{}, err
	case reused:
		return token.Session{}, token.ErrReused
	}
	return rotated, nil
}

// EndSession implements token.Store.
func (s *Store) EndSession(_ context.Context, poolID, id string) error {
	err := s.update(func(t *tx) error {
		old, err := t.session(id)
		if err != nil {
			return err
		}
		if old.PoolID != poolID || old.Ended {
			return token.ErrSession
		}
		ended := old
		ended.Ended = true
		return t.putSession(&old, ended)
	})
	if errors.Is(err, token.ErrSession) {
		return nil
	}
	return err
}

// RevokeToken implements token.Store.
func (s *Store) RevokeToken(_ context.Context, jti string, expiresAt time.Time) error {
	return s.update(func(t *tx) error { return t.put(bucketRevoked, revokedKey(jti, expiresAt), nil) })
}
