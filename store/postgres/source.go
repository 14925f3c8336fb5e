package postgres

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"app2wxapp/store/move"
	"app2wxapp/store/record"
	"app2wxapp/ticket"
	"app2wxapp/token"
)

// kind is how records of a kind lie in the tables.
type kind struct {
	count string // a statement
	// page is a statement that takes a limit, and before it what after makes of
	// the key after which the page begins.
	page  string
	after func(key string) []any
	scan  func(s *Store, r pgx.CollectableRow) (move.Record, error)
	write func(s *Store, ctx context.Context, tx pgx.Tx, records []move.Record) error
}

// kinds is the table of what is moved. Whoever adds one also names its table in
// occupied.
func kinds() map[move.Kind]kind {
	return map[move.Kind]kind{
		move.Pools: {`SELECT count(*) FROM pools`,
			`SELECT id, record FROM pools WHERE id > $1 ORDER BY id LIMIT $2`, text, (*Store).scanMovedPool, (*Store).writePools},
		move.SigningKeys: {`SELECT count(*) FROM signing_keys`,
			`SELECT id, record FROM signing_keys WHERE id > $1 ORDER BY id LIMIT $2`, text, (*Store).scanMovedKey, (*Store).writeKeys},
		move.Users: {`SELECT count(*) FROM users`, pageOfUsers, inPool, (*Store).scanMovedUser, (*Store).writeUsers},
		move.Passwords: {`SELECT count(*) FROM passwords`,
			`SELECT pool_id, user_id, record FROM passwords WHERE (pool_id, user_id) > ($1, $2) ORDER BY pool_id, user_id LIMIT $3`,
			inPool, scanSecretOf(placePassword), writeSecretsOf(placePassword)},
		move.TOTPs: {`SELECT count(*) FROM totp`,
			`SELECT pool_id, user_id, record FROM totp WHERE (pool_id, user_id) > ($1, $2) ORDER BY pool_id, user_id LIMIT $3`,
			inPool, scanSecretOf(placeTOTP), writeSecretsOf(placeTOTP)},
		move.Tickets: {`SELECT count(*) FROM tickets WHERE redeemed_at IS NOT NULL AND epoch = (SELECT epoch FROM meta)`,
			pageOfRedemptions, raw, (*Store).scanRedemption, (*Store).writeRedemptions},
		move.Revoked: {`SELECT count(*) FROM revoked`, pageOfRevoked, expiry, (*Store).scanRevoked, (*Store).writeRevoked},
		move.Sessions: {`SELECT count(*) FROM sessions`,
			`SELECT ` + sessionColumns + ` FROM sessions s WHERE s.id > $1 ORDER BY s.id LIMIT $2`, text, (*Store).scanMovedSession, (*Store).writeSessions},
		move.Pictures: {`SELECT count(*) FROM pictures WHERE loose_since IS NULL`,
			`SELECT id, type, data FROM pictures WHERE loose_since IS NULL AND id > $1 ORDER BY id LIMIT $2`, text, (*Store).scanMovedPicture, (*Store).writePictures},
		move.Holders: {`SELECT count(*) FROM picture_holders`,
			`SELECT pool_id, user_id, picture_id FROM picture_holders WHERE (pool_id, user_id) > ($1, $2) ORDER BY pool_id, user_id LIMIT $3`,
			inPool, (*Store).scanMovedHolder, (*Store).writeHolders},
		move.Events: {`SELECT count(*) FROM audit`,
			`SELECT id, pool_id, type, record FROM audit WHERE id > $1 ORDER BY id LIMIT $2`, text, (*Store).scanMovedEvent, (*Store).writeEvents},
		move.EventsEnd: {`SELECT count(*) FROM audit_end WHERE record IS NOT NULL`,
			`SELECT record FROM audit_end WHERE record IS NOT NULL AND $1 = '' LIMIT $2`, text, (*Store).scanEventsEnd, (*Store).writeEventsEnd},
	}
}

// occupied tells whether anything is in the tables.
const occupied = `
SELECT EXISTS (SELECT 1 FROM pools) OR EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM identities)
    OR EXISTS (SELECT 1 FROM access) OR EXISTS (SELECT 1 FROM tickets) OR EXISTS (SELECT 1 FROM revoked)
    OR EXISTS (SELECT 1 FROM sessions) OR EXISTS (SELECT 1 FROM signing_keys) OR EXISTS (SELECT 1 FROM audit)
    OR EXISTS (SELECT 1 FROM pictures) OR EXISTS (SELECT 1 FROM picture_holders)
    OR EXISTS (SELECT 1 FROM passwords) OR EXISTS (SELECT 1 FROM totp)`

