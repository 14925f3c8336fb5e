package bolt

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"app2wxapp/token"
)

// SigningKeys implements token.Store.
func (s *Store) SigningKeys(context.Context) (keys []token.Key, err error) {
	err = s.view(func(t *tx) error {
		keys, err = t.signingKeys()
		return err
	})
	return keys, err
}

func (t *tx) signingKeys() ([]token.Key, error) {
	var keys []token.Key
	c := t.Bucket([]byte(bucketKeys)).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		record, err := t.open(bucketKeys, k, v)
		if err != nil {
			return nil, err
		}
		var key token.Key
		if err := json.Unmarshal([]byte(record), &key); err != nil {
			return nil, corrupt(bucketKeys, err)
		}
		keys = append(keys, key)
	}
	slices.SortStableFunc(keys, func(a, b token.Key) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return keys, nil
}

// AddFirstSigningKey implements token.Store.
func (s *Store) AddFirstSigningKey(_ context.Context, k token.Key) (there token.Key, err error) {
	err = s.update(func(t *tx) error {
		there = k
		keys, err := t.signingKeys()
		if err != nil {
			return err
		}
		for _, have := range keys {
			if have.Alg == k.Alg {
				there = have
				return nil
			}
		}
		b, err := json.Marshal(k)
		if err != nil {
			return err
		}
		return t.put(bucketKeys, []byte(k.ID), b)
	})
	return there, err
}

// TokenRevoked implements token.Store.
func (s *Store) TokenRevoked(_ context.Context, jti string, expiresAt time.Time) (revoked bool, err error) {
	err = s.view(func(t *tx) error {
		// An entry that does not open still says that it is there.
		revoked = t.Bucket([]byte(bucketRevoked)).Get(revokedKey(jti, expiresAt)) != nil
		return nil
	})
	return revoked, err
}
