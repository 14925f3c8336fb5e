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
func (s *Store) UpdateTOTP(ctx context.Context, poolID, userID string, change func(*userpool.User, *userpool.TOTP) (audit.Event, error)) (userpool.User, error) {
	var f userpool.TOTP
	return s.updateUser(ctx, poolID, userID, func(ctx context.Context, tx pgx.Tx) (err error) {
		f, err = s.totp(ctx, tx, poolID, userID)
		return err
	}, func(u *userpool.User) (audit.Event, error) {
		return change(u, &f)
	}, func(ctx context.Context, tx pgx.Tx) error {
		return s.putTOTP(ctx, tx, poolID, userID, f)
	})
}

// totp returns the user's second factor, the zero one if there is none.
func (s *Store) totp(ctx context.Context, tx pgx.Tx, poolID, userID string) (userpool.TOTP, error) {
	var sealed []byte
	switch err := tx.QueryRow(ctx, readTOTP, poolID, userID).Scan(&sealed); {
	case isNone(err):
		return userpool.TOTP{}, nil
	case err != nil:
		return userpool.TOTP{}, failed("read second factor", err)
	}
	return s.openTOTP(poolID, userID, sealed)
}

// putTOTP stores the user's second factor; the zero one is none.
func (s *Store) putTOTP(ctx context.Context, tx pgx.Tx, poolID, userID string, f userpool.TOTP) error {
	sql, args := deleteTOTP, []any{poolID, userID}
	if f.Secret != "" {
		sql, args = writeTOTP, append(args, s.sealer.Seal(nil, placeTOTP, userKey(poolID, userID), record.EncodeTOTP(f)))
	}
	if _, err := tx.Exec(ctx, sql, args...); err != nil {
		return failed("write second factor", err)
	}
	return nil
}
