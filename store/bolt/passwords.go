package bolt

import (
	"context"

	"app2wxapp/audit"
	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

// password returns the user's, the zero one if there is none.
func (t *tx) password(poolID, userID string) (userpool.Password, error) {
	rec, ok, err := t.get(bucketPasswords, t.userKey(poolID, userID))
	if err != nil || !ok {
		return userpool.Password{}, err
	}
	p, err := record.DecodePassword(rec)
	if err != nil {
		return userpool.Password{}, corrupt(bucketPasswords, err)
	}
	return p, nil
}

// putPassword stores the user's password; the zero one is none.
func (t *tx) putPassword(poolID, userID string, p userpool.Password) error {
	key := t.userKey(poolID, userID)
	if p.Hash == "" {
		return t.delete(bucketPasswords, key)
	}
	return t.put(bucketPasswords, key, record.EncodePassword(p))
}

// Password implements userpool.Store.
func (s *Store) Password(_ context.Context, poolID, userID string) (p userpool.Password, err error) {
	err = s.view(func(t *tx) error {
		p, err = t.password(poolID, userID)
		return err
	})
	return p, err
}

// CreateUserWithPassword implements userpool.Store.
func (s *Store) CreateUserWithPassword(_ context.Context, u userpool.User, p userpool.Password, e audit.Event) error {
	return s.update(func(t *tx) error {
		if err := t.createUser(u); err != nil {
			return err
		}
		if err := t.putPassword(u.PoolID, u.ID, p); err != nil {
			return err
		}
		return t.record(e)
	})
}

// SetPassword implements userpool.Store.
func (s *Store) SetPassword(_ context.Context, poolID, userID string, p userpool.Password, change func(*userpool.User) (audit.Event, error)) (u userpool.User, err error) {
	err = s.update(func(t *tx) error {
		if u, err = t.updateUser(poolID, userID, change); err != nil {
			return err
		}
		return t.putPassword(poolID, userID, p)
	})
	return u, err
}

// ReplacePassword implements userpool.Store.
func (s *Store) ReplacePassword(_ context.Context, poolID, userID string, was, to userpool.Password) error {
	return s.update(func(t *tx) error {
		p, err := t.password(poolID, userID)
		if err != nil {
			return err
		}
		if !p.Replaces(was) {
			return userpool.ErrUnchanged
		}
		return t.putPassword(poolID, userID, to)
	})
}
