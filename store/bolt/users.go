package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

var errNoUser = errors.New("another record names a user who is not there")

// userKey is the key of a user in users and access. Neither id has a slash.
func userKey(poolID, userID string) []byte {
	return []byte(poolID + "/" + userID)
}

func (t *tx) access(poolID, userID string) (access, error) {
	b, err := t.get(bucketAccess, userKey(poolID, userID))
	if err != nil {
		return access{}, err
	}
	if b == nil {
		return access{}, corrupt(bucketAccess, errNoUser)
	}
	a, err := decodeAccess(b)
	if err != nil {
		return access{}, corrupt(bucketAccess, err)
	}
	return a, nil
}

func (t *tx) putAccess(poolID, userID string, a access) error {
	return t.put(bucketAccess, userKey(poolID, userID), a.encode())
}

// profile returns what a login does not change, or userpool.ErrUserNotFound.
func (t *tx) profile(poolID, userID string) (userpool.User, error) {
	b, err := t.get(bucketUsers, userKey(poolID, userID))
	if err != nil {
		return userpool.User{}, err
	}
	if b == nil {
		if t.Bucket([]byte(bucketAccess)).Get(userKey(poolID, userID)) != nil {
			return userpool.User{}, corrupt(bucketUsers, errNoUser)
		}
		return userpool.User{}, userpool.ErrUserNotFound
	}
	u, err := record.DecodeUser(poolID, userID, b)
	if err != nil {
		return userpool.User{}, corrupt(bucketUsers, err)
	}
	return u, nil
}

// user returns the whole user, or userpool.ErrUserNotFound.
func (t *tx) user(poolID, userID string) (userpool.User, error) {
	u, err := t.profile(poolID, userID)
	if err != nil {
		return userpool.User{}, err
	}
	a, err := t.access(poolID, userID)
	if err != nil {
		return userpool.User{}, err
	}
	a.of(&u)
	return u, nil
}

// indexed returns the user whom an index entry names, nil if there is no entry.
func (t *tx) indexed(bucket string, key []byte, poolID string) (*userpool.User, error) {
	id, err := t.get(bucket, key)
	if err != nil || id == nil {
		return nil, err
	}
	u, err := t.user(poolID, string(id))
	if errors.Is(err, userpool.ErrUserNotFound) {
		return nil, corrupt(bucket, errNoUser)
	}
	if err != nil {
		return nil, err
	}
	return &u, nil
}

// indexEntry is a place in an index.
type indexEntry struct {
	bucket string
	key    []byte
}

func (s *Store) unionEntry(poolID, unionID string) indexEntry {
	return indexEntry{bucketUnionIDs, s.keys.Blind(bucketUnionIDs, poolID, unionID)}
}

func (s *Store) openEntry(poolID string, id userpool.Identity) indexEntry {
	return indexEntry{bucketOpenIDs, s.keys.Blind(bucketOpenIDs, poolID, id.AppID, id.OpenID)}
}

// phonePrefix is what the entries of everybody with that phone begin with.
func (s *Store) phonePrefix(poolID string, p userpool.Phone) []byte {
	return s.keys.Blind(bucketPhones, poolID, string(p))
}

// entries returns where the indexes name the user.
func (s *Store) entries(u userpool.User) []indexEntry {
	var list []indexEntry
	if u.UnionID != "" {
		list = append(list, s.unionEntry(u.PoolID, u.UnionID))
	}
	for _, id := range u.Identities {
		list = append(list, s.openEntry(u.PoolID, id))
	}
	if u.Phone != "" {
		list = append(list, indexEntry{bucketPhones, append(s.phonePrefix(u.PoolID, u.Phone), u.ID...)})
	}
	return list
}

