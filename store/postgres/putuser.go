package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"app2wxapp/audit"
	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

// CreateUser implements userpool.Store.
func (s *Store) CreateUser(ctx context.Context, u userpool.User) error {
	return s.createUser(ctx, u, nothing)
}

// createUser stores a new user, in one transaction with what goes after it.
func (s *Store) createUser(ctx context.Context, u userpool.User, after step) error {
	if _, err := s.Pool(ctx, u.PoolID); err != nil {
		return err
	}
	err := s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := s.putUser(ctx, tx, nil, u); err != nil {
			return err
		}
		return after(ctx, tx)
	})
	if taken(err) {
		return userpool.ErrUserExists
	}
	return err
}

// looks is how often PutUser looks for who has a key of the user.
const looks = 3

// step is a part of a transaction.
type step func(context.Context, pgx.Tx) error

func nothing(context.Context, pgx.Tx) error { return nil }

// PutUser implements userpool.Store.
func (s *Store) PutUser(ctx context.Context, poolID string, k userpool.Keys, resolve func(userpool.Matches) (userpool.User, audit.Event, error)) (userpool.User, error) {
	return s.resolveUser(ctx, poolID, k, nothing, nothing, resolve)
}

// resolveUser stores the user whom resolve makes of those whom the keys find, in
// one transaction with what goes before it and after it.
func (s *Store) resolveUser(ctx context.Context, poolID string, k userpool.Keys, before, after step, resolve func(userpool.Matches) (userpool.User, audit.Event, error)) (u userpool.User, err error) {
	for range looks {
		err = s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
			if err := before(ctx, tx); err != nil {
				return err
			}
			m, err := s.findLocked(ctx, tx, poolID, k)
			if err != nil {
				return err
			}
			known := m.asStored()
			var e audit.Event
			if u, e, err = resolve(m.Matches); err != nil {
				return err
			}
			old := known[u.ID]
			if old == nil {
				if old, err = s.lockUser(ctx, tx, poolID, u.ID); err != nil {
					return err
				}
			}
			if err := s.putUser(ctx, tx, old, u); err != nil {
				return err
			}
			if err := after(ctx, tx); err != nil {
				return err
			}
			return s.record(ctx, tx, e)
		})
		if !taken(err) {
			return u, err
		}
		// Somebody has a key of this user: perhaps the user, made a moment ago
		// by a sign-in at the same time, whom another look will find.
	}
	return userpool.User{}, userpool.ErrUserExists
}

// UpdateUser implements userpool.Store.
func (s *Store) UpdateUser(ctx context.Context, poolID, id string, change func(*userpool.User) (audit.Event, error)) (userpool.User, error) {
	return s.updateUser(ctx, poolID, id, nothing, change, nothing)
}

// updateUser changes a user, in one transaction with what goes before it, when the
// user is locked, and after it.
func (s *Store) updateUser(ctx context.Context, poolID, id string, before step, change func(*userpool.User) (audit.Event, error), after step) (u userpool.User, err error) {
	err = s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		old, err := s.lockUser(ctx, tx, poolID, id)
		if err != nil {
			return err
		}
		if old == nil {
			return userpool.ErrUserNotFound
		}
		if err := before(ctx, tx); err != nil {
			return err
		}
		u = *old
		u.Identities = slices.Clone(old.Identities) // change may write to it; the index is moved by the difference
		e, err := change(&u)
		if err != nil {
			return err
		}
		if u.PoolID != poolID || u.ID != id {
			return errors.New("a user's ids cannot change")
		}
		if err := s.putUser(ctx, tx, old, u); err != nil {
			return err
		}
		if err := after(ctx, tx); err != nil {
			return err
		}
		return s.record(ctx, tx, e)
	})
	if taken(err) {
		err = userpool.ErrUserExists
	}
	return u, err
}

// locked are the matches, none of whom changes until the transaction ends.
type locked struct{ userpool.Matches }

