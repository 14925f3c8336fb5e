package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store/record"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

var errNoUser = errors.New("another record names a user who is not there")

// userKey is the key of a user in users and access, valid until it is called
// again. Neither id has a slash.
func (t *tx) userKey(poolID, userID string) []byte {
	t.key = append(append(append(t.key[:0], poolID...), '/'), userID...)
	return t.key
}

// splitUserKey is the reverse of userKey.
func splitUserKey(key string) (poolID, userID string) {
	poolID, userID, _ = strings.Cut(key, "/")
	return poolID, userID
}

// access returns the user's access as it is now, with the logins of the tickets
// that have been redeemed since it was written.
func (t *tx) access(poolID, userID string) (access, error) {
	a, err := t.writtenAccess(poolID, userID)
	if err != nil {
		return a, err
	}
	last := a.counted
	for _, l := range t.loginsOf(t.userKey(poolID, userID)) {
		if l.number > a.counted {
			a.count(time.UnixMilli(l.at).UTC(), l.addr)
			last = max(last, l.number)
		}
	}
	a.counted = last
	return a, t.countListed(&a)
}

// countListed counts the logins of the list.
func (t *tx) countListed(a *access) error {
	for _, k := range a.listed {
		r, err := t.ticket(k)
		switch {
		case errors.Is(err, ticket.ErrUnknown): // swept
		case err != nil:
			return err
		case !r.redeemedAt.IsZero() && r.number == 0:
			a.count(r.redeemedAt, r.addr)
		}
	}
	a.listed = nil
	return nil
}

func (t *tx) writtenAccess(poolID, userID string) (access, error) {
	record, ok, err := t.get(bucketAccess, t.userKey(poolID, userID))
	if err != nil {
		return access{}, err
	}
	if !ok {
		return access{}, corrupt(bucketAccess, errNoUser)
	}
	a, err := decodeAccess(record)
	if err != nil {
		return access{}, corrupt(bucketAccess, err)
	}
	return a, nil
}

func (t *tx) putAccess(poolID, userID string, a access) error {
	t.plain = a.encode(t.plain)
	return t.put(bucketAccess, t.userKey(poolID, userID), t.plain)
}

