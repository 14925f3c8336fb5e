package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"app2wxapp/audit"
	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

// placeTOTP is where the sealed record of a second factor belongs.
const placeTOTP = "totp"

func (s *Store) openTOTP(poolID, userID string, sealed []byte) (userpool.TOTP, error) {
	plain, err := s.open(placeTOTP, userKey(poolID, userID), sealed)
	if err != nil {
		return userpool.TOTP{}, err
	}
	f, err := record.DecodeTOTP(plain)
	if err != nil {
		return f, corrupt(placeTOTP, err)
	}
	return f, nil
}

const (
	readTOTP = `SELECT record FROM totp WHERE pool_id = $1 AND user_id = $2`

	writeTOTP = `
INSERT INTO totp (pool_id, user_id, record) VALUES ($1, $2, $3)
ON CONFLICT (pool_id, user_id) DO UPDATE SET record = EXCLUDED.record`

	deleteTOTP = `DELETE FROM totp WHERE pool_id = $1 AND user_id = $2`
)

// TOTP implements userpool.Store.
func (s *Store) TOTP(ctx context.Context, poolID, userID string) (userpool.TOTP, error) {
	found, err := read(ctx, s, "read second factor", readTOTP, []any{poolID, userID}, pgx.RowTo[[]byte])
	if err != nil || len(found) == 0 {
		return userpool.TOTP{}, err
	}
	return s.openTOTP(poolID, userID, found[0])
}

// UpdateTOTP implements userpool.Store. The user is locked before the second
// factor is read, so that of two changes one sees the other.
func (s *Store) UpdateTOTP(ctx context.Context, poolID, userID string, change func(*userpool.User, *userpool.TOTP) (audit.Event, error)) (u userpool.User, err error) {
	err = s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		old, err := s.lockUser(ctx, tx, poolID, userID)
		if err != nil {
			return err
		}
		if old == nil {
			return userpool.ErrUserNotFound
		}
		var f userpool.TOTP
		var sealed []byte
		switch err := tx.QueryRow(ctx, readTOTP, poolID, userID).Scan(&sealed); {
		case isNone(err):
		case err != nil:
			return failed("read second factor", err)
		default:
			if f, err = s.openTOTP(poolID, userID, sealed); err != nil {
				return err
			}
		}
		u = *old
		e, err := change(&u, &f)
		if err != nil {
			return err
		}
		if err := s.putUser(ctx, tx, old, u); err != nil {
			return err
		}
		sql, args := deleteTOTP, []any{poolID, userID}
		if f.Secret != "" {
			sql, args = writeTOTP, append(args, s.sealer.Seal(nil, placeTOTP, userKey(poolID, userID), record.EncodeTOTP(f)))
		}
		if _, err := tx.Exec(ctx, sql, args...); err != nil {
			return failed("write second factor", err)
		}
		return s.record(ctx, tx, e)
	})
	return u, err
}