// asStored returns the matches by their ids, apart from what is handed to resolve,
// which may write to it: the index is moved by the difference.
func (m locked) asStored() map[string]*userpool.User {
	known := map[string]*userpool.User{}
	for _, u := range m.all() {
		stored := *u
		stored.Identities = slices.Clone(u.Identities)
		known[u.ID] = &stored
	}
	return known
}

func (m locked) all() (list []*userpool.User) {
	for _, u := range []*userpool.User{m.ByUnionID, m.ByIdentity, m.ByUsername, m.ByEmail, m.ByID} {
		if u != nil {
			list = append(list, u)
		}
	}
	for i := range m.ByPhone {
		list = append(list, &m.ByPhone[i])
	}
	return list
}

// findLocked finds users and locks them, and the phone, whoever has it.
func (s *Store) findLocked(ctx context.Context, tx pgx.Tx, poolID string, k userpool.Keys) (m locked, err error) {
	if k == (userpool.Keys{}) {
		return m, nil
	}
	hidden := s.hidden(poolID, k)
	var ids []string
	var b pgx.Batch
	if k.Phone != "" {
		// Not unique, so no index keeps two users who are new from having it.
		s.queueLock(&b, s.phone(poolID, k.Phone))
	}
	b.Queue(lockUsers, hidden...).Query(func(r pgx.Rows) (err error) {
		ids, err = pgx.CollectRows(r, pgx.RowTo[string])
		return err
	})
	b.Queue(findUsers, hidden...).Query(func(r pgx.Rows) error {
		list, err := pgx.CollectRows(r, s.scanMatch)
		m.Matches = matches(list)
		return err
	})
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return m, failed("find users", err)
	}
	for _, u := range m.all() {
		if !slices.Contains(ids, u.ID) {
			return m, errAgain // who came between the two statements
		}
	}
	return m, nil
}

// queueLock lets one transaction at a time go on with that key, an HMAC, until it
// ends.
func (s *Store) queueLock(b *pgx.Batch, key []byte) {
	sql, args := s.locking(key, `SELECT pg_advisory_xact_lock($1)`, int64(binary.BigEndian.Uint64(key))) // #nosec G115 -- any number will do
	b.Queue(sql, args...)
	if !s.postgres { // the lock lasts, the row need not
		b.Queue(`DELETE FROM codes WHERE code = $1`, key)
	}
}

const lockUser = `
SELECT ` + userColumns + `
FROM users u JOIN access a ON a.pool_id = u.pool_id AND a.user_id = u.id
WHERE u.pool_id = $1 AND u.id = $2
FOR UPDATE OF a, u`

// lockUser returns the user, who does not change until the transaction ends;
// nil if there is none.
func (s *Store) lockUser(ctx context.Context, tx pgx.Tx, poolID, id string) (*userpool.User, error) {
	u, err := s.scanUser(tx.QueryRow(ctx, lockUser, poolID, id))
	if err == nil {
		return &u, nil
	}
	if !isNone(err) {
		return nil, failed("lock user", err)
	}
	// There is none, or a part of the row is missing.
	_, err = s.scanUser(tx.QueryRow(ctx, readUser, poolID, id))
	switch {
	case err == nil:
		return nil, errAgain // made a moment ago
	case isNone(err):
		return nil, nil
	}
	return nil, failed("lock user", err)
}

const (
	insertUser = `INSERT INTO users (pool_id, id, record, unionid, phone, username, email) VALUES ($1, $2, $3, $4, $5, $6, $7)`

	insertAccess = `
INSERT INTO access (pool_id, user_id, blocked, not_before, logins, last_login, last_addr)
VALUES ($1, $2, $3, $4, $5, $6, $7)`

	updateUser = `UPDATE users SET record = $3, unionid = $4, phone = $5, username = $6, email = $7 WHERE pool_id = $1 AND id = $2`

	updateAccess = `
UPDATE access SET blocked = $3, not_before = $4, logins = $5, last_login = $6, last_addr = $7
WHERE pool_id = $1 AND user_id = $2`

	// mistakable takes the username that a user gets and the HMAC of the id that
	// they get as a username, null for none.
	mistakable = `
SELECT 1 FROM users WHERE pool_id = $1 AND id = $3 AND id <> $2
UNION ALL
SELECT 1 FROM users WHERE username = $4 AND id <> $2`

	deleteIdentities = `DELETE FROM identities WHERE openid = ANY($1::bytea[])`

	insertIdentities = `
INSERT INTO identities (openid, pool_id, user_id)
SELECT openid, $2::text, $3::text FROM unnest($1::bytea[]) AS q(openid)`
)

