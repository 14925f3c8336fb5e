package bolt

import (
	"context"
	"errors"
	"sync"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

func (t *tx) pool(id string) (userpool.Pool, error) {
	record, ok, err := t.get(bucketPools, []byte(id))
	if err != nil {
		return userpool.Pool{}, err
	}
	if !ok {
		return userpool.Pool{}, userpool.ErrPoolNotFound
	}
	return decodePool(id, record)
}

func decodePool(id, rec string) (userpool.Pool, error) {
	p, err := record.DecodePool(id, rec)
	if err != nil {
		return p, corrupt(bucketPools, err)
	}
	return p, nil
}

func (t *tx) putPool(p userpool.Pool) error {
	b, err := record.EncodePool(p)
	if err != nil {
		return err
	}
	return t.put(bucketPools, []byte(p.ID), b)
}

// poolCache has pools as they are in the file, decoded: they are asked for with
// every request and change rarely. mu is held while one is read into it or
// changed, so that an old one never replaces a new one.
type poolCache struct {
	mu    sync.Mutex
	pools sync.Map // pool id → *userpool.Pool
}

// change makes a change of a pool, which returns the pool as it is then.
func (c *poolCache) change(id string, do func() (userpool.Pool, error)) (userpool.Pool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := do()
	switch {
	case err == nil:
		c.pools.Store(id, &p)
	case errors.Is(err, userpool.ErrUnavailable):
		c.pools.Delete(id) // the outcome is unknown: read it again
	}
	return p, err
}

// CreatePool implements userpool.Store.
func (s *Store) CreatePool(_ context.Context, p userpool.Pool, e audit.Event) error {
	_, err := s.pools.change(p.ID, func() (userpool.Pool, error) {
		return p, s.update(func(t *tx) error {
			if _, ok, err := t.get(bucketPools, []byte(p.ID)); err != nil {
				return err
			} else if ok {
				return userpool.ErrPoolExists
			}
			if err := t.putPool(p); err != nil {
				return err
			}
			return t.record(e)
		})
	})
	return err
}

// Pool implements userpool.Store.
func (s *Store) Pool(_ context.Context, id string) (userpool.Pool, error) {
	if p, ok := s.pools.pools.Load(id); ok {
		return *p.(*userpool.Pool), nil
	}
	return s.pools.change(id, func() (p userpool.Pool, err error) {
		err = s.view(func(t *tx) error {
			p, err = t.pool(id)
			return err
		})
		return p, err
	})
}

// Pools implements userpool.Store.
func (s *Store) Pools(_ context.Context, after string, limit int) (pools []userpool.Pool, err error) {
	err = s.view(func(t *tx) error {
		c := t.Bucket([]byte(bucketPools)).Cursor()
		k, v := c.Seek([]byte(after))
		if string(k) == after {
			k, v = c.Next()
		}
		for ; k != nil && len(pools) < limit; k, v = c.Next() {
			record, err := t.open(bucketPools, k, v)
			if err != nil {
				return err
			}
			p, err := decodePool(string(k), record)
			if err != nil {
				return err
			}
			pools = append(pools, p)
		}
		return nil
	})
	return pools, err
}

// UpdatePool implements userpool.Store.
func (s *Store) UpdatePool(_ context.Context, id string, change func(*userpool.Pool) (audit.Event, error)) (userpool.Pool, error) {
	return s.pools.change(id, func() (p userpool.Pool, err error) {
		err = s.update(func(t *tx) error {
			if p, err = t.pool(id); err != nil {
				return err
			}
			e, err := change(&p)
			if err != nil {
				return err
			}
			if err := t.putPool(p); err != nil {
				return err
			}
			return t.record(e)
		})
		return p, err
	})
}

// TouchSecrets implements userpool.Store.
func (s *Store) TouchSecrets(ctx context.Context, poolID string, used map[string]time.Time) error {
	_, err := s.UpdatePool(ctx, poolID, func(p *userpool.Pool) (audit.Event, error) { return audit.Event{}, p.Touch(used) })
	if errors.Is(err, userpool.ErrUnchanged) {
		return nil
	}
	return err
}