// profile returns what a login does not change, or userpool.ErrUserNotFound.
func (t *tx) profile(poolID, userID string) (userpool.User, error) {
	rec, ok, err := t.get(bucketUsers, t.userKey(poolID, userID))
	if err != nil {
		return userpool.User{}, err
	}
	if !ok {
		if t.sealed(bucketAccess, t.userKey(poolID, userID)) != nil {
			return userpool.User{}, corrupt(bucketUsers, errNoUser)
		}
		return userpool.User{}, userpool.ErrUserNotFound
	}
	u, err := record.DecodeUser(poolID, userID, rec)
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

// person returns the user with the logins that were counted when their access
// was written, or userpool.ErrUserNotFound.
func (t *tx) person(poolID, userID string) (userpool.User, error) {
	u, err := t.profile(poolID, userID)
	if err != nil {
		return userpool.User{}, err
	}
	a, err := t.writtenAccess(poolID, userID)
	if err != nil {
		return userpool.User{}, err
	}
	a.of(&u)
	return u, nil
}

// indexed returns the user whom an index entry names, as read reads them, nil if
// there is no entry. That may be one who was found already, or nil.
func (t *tx) indexed(bucket string, key []byte, poolID string, read reading, found *userpool.User) (*userpool.User, error) {
	id, ok, err := t.get(bucket, key)
	if err != nil || !ok {
		return nil, err
	}
	if found != nil && found.ID == id {
		return found, nil
	}
	u, err := read(poolID, id)
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

func (s *Store) nameEntry(poolID, username string) indexEntry {
	return indexEntry{bucketNames, s.keys.Blind(bucketNames, poolID, username)}
}

func (s *Store) emailEntry(poolID string, e userpool.Email) indexEntry {
	return indexEntry{bucketEmails, s.keys.Blind(bucketEmails, poolID, string(e))}
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
	if u.Username != "" {
		list = append(list, s.nameEntry(u.PoolID, u.Username))
	}
	if u.Email != "" {
		list = append(list, s.emailEntry(u.PoolID, u.Email))
	}
	if u.Phone != "" {
		list = append(list, indexEntry{bucketPhones, append(s.phonePrefix(u.PoolID, u.Phone), u.ID...)})
	}
	return list
}

// reading is user or person.
type reading func(poolID, userID string) (userpool.User, error)

// find looks the keys up.
func (t *tx) find(poolID string, k userpool.Keys, read reading) (m userpool.Matches, err error) {
	if k.UnionID != "" {
		e := t.s.unionEntry(poolID, k.UnionID)
		if m.ByUnionID, err = t.indexed(e.bucket, e.key, poolID, read, nil); err != nil {
			return m, err
		}
	}
	switch {
	case k.Identity.OpenID == "":
	case m.ByUnionID != nil && slices.Contains(m.ByUnionID.Identities, k.Identity):
		m.ByIdentity = m.ByUnionID // the index says the same of each of a user's
	default:
		e := t.s.openEntry(poolID, k.Identity)
		if m.ByIdentity, err = t.indexed(e.bucket, e.key, poolID, read, m.ByUnionID); err != nil {
			return m, err
		}
	}
	if k.Username != "" {
		e := t.s.nameEntry(poolID, k.Username)
		if m.ByUsername, err = t.indexed(e.bucket, e.key, poolID, read, m.ByIdentity); err != nil {
			return m, err
		}
	}
	if k.UserID != "" {
		u, err := read(poolID, k.UserID)
		switch {
		case err == nil:
			m.ByID = &u
		case !errors.Is(err, userpool.ErrUserNotFound):
			return m, err
		}
	}
	if k.Email != "" {
		e := t.s.emailEntry(poolID, k.Email)
		if m.ByEmail, err = t.indexed(e.bucket, e.key, poolID, read, m.ByIdentity); err != nil {
			return m, err
		}
	}
	if k.Phone != "" {
		prefix := t.s.phonePrefix(poolID, k.Phone)
		c := t.Bucket([]byte(bucketPhones)).Cursor()
		for key, _ := c.Seek(prefix); bytes.HasPrefix(key, prefix) && len(m.ByPhone) < 2; key, _ = c.Next() {
			u, err := t.indexed(bucketPhones, key, poolID, read, m.ByIdentity)
			if err != nil {
				return m, err
			}
			m.ByPhone = append(m.ByPhone, *u)
		}
	}
	return m, nil
}

// mistakable tells whether the username that the user gets is somebody else's id,
// or the id that they get somebody else's username. Where there is no username,
// clients are told the id in its place: neither may be taken for the other.
func (t *tx) mistakable(old *userpool.User, u userpool.User) (bool, error) {
	named := u.Username != "" && u.Username != u.ID && (old == nil || old.Username != u.Username)
	if named && t.sealed(bucketUsers, t.userKey(u.PoolID, u.Username)) != nil {
		return true, nil
	}
	if old != nil {
		return false, nil
	}
	e := t.s.nameEntry(u.PoolID, u.ID)
	_, ok, err := t.get(e.bucket, e.key)
	return ok, err
}

// putUser stores a user and moves the index entries from where old had them.
// An entry that names somebody else stays theirs: userpool.ErrUserExists, also
// for a username that is somebody else's id and the other way.
func (t *tx) putUser(old *userpool.User, u userpool.User) error {
	if bad, err := t.mistakable(old, u); err != nil {
		return err
	} else if bad {
		return userpool.ErrUserExists
	}
	fresh := t.s.entries(u)
	for _, e := range fresh {
		id, ok, err := t.get(e.bucket, e.key)
		if err != nil {
			return err
		}
		if ok && id != u.ID {
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
	return t.put(bucketUsers, t.userKey(u.PoolID, u.ID), record.EncodeUser(u))
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
		m, err = t.find(poolID, k, t.person)
		return err
	})
	return m, err
}

// CreateUser implements userpool.Store.
func (s *Store) CreateUser(_ context.Context, u userpool.User) error {
	return s.update(func(t *tx) error { return t.createUser(u) })
}

func (t *tx) createUser(u userpool.User) error {
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
}

// PutUser implements userpool.Store.
func (s *Store) PutUser(_ context.Context, poolID string, k userpool.Keys, resolve func(userpool.Matches) (userpool.User, audit.Event, error)) (u userpool.User, err error) {
	err = s.update(func(t *tx) error {
		u, err = t.resolveUser(poolID, k, resolve)
		return err
	})
	return u, err
}

// resolveUser stores the user whom resolve makes of those whom the keys find.
func (t *tx) resolveUser(poolID string, k userpool.Keys, resolve func(userpool.Matches) (userpool.User, audit.Event, error)) (userpool.User, error) {
	m, err := t.find(poolID, k, t.user)
	if err != nil {
		return userpool.User{}, err
	}
	u, e, err := resolve(m)
	if err != nil {
		return u, err
	}
	old, err := t.old(poolID, u.ID)
	if err != nil {
		return userpool.User{}, err
	}
	if err := t.putUser(old, u); err != nil {
		return userpool.User{}, err
	}
	return u, t.record(e)
}

// UpdateUser implements userpool.Store.
func (s *Store) UpdateUser(_ context.Context, poolID, id string, change func(*userpool.User) (audit.Event, error)) (u userpool.User, err error) {
	err = s.update(func(t *tx) error {
		u, err = t.updateUser(poolID, id, change)
		return err
	})
	return u, err
}

func (t *tx) updateUser(poolID, id string, change func(*userpool.User) (audit.Event, error)) (u userpool.User, err error) {
	old, err := t.user(poolID, id)
	if err != nil {
		return u, err
	}
	u = old
	u.Identities = slices.Clone(old.Identities) // change may write to it; the index is moved by the difference
	e, err := change(&u)
	if err != nil {
		return u, err
	}
	if u.PoolID != poolID || u.ID != id {
		return u, fmt.Errorf("a user's ids cannot change")
	}
	if err := t.putUser(&old, u); err != nil {
		return u, err
	}
	return u, t.record(e)
}
