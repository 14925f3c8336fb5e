package bolt

import (
	"context"
	"time"

	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

func (t *tx) pool(id string) (userpool.Pool, error) {
	b, err := t.get(bucketPools, []byte(id))
	if err != nil {
		return userpool.Pool{}, err
	}
	if b == nil {
		return userpool.Pool{}, userpool.ErrPoolNotFound
	}
	return decodePool(id, b)
}

func decodePool(id string, b []byte) (userpool.Pool, error) {
	p, err := record.DecodePool(id, b)
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

// CreatePool implements userpool.Store.
func (s *Store) CreatePool(_ context.Context, p userpool.Pool) error {
	return s.update(func(t *tx) error {
		if b, err := t.get(bucketPools, []byte(p.ID)); err != nil {
			return err
		} else if b != nil {
			return userpool.ErrPoolExists
		}
		return t.putPool(p)
	})
}

// Pool implements userpool.Store.
func (s *Store) Pool(_ context.Context, id string) (p userpool.Pool, err error) {
	err = s.view(func(t *tx) error {
		p, err = t.pool(id)
		return err
	})
	return p, err
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
			b, err := t.open(bucketPools, k, v)
			if err != nil {
				return err
			}
			p, err := decodePool(string(k), b)
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
func (s *Store) UpdatePool(_ context.Context, id string, change func(*userpool.Pool) error) (p userpool.Pool, err error) {
	err = s.update(func(t *tx) error {
		if p, err = t.pool(id); err != nil {
			return err
		}
		if err := change(&p); err != nil {
			return err
		}
		return t.putPool(p)
	})
	return p, err
}

// TouchSecrets implements userpool.Store.
func (s *Store) TouchSecrets(_ context.Context, poolID string, used map[string]time.Time) error {
	return s.update(func(t *tx) error {
		p, err := t.pool(poolID)
		if err != nil {
			return err
		}
		changed := false
		for i, k := range p.Secrets {
			if last := used[k.ID]; last.After(k.LastUsedAt) {
				p.Secrets[i].LastUsedAt, changed = last, true
			}
		}
		if !changed {
			return nil
		}
		return t.putPool(p)
	})
}