// queueMistakable looks whether the username that the user gets is somebody
// else's id, or the id that they get somebody else's username. Where there is no
// username, clients are told the id in its place: neither may be taken for the
// other. No index keeps two from getting them at once, so that both are locked
// first, as names.
func (s *Store) queueMistakable(b *pgx.Batch, old *userpool.User, u userpool.User, bad *bool) {
	var name *string
	var keys [][]byte
	if u.Username != "" && (old == nil || old.Username != u.Username) {
		name, keys = &u.Username, append(keys, s.username(u.PoolID, u.Username))
	}
	var id []byte
	if old == nil {
		id = s.username(u.PoolID, u.ID)
		keys = append(keys, id)
	}
	if len(keys) == 0 {
		return
	}
	slices.SortFunc(keys, bytes.Compare) // so that two do not wait for each other
	for _, k := range keys {
		s.queueLock(b, k)
	}
	b.Queue(mistakable, u.PoolID, u.ID, name, id).Query(func(r pgx.Rows) error {
		found, err := pgx.CollectRows(r, exists)
		*bad = len(found) > 0
		return err
	})
}

// putUser stores a user, old as it was or nil if there is none, and moves the
// index entries from where old had them. It violates a unique index if somebody
// else has one, and returns userpool.ErrUserExists for a username that is
// somebody else's id and the other way.
func (s *Store) putUser(ctx context.Context, tx pgx.Tx, old *userpool.User, u userpool.User) error {
	userSQL, accessSQL := insertUser, insertAccess
	var before []string
	if old != nil {
		userSQL, accessSQL = updateUser, updateAccess
		before = s.openIDs(*old)
	}
	now := s.openIDs(u)
	sealed := s.sealer.Seal(nil, placeUser, userKey(u.PoolID, u.ID), record.EncodeUser(u))
	var b pgx.Batch
	var bad bool
	s.queueMistakable(&b, old, u, &bad)
	// Access first, as everywhere.
	b.Queue(accessSQL, u.PoolID, u.ID, u.Blocked, maybe(u.NotBefore), int64(u.Logins.Count), // #nosec G115 -- a count
		maybe(u.Logins.Last), s.sealAddr(u.PoolID, u.Logins.Addr))
	b.Queue(userSQL, u.PoolID, u.ID, sealed, s.unionID(u.PoolID, u.UnionID), s.phone(u.PoolID, u.Phone), s.username(u.PoolID, u.Username),
		s.email(u.PoolID, u.Email))
	if gone := without(before, now); len(gone) > 0 {
		b.Queue(deleteIdentities, gone)
	}
	if fresh := without(now, before); len(fresh) > 0 {
		b.Queue(insertIdentities, fresh, u.PoolID, u.ID)
	}
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return failed("write user", err)
	}
	if bad {
		return userpool.ErrUserExists
	}
	return nil
}

// openIDs returns the HMACs of the user's identities, each once and in order,
// so that two who store the same identities do not wait for each other.
func (s *Store) openIDs(u userpool.User) (list []string) {
	for _, id := range u.Identities {
		list = append(list, string(s.keys.Blind(byOpenID, u.PoolID, id.AppID, id.OpenID)))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// without returns those of a that are not in b.
func without(a, b []string) (list [][]byte) {
	for _, x := range a {
		if !slices.Contains(b, x) {
			list = append(list, []byte(x))
		}
	}
	return list
}
