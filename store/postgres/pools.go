package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/audit"
	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

// storedPool is a pool and the change that made it so.
type storedPool struct {
	userpool.Pool
	version int64
}

func (s *Store) scanPool(r pgx.Row) (p storedPool, err error) {
	var id string
	var sealed []byte
	if err := r.Scan(&id, &sealed, &p.version); err != nil {
		return p, err
	}
	b, err := s.open(placePool, []byte(id), sealed)
	if err != nil {
		return p, err
	}
	if p.Pool, err = record.DecodePool(id, b); err != nil {
		return p, corrupt(placePool, err)
	}
	return p, nil
}

func (s *Store) sealPool(p userpool.Pool) ([]byte, error) {
	b, err := record.EncodePool(p)
	if err != nil {
		return nil, err
	}
	return s.sealer.Seal(nil, placePool, []byte(p.ID), b), nil
}

func (s *Store) readPools(ctx context.Context, sql string, args ...any) ([]storedPool, error) {
	return read(ctx, s, "read pools", `SELECT id, record, version FROM pools `+sql, args,
		func(r pgx.CollectableRow) (storedPool, error) { return s.scanPool(r) })
}

// A change of pools takes the next version in the transaction that makes it. As
// it locks meta until its end, who sees a version sees all before it. Listeners
// are told when it commits.
const (
	createPool = `
WITH next AS (
    UPDATE meta SET pools_version = pools_version + 1 RETURNING pools_version
)
INSERT INTO pools (id, record, version) SELECT $1::text, $2::bytea, pools_version FROM next RETURNING version`

	changePool = `
WITH next AS (
    UPDATE meta SET pools_version = pools_version + 1 RETURNING pools_version
)
UPDATE pools SET record = $2, version = next.pools_version FROM next WHERE id = $1 RETURNING version`

	tellPools = `SELECT pg_notify('` + channel + `', '')`
)

// CreatePool implements userpool.Store.
func (s *Store) CreatePool(ctx context.Context, p userpool.Pool, e audit.Event) error {
	sealed, err := s.sealPool(p)
	if err != nil {
		return err
	}
	made := storedPool{Pool: p}
	err = s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := s.putPool(ctx, tx, createPool, sealed, &made); err != nil {
			return err
		}
		return s.record(ctx, tx, e)
	})
	if taken(err) {
		return userpool.ErrPoolExists
	}
	if err == nil {
		s.cache.put(made)
	}
	return err
}

func (s *Store) putPool(ctx context.Context, tx pgx.Tx, sql string, sealed []byte, p *storedPool) error {
	if err := tx.QueryRow(ctx, sql, p.ID, sealed).Scan(&p.version); err != nil {
		return failed("write pool", err)
	}
	if !s.postgres {
		return nil // where nobody listens
	}
	if _, err := tx.Exec(ctx, tellPools); err != nil {
		return failed("notify", err)
	}
	return nil
}

// Pool implements userpool.Store.
func (s *Store) Pool(ctx context.Context, id string) (userpool.Pool, error) {
	if p, ok := s.cache.get(id); ok {
		return p.Pool, nil
	}
	pools, err := s.readPools(ctx, `WHERE id = $1`, id)
	if err != nil {
		return userpool.Pool{}, err
	}
	if len(pools) == 0 {
		return userpool.Pool{}, userpool.ErrPoolNotFound
	}
	s.cache.put(pools[0])
	return pools[0].Pool, nil
}

// Pools implements userpool.Store.
func (s *Store) Pools(ctx context.Context, after string, limit int) ([]userpool.Pool, error) {
	list, err := s.readPools(ctx, `WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
	if err != nil {
		return nil, err
	}
	pools := make([]userpool.Pool, len(list))
	for i, p := range list {
		pools[i] = p.Pool
	}
	return pools, nil
}

// UpdatePool implements userpool.Store.
func (s *Store) UpdatePool(ctx context.Context, id string, change func(*userpool.Pool) (audit.Event, error)) (userpool.Pool, error) {
	var p storedPool
	err := s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		p, err = s.scanPool(tx.QueryRow(ctx, `SELECT id, record, version FROM pools WHERE id = $1 FOR UPDATE`, id))
		switch {
		case isNone(err):
			return userpool.ErrPoolNotFound
		case err != nil:
			return failed("read pool", err)
		}
		e, err := change(&p.Pool)
		if err != nil {
			return err
		}
		sealed, err := s.sealPool(p.Pool)
		if err != nil {
			return err
		}
		if err := s.putPool(ctx, tx, changePool, sealed, &p); err != nil {
			return err
		}
		return s.record(ctx, tx, e)
	})
	if err != nil {
		return userpool.Pool{}, err
	}
	s.cache.put(p)
	return p.Pool, nil
}

// TouchSecrets implements userpool.Store.
func (s *Store) TouchSecrets(ctx context.Context, poolID string, used map[string]time.Time) error {
	_, err := s.UpdatePool(ctx, poolID, func(p *userpool.Pool) (audit.Event, error) { return audit.Event{}, p.Touch(used) })
	if errors.Is(err, userpool.ErrUnchanged) {
		return nil
	}
	return err
}