// What a page begins after.
func text(key string) []any { return []any{key} }
func raw(key string) []any  { return []any{[]byte(key)} }
func inPool(key string) []any {
	poolID, id, _ := strings.Cut(key, "/")
	return []any{poolID, id}
}

func (s *Store) scanMovedPool(r pgx.CollectableRow) (m move.Record, err error) {
	var sealed []byte
	if err := r.Scan(&m.Key, &sealed); err != nil {
		return m, err
	}
	m.Value, err = s.open(placePool, []byte(m.Key), sealed)
	return m, err
}

func (s *Store) writePools(ctx context.Context, tx pgx.Tx, records []move.Record) error {
	var b pgx.Batch
	for _, m := range records {
		b.Queue(createPool, m.Key, s.sealer.Seal(nil, placePool, []byte(m.Key), []byte(m.Value)))
	}
	return tx.SendBatch(ctx, &b).Close()
}

func (s *Store) scanMovedKey(r pgx.CollectableRow) (m move.Record, err error) {
	var sealed []byte
	if err := r.Scan(&m.Key, &sealed); err != nil {
		return m, err
	}
	m.Value, err = s.open(placeSigningKey, []byte(m.Key), sealed)
	return m, err
}

func (s *Store) writeKeys(ctx context.Context, tx pgx.Tx, records []move.Record) error {
	rows := make([][]any, len(records))
	for i, m := range records {
		var k token.Key
		if err := json.Unmarshal([]byte(m.Value), &k); err != nil {
			return err
		}
		rows[i] = []any{k.ID, k.Alg, s.sealer.Seal(nil, placeSigningKey, []byte(k.ID), []byte(m.Value)), k.CreatedAt}
	}
	return fill(ctx, tx, "signing_keys", []string{"id", "alg", "record", "created_at"}, rows)
}

// pageOfUsers reads a page of one table and enters the other by its key, however
// large they are.
const pageOfUsers = `
SELECT ` + userColumns + `, u.unionid, u.phone, u.username, u.email
FROM (
    SELECT * FROM users WHERE (pool_id, id) > ($1, $2) ORDER BY pool_id, id LIMIT $3
) u LEFT JOIN LATERAL (
    SELECT * FROM access a WHERE a.pool_id = u.pool_id AND a.user_id = u.id OFFSET 0
) a ON true
ORDER BY u.pool_id, u.id`

// scanMovedUser also holds the columns by which users are found to the users.
func (s *Store) scanMovedUser(r pgx.CollectableRow) (move.Record, error) {
	var unionID, phone, name, email []byte
	u, err := s.scanUser(r, &unionID, &phone, &name, &email)
	if err != nil {
		return move.Record{}, err
	}
	if string(unionID) != string(s.unionID(u.PoolID, u.UnionID)) || string(phone) != string(s.phone(u.PoolID, u.Phone)) ||
		string(name) != string(s.username(u.PoolID, u.Username)) || string(email) != string(s.email(u.PoolID, u.Email)) {
		return move.Record{}, corrupt("users", errors.New("unionid, phone, username or e-mail address do not fit the record"))
	}
	return move.Record{Key: string(userKey(u.PoolID, u.ID)), Value: string(record.EncodeWholeUser(u))}, nil
}

