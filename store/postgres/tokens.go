package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/token"
)

const readSigningKeys = `SELECT id, record FROM signing_keys ORDER BY created_at, id`

func (s *Store) scanSigningKey(r pgx.CollectableRow) (k token.Key, err error) {
	var id string
	var sealed []byte
	if err := r.Scan(&id, &sealed); err != nil {
		return k, err
	}
	b, err := s.open(placeSigningKey, []byte(id), sealed)
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal([]byte(b), &k); err != nil {
		return k, corrupt(placeSigningKey, err)
	}
	return k, nil
}

// SigningKeys implements token.Store.
func (s *Store) SigningKeys(ctx context.Context) ([]token.Key, error) {
	return read(ctx, s, "read signing keys", readSigningKeys, nil, s.scanSigningKey)
}

// AddFirstSigningKey implements token.Store.
func (s *Store) AddFirstSigningKey(ctx context.Context, k token.Key) (there token.Key, err error) {
	b, err := json.Marshal(k)
	if err != nil {
		return token.Key{}, err
	}
	err = s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		there = k
		// One after the other: there is no first key to lock.
		if _, err := tx.Exec(ctx, `SELECT 1 FROM meta FOR UPDATE`); err != nil {
			return failed("lock", err)
		}
		rows, err := tx.Query(ctx, readSigningKeys)
		if err != nil {
			return failed("read signing keys", err)
		}
		keys, err := pgx.CollectRows(rows, s.scanSigningKey)
		if err != nil {
			return failed("read signing keys", err)
		}
		for _, have := range keys {
			if have.Alg == k.Alg {
				there = have
				return nil
			}
		}
		_, err = tx.Exec(ctx, `INSERT INTO signing_keys (id, alg, record, created_at) VALUES ($1, $2, $3, $4)`,
			k.ID, k.Alg, s.sealer.Seal(nil, placeSigningKey, []byte(k.ID), b), k.CreatedAt)
		if err != nil {
			return failed("write signing key", err)
		}
		return nil
	})
	return there, err
}

// TokenRevoked implements token.Store.
func (s *Store) TokenRevoked(ctx context.Context, jti string, expiresAt time.Time) (bool, error) {
	there, err := read(ctx, s, "read deny-list", `SELECT 1 FROM revoked WHERE expires_at = date_trunc('second', $1::timestamptz) AND jti = $2`, []any{expiresAt, jti}, exists)
	return len(there) > 0, err
}

var _ token.Store = (*Store)(nil)
