package bolt

import (
	"bytes"
	"context"
	"errors"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

var errNoEpoch = errors.New("the record is too short for an epoch")

// unfinished returns the pool's sign-in if it can be finished now, else the
// error of its Judge. Its record begins with the epoch.
func (t *tx) unfinished(poolID string, k userpool.OneTimeKey, now time.Time) (userpool.Unfinished, error) {
	rec, ok, err := t.get(bucketUnfinished, k[:])
	if err != nil {
		return userpool.Unfinished{}, err
	}
	if !ok {
		return userpool.Unfinished{}, userpool.ErrStateInvalid
	}
	if len(rec) < epochSize {
		return userpool.Unfinished{}, corrupt(bucketUnfinished, errNoEpoch)
	}
	u, err := record.DecodeUnfinished(k, rec[epochSize:])
	if err != nil {
		return userpool.Unfinished{}, corrupt(bucketUnfinished, err)
	}
	if rec[:epochSize] != t.s.epoch {
		return userpool.Unfinished{}, userpool.ErrStateInvalid
	}
	return u, u.Judge(poolID, now)
}

func (t *tx) putUnfinished(u userpool.Unfinished) error {
	return t.put(bucketUnfinished, u.Key[:], append([]byte(t.s.epoch), record.EncodeUnfinished(u)...))
}

// CreateUnfinished implements userpool.Store.
func (s *Store) CreateUnfinished(_ context.Context, u userpool.Unfinished) error {
	now := u.Key.IssuedAt()
	if err := s.heed(now); err != nil {
		return err
	}
	return s.update(func(t *tx) error {
		if err := t.markClock(now); err != nil {
			return err
		}
		return t.putUnfinished(u)
	})
}

// Unfinished implements userpool.Store.
func (s *Store) Unfinished(_ context.Context, poolID string, k userpool.OneTimeKey, now time.Time) (u userpool.Unfinished, err error) {
	if err := s.heed(now); err != nil {
		return u, err
	}
	err = s.view(func(t *tx) error {
		u, err = t.unfinished(poolID, k, now)
		return err
	})
	if err != nil {
		return userpool.Unfinished{}, err
	}
	return u, nil
}

// FailUnfinished implements userpool.Store.
func (s *Store) FailUnfinished(_ context.Context, poolID string, k userpool.OneTimeKey, now time.Time) error {
	if err := s.heed(now); err != nil {
		return err
	}
	return s.update(func(t *tx) error {
		u, err := t.unfinished(poolID, k, now)
		if err != nil {
			return err
		}
		u.Failures++
		if err := t.markClock(now); err != nil {
			return err
		}
		return t.putUnfinished(u)
	})
}

// FinishUnfinished implements userpool.Store.
func (s *Store) FinishUnfinished(_ context.Context, f userpool.Finish, resolve func(userpool.Unfinished, userpool.Matches) (userpool.User, audit.Event, error)) (u userpool.User, err error) {
	if err := s.heed(f.Now); err != nil {
		return userpool.User{}, err
	}
	err = s.update(func(t *tx) error {
		of, err := t.unfinished(f.PoolID, f.Key, f.Now)
		if err != nil {
			return err
		}
		u, err = t.resolveUser(f.PoolID, f.Keys, func(m userpool.Matches) (userpool.User, audit.Event, error) { return resolve(of, m) })
		if err != nil {
			return err
		}
		of.FinishedAt = f.Now
		if err := t.markClock(f.Now); err != nil {
			return err
		}
		return t.putUnfinished(of)
	})
	return u, err
}

// oldUnfinished returns the keys of up to limit sign-ins that nobody need be told
// about any more.
func (t *tx) oldUnfinished(now time.Time, limit int) (keys [][]byte) {
	begun := now.Add(-userpool.UnfinishedRetain - userpool.UnfinishedLife)
	c := t.Bucket([]byte(bucketUnfinished)).Cursor()
	for k, _ := c.First(); k != nil && len(keys) < limit && !userpool.OneTimeKey(k).IssuedAt().After(begun); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	return keys
}