func (s *Store) writeUsers(ctx context.Context, tx pgx.Tx, records []move.Record) error {
	users, access := make([][]any, len(records)), make([][]any, len(records))
	var identities [][]any
	for i, m := range records {
		poolID, id, _ := strings.Cut(m.Key, "/")
		u, err := record.DecodeWholeUser(poolID, id, m.Value)
		if err != nil {
			return err
		}
		users[i] = []any{poolID, id, s.sealer.Seal(nil, placeUser, userKey(poolID, id), record.EncodeUser(u)),
			s.unionID(poolID, u.UnionID), s.phone(poolID, u.Phone), s.username(poolID, u.Username), s.email(poolID, u.Email)}
		access[i] = []any{poolID, id, u.Blocked, maybe(u.NotBefore), int64(u.Logins.Count), // #nosec G115 -- a count
			maybe(u.Logins.Last), s.sealAddr(poolID, u.Logins.Addr)}
		for _, openID := range s.openIDs(u) {
			identities = append(identities, []any{[]byte(openID), poolID, id})
		}
	}
	// Pages of the index are met in turn.
	slices.SortFunc(identities, func(a, b []any) int { return strings.Compare(string(a[0].([]byte)), string(b[0].([]byte))) })
	return errors.Join(
		fill(ctx, tx, "access", []string{"pool_id", "user_id", "blocked", "not_before", "logins", "last_login", "last_addr"}, access),
		fill(ctx, tx, "users", []string{"pool_id", "id", "record", "unionid", "phone", "username", "email"}, users),
		fill(ctx, tx, "identities", []string{"openid", "pool_id", "user_id"}, identities),
	)
}

const pageOfRedemptions = `
SELECT key, pool_id, user_id, app_id, source_app, challenge, expires_at, redeemed_at, jti, token_ends_at, revoked,
       idempotency, answer, login, answer_addr
FROM tickets
WHERE key > $1 AND redeemed_at IS NOT NULL AND epoch = (SELECT epoch FROM meta)
ORDER BY key LIMIT $2`

func (s *Store) scanRedemption(r pgx.CollectableRow) (m move.Record, err error) {
	var t record.Redemption
	var key, idempotency, answer, addr []byte
	var login int64
	if err := r.Scan(&key, &t.PoolID, &t.UserID, &t.AppID, &t.SourceApp, &t.Challenge, &t.ExpiresAt, &t.At, &t.JTI, &t.TokenEnd, &t.Revoked,
		&idempotency, &answer, &login, &addr); err != nil {
		return m, err
	}
	if len(idempotency) > 0 {
		t.Idempotency, t.Login = string(idempotency), uint64(login) // #nosec G115 -- a count
		if t.Answer, err = s.open(placeUser, userKey(t.PoolID, t.UserID), answer); err != nil {
			return m, err
		}
		// In the form that this version gives it.
		u, err := record.DecodeUser(t.PoolID, t.UserID, t.Answer)
		if err != nil {
			return m, corrupt("tickets", err)
		}
		t.Answer = string(record.EncodeUser(u))
		if t.Addr, err = s.openAddr(t.PoolID, addr); err != nil {
			return m, err
		}
	}
	return move.Record{Key: string(key), Value: string(record.EncodeRedemption(t))}, nil
}

// neverVoid is the number of a ticket that was redeemed in another store: none
// that the user gets here voids it.
const neverVoid = math.MaxInt64

func (s *Store) writeRedemptions(ctx context.Context, tx pgx.Tx, records []move.Record) error {
	var epoch []byte
	if err := tx.QueryRow(ctx, `SELECT epoch FROM meta`).Scan(&epoch); err != nil {
		return err
	}
	rows := make([][]any, len(records))
	for i, m := range records {
		t, err := record.DecodeRedemption(ticket.Key([]byte(m.Key)), m.Value)
		if err != nil {
			return err
		}
		var idempotency, answer []byte
		if t.Idempotency != "" {
			idempotency = []byte(t.Idempotency)
			answer = s.sealer.Seal(nil, placeUser, userKey(t.PoolID, t.UserID), []byte(t.Answer))
		}
		rows[i] = []any{t.Key[:], t.PoolID, t.UserID, int64(neverVoid), t.AppID, t.SourceApp, t.Challenge, epoch, t.Key.IssuedAt(), t.ExpiresAt,
			t.At, int64(t.Login), t.JTI, t.TokenEnd, idempotency, answer, s.sealAddr(t.PoolID, t.Addr), t.Revoked} // #nosec G115 -- a count
	}
	return fill(ctx, tx, "tickets", []string{"key", "pool_id", "user_id", "no", "app_id", "source_app", "challenge", "epoch", "issued_at", "expires_at",
		"redeemed_at", "login", "jti", "token_ends_at", "idempotency", "answer", "answer_addr", "revoked"}, rows)
}

// An entry of the deny-list has the key that it has in all stores: eight bytes
// of the token's end, and its jti.
func revokedKey(end time.Time, jti string) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(end.Unix()))) + jti // #nosec G115 -- a time after 1970
}

