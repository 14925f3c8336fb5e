package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/audit"
	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

// placeUnfinished is where the sealed part of a sign-in belongs.
const placeUnfinished = "unfinished"

const createUnfinished = `
INSERT INTO unfinished (key, pool_id, epoch, expires_at, failures, finished_at, record, codes)
VALUES ($1, $2, (SELECT epoch FROM meta), $3, $4, $5, $6, $7)
ON CONFLICT (key) DO NOTHING`

// CreateUnfinished implements userpool.Store. A key is of 256 random bits: one
// that is there is of this very sign-in, and the statement may run again when
// nobody knows what became of it.
func (s *Store) CreateUnfinished(ctx context.Context, u userpool.Unfinished) error {
	if _, err := s.heed(ctx, u.Key.IssuedAt()); err != nil {
		return err
	}
	sealed := s.sealer.Seal(nil, placeUnfinished, u.Key[:], record.EncodeUnfinished(u))
	_, err := read(ctx, s, "create sign-in", createUnfinished,
		[]any{u.Key[:], u.PoolID, u.ExpiresAt, u.Failures, maybe(u.FinishedAt), sealed, u.Codes}, exists)
	return err
}

const readUnfinished = `
SELECT u.pool_id, u.expires_at, u.failures, u.finished_at, u.record, u.codes
FROM unfinished u
WHERE u.key = $1 AND u.epoch = (SELECT epoch FROM meta)`

// scanUnfinished reads readUnfinished. What decides is in columns.
func (s *Store) scanUnfinished(r pgx.Row, k userpool.OneTimeKey) (u userpool.Unfinished, err error) {
	var sealed []byte
	var poolID string
	var expires time.Time
	var failures, codes int
	var finished *time.Time
	if err := r.Scan(&poolID, &expires, &failures, &finished, &sealed, &codes); err != nil {
		return u, err
	}
	plain, err := s.open(placeUnfinished, k[:], sealed)
	if err != nil {
		return u, err
	}
	if u, err = record.DecodeUnfinished(k, plain); err != nil {
		return u, corrupt(placeUnfinished, err)
	}
	u.PoolID, u.ExpiresAt, u.Failures, u.FinishedAt, u.Codes = poolID, expires.UTC(), failures, utc(finished), codes
	return u, nil
}

// Unfinished implements userpool.Store.
func (s *Store) Unfinished(ctx context.Context, poolID string, k userpool.OneTimeKey, now time.Time) (userpool.Unfinished, error) {
	now, err := s.heed(ctx, now)
	if err != nil {
		return userpool.Unfinished{}, err
	}
	found, err := read(ctx, s, "read sign-in", readUnfinished, []any{k[:]},
		func(r pgx.CollectableRow) (userpool.Unfinished, error) { return s.scanUnfinished(r, k) })
	switch {
	case err != nil:
		return userpool.Unfinished{}, err
	case len(found) == 0:
		return userpool.Unfinished{}, userpool.ErrStateInvalid
	}
	if err := found[0].Judge(poolID, now); err != nil {
		return userpool.Unfinished{}, err
	}
	return found[0], nil
}

// lockUnfinished returns the sign-in if it can be finished now; nobody else
// finishes it before the transaction ends.
func (s *Store) lockUnfinished(ctx context.Context, tx pgx.Tx, poolID string, k userpool.OneTimeKey, now time.Time) (userpool.Unfinished, error) {
	u, err := s.scanUnfinished(tx.QueryRow(ctx, readUnfinished+` FOR UPDATE OF u`, k[:]), k)
	switch {
	case isNone(err):
		return u, userpool.ErrStateInvalid
	case err != nil:
		return u, failed("lock sign-in", err)
	}
	return u, u.Judge(poolID, now)
}

// FailUnfinished implements userpool.Store.
func (s *Store) FailUnfinished(ctx context.Context, poolID string, k userpool.OneTimeKey, now time.Time) error {
	now, err := s.heed(ctx, now)
	if err != nil {
		return err
	}
	return s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := s.lockUnfinished(ctx, tx, poolID, k, now); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE unfinished SET failures = failures + 1 WHERE key = $1`, k[:]); err != nil {
			return failed("count failure", err)
		}
		return nil
	})
}

// FinishUnfinished implements userpool.Store.
func (s *Store) FinishUnfinished(ctx context.Context, f userpool.Finish, resolve func(userpool.Unfinished, userpool.Matches) (userpool.User, audit.Event, error)) (userpool.User, error) {
	var err error
	if f.Now, err = s.heed(ctx, f.Now); err != nil {
		return userpool.User{}, err
	}
	var of userpool.Unfinished
	lock := func(ctx context.Context, tx pgx.Tx) (err error) {
		of, err = s.lockUnfinished(ctx, tx, f.PoolID, f.Key, f.Now)
		return err
	}
	finish := func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE unfinished SET finished_at = $2 WHERE key = $1`, f.Key[:], f.Now); err != nil {
			return failed("finish sign-in", err)
		}
		return nil
	}
	return s.resolveUser(ctx, f.PoolID, f.Keys, lock, finish,
		func(m userpool.Matches) (userpool.User, audit.Event, error) { return resolve(of, m) })
}

const sweepUnfinished = `
DELETE FROM unfinished WHERE key = ANY (ARRAY(
    SELECT key FROM unfinished WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
))`
