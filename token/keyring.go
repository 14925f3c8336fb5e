package token

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// ringTTL is how long signing keys are used without asking the store again: a
// key that is added or taken away on another replica counts here within it.
const ringTTL = time.Second

// keyring holds the store's signing keys, parsed. Parsing an RSA key and
// reading the store for every token would cost more than most signatures.
type keyring struct {
	store Store
	now   func() time.Time

	keys   atomic.Pointer[keySet] // nil before the first load
	load   sync.Mutex             // held from reading the store to setting keys
	create sync.Mutex             // held while a key is made
}

// keySet is the signing keys as they were at a time. It does not change.
type keySet struct {
	pairs []*keyPair // oldest first
	at    time.Time
}

// find returns the key with the id, nil if there is none.
func (s *keySet) find(kid string) *keyPair {
	for _, k := range s.pairs {
		if k.jwk.KeyID == kid {
			return k
		}
	}
	return nil
}

// newest returns the newest key of the algorithm, nil if there is none.
func (s *keySet) newest(alg string) *keyPair {
	for i := len(s.pairs) - 1; i >= 0; i-- {
		if s.pairs[i].alg() == alg {
			return s.pairs[i]
		}
	}
	return nil
}

// fresh returns the keys if they are not older than ringTTL, else nil.
func (r *keyring) fresh() *keySet {
	keys := r.keys.Load()
	if keys == nil {
		return nil
	}
	if age := r.now().Sub(keys.at); age < 0 || age >= ringTTL {
		return nil
	}
	return keys
}

// current returns the keys, not older than ringTTL.
func (r *keyring) current(ctx context.Context) (*keySet, error) {
	if keys := r.fresh(); keys != nil {
		return keys, nil
	}
	r.load.Lock()
	defer r.load.Unlock()
	if keys := r.fresh(); keys != nil {
		return keys, nil // loaded while this call waited
	}
	return r.read(ctx)
}

// reload returns the keys as they are in the store now.
func (r *keyring) reload(ctx context.Context) (*keySet, error) {
	r.load.Lock()
	defer r.load.Unlock()
	return r.read(ctx)
}

// read reads the store and keeps what it says. The caller holds load.
func (r *keyring) read(ctx context.Context) (*keySet, error) {
	now := r.now()
	stored, err := r.store.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	before := r.keys.Load()
	keys := &keySet{pairs: make([]*keyPair, len(stored)), at: now}
	for i, k := range stored {
		if before != nil {
			if pair := before.find(k.ID); pair != nil && pair.alg() == k.Alg && bytes.Equal(pair.der, k.Private) {
				keys.pairs[i] = pair
				continue
			}
		}
		if keys.pairs[i], err = parseKey(k); err != nil {
			return nil, err
		}
	}
	r.keys.Store(keys)
	return keys, nil
}

// find returns the key with the id, nil if the store has none.
func (r *keyring) find(ctx context.Context, kid string) (*keyPair, error) {
	keys, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	if k := keys.find(kid); k != nil {
		return k, nil
	}
	// Another replica may have made it a moment ago.
	if keys, err = r.reload(ctx); err != nil {
		return nil, err
	}
	return keys.find(kid), nil
}

// signer returns the newest key of the algorithm and makes the first one if
// there is none. Concurrent calls make one key; of those that concurrent
// processes make, all use the one that AddFirstSigningKey kept.
func (r *keyring) signer(ctx context.Context, alg string) (*keyPair, error) {
	keys, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	if k := keys.newest(alg); k != nil {
		return k, nil
	}
	r.create.Lock()
	defer r.create.Unlock()
	if keys, err = r.reload(ctx); err != nil {
		return nil, err
	}
	if k := keys.newest(alg); k != nil {
		return k, nil // made while this call waited
	}
	made, err := newKey(alg, r.now())
	if err != nil {
		return nil, err
	}
	// A caller who did not wait for the key must not throw it away.
	ctx = context.WithoutCancel(ctx)
	if _, err := r.store.AddFirstSigningKey(ctx, made); err != nil {
		return nil, err
	}
	if keys, err = r.reload(ctx); err != nil { // so that the JWKS has it at once
		return nil, err
	}
	return keys.newest(alg), nil
}