// find looks the keys up.
func (t *tx) find(poolID string, k userpool.Keys) (m userpool.Matches, err error) {
	if k.UnionID != "" {
		e := t.s.unionEntry(poolID, k.UnionID)
		if m.ByUnionID, err = t.indexed(e.bucket, e.key, poolID); err != nil {
			return m, err
		}
	}
	if k.Identity.OpenID != "" {
		e := t.s.openEntry(poolID, k.Identity)
		if m.ByIdentity, err = t.indexed(e.bucket, e.key, poolID); err != nil {
			return m, err
		}
	}
	if k.Phone != "" {
		prefix := t.s.phonePrefix(poolID, k.Phone)
		c := t.Bucket([]byte(bucketPhones)).Cursor()
		for key, _ := c.Seek(prefix); bytes.HasPrefix(key, prefix) && len(m.ByPhone) < 2; key, _ = c.Next() {
			u, err := t.indexed(bucketPhones, key, poolID)
			if err != nil {
				return m, err
			}
			m.ByPhone = append(m.ByPhone, *u)
		}
	}
	return m, nil
}

// putUser stores a user and moves the index entries from where old had them.
// An entry that names somebody else stays theirs: userpool.ErrUserExists.
func (t *tx) putUser(old *userpool.User, u userpool.User) error {
	fresh := t.s.entries(u)
	for _, e := range fresh {
		id, err := t.get(e.bucket, e.key)
		if err != nil {
			return err
		}
		if id != nil && string(id) != u.ID {
			return userpool.ErrUserExists
		}
	}
	a := access{}
	if old != nil {
		var err error
		if a, err = t.access(u.PoolID, u.ID); err != nil {
			return err
		}
		for _, e := range t.s.entries(*old) {
			if err := t.delete(e.bucket, e.key); err != nil {
				return err
			}
		}
	}
	for _, e := range fresh {
		if err := t.put(e.bucket, e.key, []byte(u.ID)); err != nil {
			return err
		}
	}
	a.blocked, a.notBefore, a.logins = u.Blocked, u.NotBefore, u.Logins
	if err := t.putAccess(u.PoolID, u.ID, a); err != nil {
		return err
	}
	return t.put(bucketUsers, userKey(u.PoolID, u.ID), record.EncodeUser(u))
}

// old returns the stored user of that id, nil if there is none.
func (t *tx) old(poolID, userID string) (*userpool.User, error) {
	u, err := t.user(poolID, userID)
	if errors.Is(err, userpool.ErrUserNotFound) {
		return nil, nil
	}
	return &u, err
}

// User implements userpool.Store.
func (s *Store) User(_ context.Context, poolID, id string) (u userpool.User, err error) {
	err = s.view(func(t *tx) error {
		u, err = t.user(poolID, id)
		return err
	})
	return u, err
}

// FindUsers implements userpool.Store.
func (s *Store) FindUsers(_ context.Context, poolID string, k userpool.Keys) (m userpool.Matches, err error) {
	err = s.view(func(t *tx) error {
		m, err = t.find(poolID, k)
		return err
	})
	return m, err
}

// CreateUser implements userpool.Store.
func (s *Store) CreateUser(_ context.Context, u userpool.User) error {
	return s.update(func(t *tx) error {
		if _, err := t.pool(u.PoolID); err != nil {
			return err
		}
		old, err := t.old(u.PoolID, u.ID)
		if err != nil {
			return err
		}
		if old != nil {
			return userpool.ErrUserExists
		}
		return t.putUser(nil, u)
	})
}

// PutUser implements userpool.Store.
func (s *Store) PutUser(_ context.Context, poolID string, k userpool.Keys, resolve func(userpool.Matches) (userpool.User, error)) (u userpool.User, err error) {
	err = s.update(func(t *tx) error {
		m, err := t.find(poolID, k)
		if err != nil {
			return err
		}
		if u, err = resolve(m); err != nil {
			return err
		}
		old, err := t.old(poolID, u.ID)
		if err != nil {
			return err
		}
		return t.putUser(old, u)
	})
	return u, err
}

// UpdateUser implements userpool.Store.
func (s *Store) UpdateUser(_ context.Context, poolID, id string, change func(*userpool.User) error) (u userpool.User, err error) {
	err = s.update(func(t *tx) error {
		old, err := t.user(poolID, id)
		if err != nil {
			return err
		}
		u = old
		u.Identities = slices.Clone(old.Identities) // change may write to it; the index is moved by the difference
		if err := change(&u); err != nil {
			return err
		}
		if u.PoolID != poolID || u.ID != id {
			return fmt.Errorf("a user's ids cannot change")
		}
		return t.putUser(&old, u)
	})
	return u, err
}
