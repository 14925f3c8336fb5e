package postgres

import (
	"context"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

// The indexes of users, as names for their HMACs.
const (
	byUnionID = "unionids"
	byOpenID  = "openids"
	byPhone   = "phones"
	byName    = "usernames"
	byEmail   = "emails"
)

func (s *Store) unionID(poolID, unionID string) []byte {
	if unionID == "" {
		return nil
	}
	return s.keys.Blind(byUnionID, poolID, unionID)
}

func (s *Store) openID(poolID string, id userpool.Identity) []byte {
	if id.OpenID == "" {
		return nil
	}
	return s.keys.Blind(byOpenID, poolID, id.AppID, id.OpenID)
}

func (s *Store) phone(poolID string, p userpool.Phone) []byte {
	if p == "" {
		return nil
	}
	return s.keys.Blind(byPhone, poolID, string(p))
}

func (s *Store) username(poolID, name string) []byte {
	if name == "" {
		return nil
	}
	return s.keys.Blind(byName, poolID, name)
}

func (s *Store) email(poolID string, e userpool.Email) []byte {
	if e == "" {
		return nil
	}
	return s.keys.Blind(byEmail, poolID, string(e))
}

// userColumns are what scanUser reads.
const userColumns = `u.pool_id, u.id, u.record, a.blocked, a.not_before, a.logins, a.last_login, a.last_addr`

// scanUser reads userColumns, with nulls where a row is missing, and what
// follows into more.
func (s *Store) scanUser(r pgx.Row, more ...any) (u userpool.User, err error) {
	var poolID, id *string
	var sealed, addr []byte
	var blocked *bool
	var notBefore, last *time.Time
	var logins *int64
	if err := r.Scan(append([]any{&poolID, &id, &sealed, &blocked, &notBefore, &logins, &last, &addr}, more...)...); err != nil {
		return u, err
	}
	if poolID == nil || blocked == nil {
		return u, corrupt("users", errNoUser)
	}
	if u, err = s.openUser(*poolID, *id, sealed); err != nil {
		return u, err
	}
	u.Blocked, u.NotBefore = *blocked, utc(notBefore)
	u.Logins = userpool.Logins{Count: uint64(*logins), Last: utc(last)} // #nosec G115 -- a count
	u.Logins.Addr, err = s.openAddr(*poolID, addr)
	return u, err
}

func (s *Store) openUser(poolID, id string, sealed []byte) (userpool.User, error) {
	b, err := s.open(placeUser, userKey(poolID, id), sealed)
	if err != nil {
		return userpool.User{}, err
	}
	u, err := record.DecodeUser(poolID, id, b)
	if err != nil {
		return u, corrupt(placeUser, err)
	}
	return u, nil
}

func (s *Store) sealAddr(poolID string, a netip.Addr) []byte {
	if !a.IsValid() {
		return nil
	}
	return s.sealer.Seal(nil, placeAddr, []byte(poolID), a.AsSlice())
}

func (s *Store) openAddr(poolID string, sealed []byte) (netip.Addr, error) {
	if sealed == nil {
		return netip.Addr{}, nil
	}
	b, err := s.open(placeAddr, []byte(poolID), sealed)
	if err != nil {
		return netip.Addr{}, err
	}
	a, _ := netip.AddrFromSlice([]byte(b))
	return a, nil
}

const readUser = `
SELECT ` + userColumns + `
FROM users u LEFT JOIN access a ON a.pool_id = u.pool_id AND a.user_id = u.id
WHERE u.pool_id = $1 AND u.id = $2`

// User implements userpool.Store.
func (s *Store) User(ctx context.Context, poolID, id string) (userpool.User, error) {
	found, err := read(ctx, s, "read user", readUser, []any{poolID, id},
		func(r pgx.CollectableRow) (userpool.User, error) { return s.scanUser(r) })
	switch {
	case err != nil:
		return userpool.User{}, err
	case len(found) == 0:
		return userpool.User{}, userpool.ErrUserNotFound
	}
	return found[0], nil
}

// findUsers takes the HMACs of keys, the pool and a user's id, null for none, and
// finds each user by each way that leads to them.
const findUsers = `
SELECT ` + userColumns + `, f.way
FROM (
    SELECT 1 AS way, pool_id, id FROM users WHERE unionid = $1
    UNION ALL
    SELECT 2, pool_id, user_id FROM identities WHERE openid = $2
    UNION ALL
    SELECT 3, pool_id, id FROM users WHERE username = $4
    UNION ALL
    SELECT 5, pool_id, id FROM users WHERE email = $5
    UNION ALL
    SELECT 6, pool_id, id FROM users WHERE pool_id = $6 AND id = $7
    UNION ALL
    (SELECT 4, pool_id, id FROM users WHERE phone = $3 ORDER BY id LIMIT 2)
) f
LEFT JOIN users u ON u.pool_id = f.pool_id AND u.id = f.id
LEFT JOIN access a ON a.pool_id = f.pool_id AND a.user_id = f.id
ORDER BY f.way, f.id`

// lockUsers takes what findUsers takes, and keeps the users that are found from
// being changed or logging in.
const lockUsers = `
SELECT u.id
FROM users u JOIN access a ON a.pool_id = u.pool_id AND a.user_id = u.id
WHERE u.pool_id = $6 AND a.pool_id = $6 AND u.id = ANY (ARRAY(
    SELECT id FROM users WHERE unionid = $1
    UNION
    SELECT user_id FROM identities WHERE openid = $2
    UNION
    SELECT id FROM users WHERE username = $4
    UNION
    SELECT id FROM users WHERE email = $5
    UNION
    SELECT $7::text
    UNION
    (SELECT id FROM users WHERE phone = $3 ORDER BY id LIMIT 2)
))
ORDER BY a.user_id, a.pool_id
FOR UPDATE OF a, u`

func (s *Store) hidden(poolID string, k userpool.Keys) []any {
	var id *string
	if k.UserID != "" {
		id = &k.UserID
	}
	return []any{
		s.unionID(poolID, k.UnionID), s.openID(poolID, k.Identity), s.phone(poolID, k.Phone), s.username(poolID, k.Username), s.email(poolID, k.Email),
		poolID, id,
	}
}

// match is a user and the way by which findUsers came to them.
type match struct {
	way int
	userpool.User
}

func (s *Store) scanMatch(r pgx.CollectableRow) (m match, err error) {
	m.User, err = s.scanUser(r, &m.way)
	return m, err
}

func matches(list []match) (m userpool.Matches) {
	for _, f := range list {
		switch f.way {
		case 1:
			m.ByUnionID = &f.User
		case 2:
			m.ByIdentity = &f.User
		case 3:
			m.ByUsername = &f.User
		case 5:
			m.ByEmail = &f.User
		case 6:
			m.ByID = &f.User
		default:
			m.ByPhone = append(m.ByPhone, f.User)
		}
	}
	return m
}

// FindUsers implements userpool.Store.
func (s *Store) FindUsers(ctx context.Context, poolID string, k userpool.Keys) (userpool.Matches, error) {
	if k == (userpool.Keys{}) {
		return userpool.Matches{}, nil
	}
	list, err := read(ctx, s, "find users", findUsers, s.hidden(poolID, k), s.scanMatch)
	return matches(list), err
}
