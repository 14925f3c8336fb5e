package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"app2wxapp/audit"
	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

// placePassword is where the sealed record of a password belongs.
const placePassword = "passwords"

func (s *Store) openPassword(poolID, userID string, sealed []byte) (userpool.Password, error) {
	plain, err := s.open(placePassword, userKey(poolID, userID), sealed)
	if err != nil {
		return userpool.Password{}, err
	}
	p, err := record.DecodePassword(plain)
	if err != nil {
		return p, corrupt(placePassword, err)
	}
	return p, nil
}

func (s *Store) sealPassword(poolID, userID string, p userpool.Password) []byte {
	return s.sealer.Seal(nil, placePassword, userKey(poolID, userID), record.EncodePassword(p))
}

const readPassword = `SELECT record FROM passwords WHERE pool_id = $1 AND user_id = $2`

// Password implements userpool.Store.
func (s *Store) Password(ctx context.Context, poolID, userID string) (userpool.Password, error) {
	found, err := read(ctx, s, "read password", readPassword, []any{poolID, userID}, pgx.RowTo[[]byte])
	if err != nil || len(found) == 0 {
		return userpool.Password{}, err
	}
	return s.openPassword(poolID, userID, found[0])
}

const (
	writePassword = `
INSERT INTO passwords (pool_id, user_id, record) VALUES ($1, $2, $3)
ON CONFLICT (pool_id, user_id) DO UPDATE SET record = EXCLUDED.record`

	deletePassword = `DELETE FROM passwords WHERE pool_id = $1 AND user_id = $2`
)

// putPassword stores the user's password; the zero one is none.
func (s *Store) putPassword(ctx context.Context, tx pgx.Tx, poolID, userID string, p userpool.Password) error {
	sql, args := deletePassword, []any{poolID, userID}
	if p.Hash != "" {
		sql, args = writePassword, append(args, s.sealPassword(poolID, userID, p))
	}
	if _, err := tx.Exec(ctx, sql, args...); err != nil {
		return failed("write password", err)
	}
	return nil
}

// CreateUserWithPassword implements userpool.Store.
func (s *Store) CreateUserWithPassword(ctx context.Context, u userpool.User, p userpool.Password, e audit.Event) error {
	return s.createUser(ctx, u, func(ctx context.Context, tx pgx.Tx) error {
		if err := s.putPassword(ctx, tx, u.PoolID, u.ID, p); err != nil {
			return err
		}
		return s.record(ctx, tx, e)
	})
}

// SetPassword implements userpool.Store.
func (s *Store) SetPassword(ctx context.Context, poolID, userID string, p userpool.Password, change func(*userpool.User) (audit.Event, error)) (userpool.User, error) {
	return s.updateUser(ctx, poolID, userID, nothing, change, func(ctx context.Context, tx pgx.Tx) error {
		return s.putPassword(ctx, tx, poolID, userID, p)
	})
}

// ReplacePassword implements userpool.Store.
func (s *Store) ReplacePassword(ctx context.Context, poolID, userID string, was, to userpool.Password) error {
	return s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var sealed []byte
		err := tx.QueryRow(ctx, readPassword+` FOR UPDATE`, poolID, userID).Scan(&sealed)
		switch {
		case isNone(err):
			return userpool.ErrUnchanged
		case err != nil:
			return failed("lock password", err)
		}
		p, err := s.openPassword(poolID, userID, sealed)
		if err != nil {
			return err
		}
		if !p.Replaces(was) {
			return userpool.ErrUnchanged
		}
		return s.putPassword(ctx, tx, poolID, userID, to)
	})
}