func parseRevoked(key string) (end time.Time, jti string) {
	if len(key) < 8 {
		return time.Unix(0, 0), ""
	}
	return time.Unix(int64(binary.BigEndian.Uint64([]byte(key[:8]))), 0).UTC(), key[8:] // #nosec G115 -- revokedKey converted it the other way
}

// pageOfRevoked reads whole seconds, as keys have no parts of them: a row between
// two seconds would else come after its own key for ever. It looks no further
// than to the second in which the page is full at the latest.
const pageOfRevoked = `
SELECT DISTINCT date_trunc('second', expires_at), jti FROM revoked
WHERE expires_at >= $1 AND (date_trunc('second', expires_at), jti) > ($1, $2)
  AND expires_at < interval '1 second' + coalesce((
        SELECT max(later.expires_at) FROM (
            SELECT expires_at FROM revoked WHERE expires_at >= $1::timestamptz + interval '1 second' ORDER BY expires_at LIMIT $3
        ) later), $1)
ORDER BY 1, 2 LIMIT $3`

func expiry(key string) []any {
	end, jti := parseRevoked(key)
	return []any{end, jti}
}

func (s *Store) scanRevoked(r pgx.CollectableRow) (m move.Record, err error) {
	var end time.Time
	var jti string
	err = r.Scan(&end, &jti)
	return move.Record{Key: revokedKey(end, jti)}, err
}

func (s *Store) writeRevoked(ctx context.Context, tx pgx.Tx, records []move.Record) error {
	rows := make([][]any, len(records))
	for i, m := range records {
		rows[i] = expiry(m.Key)
	}
	return fill(ctx, tx, "revoked", []string{"expires_at", "jti"}, rows)
}

// scanSecretOf and writeSecretsOf read and write a table that has one sealed
// record of a user; it is called as the record's place is.
func scanSecretOf(place string) func(*Store, pgx.CollectableRow) (move.Record, error) {
	return func(s *Store, r pgx.CollectableRow) (m move.Record, err error) {
		var poolID, userID string
		var sealed []byte
		if err := r.Scan(&poolID, &userID, &sealed); err != nil {
			return m, err
		}
		m.Key = string(userKey(poolID, userID))
		m.Value, err = s.open(place, []byte(m.Key), sealed)
		return m, err
	}
}

func writeSecretsOf(place string) func(*Store, context.Context, pgx.Tx, []move.Record) error {
	return func(s *Store, ctx context.Context, tx pgx.Tx, records []move.Record) error {
		rows := make([][]any, len(records))
		for i, m := range records {
			rows[i] = append(inPool(m.Key), s.sealer.Seal(nil, place, []byte(m.Key), []byte(m.Value)))
		}
		return fill(ctx, tx, place, []string{"pool_id", "user_id", "record"}, rows)
	}
}

func (s *Store) scanMovedEvent(r pgx.CollectableRow) (m move.Record, err error) {
	e, err := scanEvent(r)
	if err != nil {
		return m, err
	}
	m.Key = e.id
	m.Value, err = s.openEvent(e)
	return m, err
}

func (s *Store) writeEvents(ctx context.Context, tx pgx.Tx, records []move.Record) error {
	rows := make([][]any, len(records))
	for i, m := range records {
		e, err := record.DecodeEvent(m.Key, m.Value)
		if err != nil {
			return err
		}
		rows[i] = []any{e.ID, e.PoolID, string(e.Type), s.sealer.Seal(nil, placeEvent, eventKey(e.ID, e.PoolID, string(e.Type)), []byte(m.Value))}
	}
	return fill(ctx, tx, "audit", []string{"id", "pool_id", "type", "record"}, rows)
}

// eventsEnd is the key of the only record of its kind.
const eventsEnd = "audit"

func (s *Store) scanEventsEnd(r pgx.CollectableRow) (m move.Record, err error) {
	var sealed []byte
	if err := r.Scan(&sealed); err != nil {
		return m, err
	}
	m.Key = eventsEnd
	m.Value, err = s.open(placeAuditEnd, auditEnd, sealed)
	return m, err
}

func (s *Store) writeEventsEnd(ctx context.Context, tx pgx.Tx, records []move.Record) error {
	for _, m := range records {
		if _, err := tx.Exec(ctx, updateAuditEnd, s.sealer.Seal(nil, placeAuditEnd, auditEnd, []byte(m.Value))); err != nil {
			return err
		}
	}
	return nil
}

// fill puts rows into a table.
func fill(ctx context.Context, tx pgx.Tx, table string, columns []string, rows [][]any) error {
	_, err := tx.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromRows(rows))
	if err != nil {
		return fmt.Errorf("fill %s: %w", table, err)
	}
	return nil
}

// Source is the records of a store as they are at one moment. It implements
// move.Source.
type Source struct {
	s     *Store
	tx    pgx.Tx
	conn  *pgxpool.Conn
	close func()
}

// patiently lifts the bounds of statements from a transaction that takes its
// time.
const patiently = `
SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0`

// Snapshot returns the records as they are now, until it is closed.
func (s *Store) Snapshot(ctx context.Context) (*Source, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, failed("connect", err)
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err == nil {
		_, err = tx.Exec(ctx, patiently)
	}
	if err != nil {
		conn.Release()
		return nil, failed("begin", err)
	}
	return &Source{s: s, tx: tx, conn: conn, close: func() {}}, nil
}

// Close ends the read.
func (s *Source) Close() error {
	err := s.tx.Rollback(context.Background())
	s.conn.Release()
	s.close()
	return err
}

// Origin implements move.Source.
func (s *Source) Origin() move.Origin { return move.Origin{Store: s.s.keys.Origin()} }

// Count implements move.Source.
func (s *Source) Count(ctx context.Context, k move.Kind) (n int, err error) {
	if err := s.tx.QueryRow(ctx, kinds()[k].count).Scan(&n); err != nil {
		return 0, failed("count", err)
	}
	return n, nil
}

// Read implements move.Source, in the order of the tables' keys.
func (s *Source) Read(ctx context.Context, k move.Kind, after string, limit int) ([]move.Record, error) {
	kind, ok := kinds()[k]
	if !ok {
		return nil, fmt.Errorf("postgres: nobody has said where %s are", k)
	}
	rows, err := s.tx.Query(ctx, kind.page, append(kind.after(after), limit)...)
	if err != nil {
		return nil, failed("read", err)
	}
	records, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (move.Record, error) { return kind.scan(s.s, r) })
	if err != nil {
		return nil, failed("read", err)
	}
	return records, nil
}

const (
	pageOfIdentities = `SELECT openid, pool_id, user_id FROM identities WHERE openid > $1 ORDER BY openid LIMIT $2`

	lonelyAccess = `SELECT (SELECT count(*) FROM access) - (SELECT count(*) FROM users)`
)

// Check implements move.Source: the identities are what the users say, and every
// row of access has its user. That the users' own columns fit was seen when
// they were read.
func (s *Source) Check(ctx context.Context) error {
	var want, have move.Sum
	after := ""
	for more := true; more; {
		users, err := s.Read(ctx, move.Users, after, move.BatchSize)
		if err != nil {
			return err
		}
		for _, m := range users {
			poolID, id, _ := strings.Cut(m.Key, "/")
			u, err := record.DecodeWholeUser(poolID, id, m.Value)
			if err != nil {
				return err
			}
			for _, openID := range s.s.openIDs(u) {
				want.Add(move.Record{Key: openID, Value: m.Key})
			}
			after = m.Key
		}
		more = len(users) > 0
	}
	last := []byte{}
	for more := true; more; {
		rows, err := s.tx.Query(ctx, pageOfIdentities, last, move.BatchSize)
		if err != nil {
			return failed("read identities", err)
		}
		var openID []byte
		var poolID, id string
		n := 0
		if _, err := pgx.ForEachRow(rows, []any{&openID, &poolID, &id}, func() error {
			n++
			last = slices.Clone(openID)
			have.Add(move.Record{Key: string(openID), Value: string(userKey(poolID, id))})
			return nil
		}); err != nil {
			return failed("read identities", err)
		}
		more = n > 0
	}
	var lonely int
	if err := s.tx.QueryRow(ctx, lonelyAccess).Scan(&lonely); err != nil {
		return failed("count", err)
	}
	switch {
	case lonely != 0:
		return corrupt("access", errNoUser)
	case want != have:
		return fmt.Errorf("the identities do not fit the users: %d rows, %d expected", have.Count, want.Count)
	}
	return nil
}

var _ move.Source = (*Source)(nil)
