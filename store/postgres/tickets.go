package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/audit"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// creation is a ticket to be stored.
type creation struct {
	ticket.Ticket
	now time.Time
}

// alone keeps two tickets of one user out of one statement, which would count
// only one of them.
func (c creation) alone() string { return c.PoolID + "/" + c.UserID }

// CreateTicket implements ticket.Store.
func (s *Store) CreateTicket(ctx context.Context, t ticket.Ticket, now time.Time) error {
	now, err := s.heed(ctx, now)
	if err != nil {
		return err
	}
	_, err = s.creations.do(ctx, creation{t, now})
	return err
}

// createBy numbers each ticket as the user's next. Of those that are live,
// as far as the users' rows tell, the oldest are void beyond MaxLive, the new
// one counted: whatever was issued up to the last of them is over.
const createBy = `
WITH asked AS (
    SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                         $7::timestamptz[], $8::timestamptz[], $9::timestamptz[])
        AS q(key, pool_id, user_id, app_id, source_app, challenge, issued_at, expires_at, now)
), held AS (
    SELECT q.*, a.tickets + 1 AS no, a.live_no, a.live_until
    FROM asked q CROSS JOIN LATERAL (
        SELECT a.tickets, a.live_no, a.live_until FROM access a
        WHERE a.pool_id = q.pool_id AND a.user_id = q.user_id
        FOR UPDATE
    ) a
), counted AS (
    SELECT h.*, l.kept_no, l.kept_until, l.void_to
    FROM held h CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(no ORDER BY no) FILTER (WHERE age < %[1]d), '{}') AS kept_no,
               coalesce(array_agg(until ORDER BY no) FILTER (WHERE age < %[1]d), '{}') AS kept_until,
               max(no) FILTER (WHERE age >= %[1]d) AS void_to
        FROM (
            SELECT no, until, row_number() OVER (ORDER BY no DESC) AS age
            FROM unnest(h.live_no, h.live_until) AS l(no, until)
            WHERE until > h.now AND no > 0
        ) live
    ) l
), noted AS (
    UPDATE access a
    SET tickets = c.no, live_no = c.kept_no || c.no, live_until = c.kept_until || c.expires_at,
        void_to = greatest(a.void_to, c.void_to), user_place = coalesce(a.user_place, %[2]s)
    FROM counted c
    WHERE a.pool_id = c.pool_id AND a.user_id = c.user_id
    RETURNING c.key, c.pool_id, c.user_id, c.no, c.app_id, c.source_app, c.challenge, c.issued_at, c.expires_at, %[3]s AS place
)
INSERT INTO tickets (key, pool_id, user_id, no, app_id, source_app, challenge, epoch, issued_at, expires_at, access_place)
SELECT key, pool_id, user_id, no, app_id, source_app, challenge, (SELECT epoch FROM meta), issued_at, expires_at, place
FROM noted
RETURNING key`

// createTickets notes, too, where the user's rows are: that of access in the ticket,
// and in that of access the other, if nobody has done so yet. Elsewhere both stay
// empty.
var (
	createTickets = fmt.Sprintf(createBy, ticket.MaxLive,
		"(SELECT u.ctid FROM users u WHERE u.pool_id = a.pool_id AND u.id = a.user_id)", "a.ctid")
	createElsewhere = fmt.Sprintf(createBy, ticket.MaxLive, "NULL", "a.user_place")
)

// create stores the tickets of all calls by one statement, which locks their users
// in the order of these.
func (s *Store) create(calls []*call[creation, struct{}]) {
	ctx, cancel := s.bounded(context.Background())
	defer cancel()
	slices.SortFunc(calls, func(a, b *call[creation, struct{}]) int {
		return cmp.Or(strings.Compare(a.ask.UserID, b.ask.UserID), strings.Compare(a.ask.PoolID, b.ask.PoolID))
	})
	n := len(calls)
	key, pool, user, app, source, challenge := make([][]byte, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	issued, expires, now := make([]time.Time, n), make([]time.Time, n), make([]time.Time, n)
	for i, c := range calls {
		t := c.ask
		key[i], pool[i], user[i], app[i], source[i], challenge[i] = t.Key[:], t.PoolID, t.UserID, t.AppID, t.SourceApp, t.Challenge
		issued[i], expires[i], now[i] = t.Key.IssuedAt(), t.ExpiresAt, t.now
	}
	sql := createElsewhere
	if s.postgres {
		sql = createTickets
	}
	start := time.Now()
	stored, err := write(ctx, s, "create tickets", sql, []any{key, pool, user, app, source, challenge, issued, expires, now}, pgx.RowTo[[]byte])
	s.observe(start, n)
	if err != nil && refused(err) && n > 1 {
		// One of them is at fault; the others are not to suffer for it.
		for _, c := range calls {
			s.create([]*call[creation, struct{}]{c})
		}
		return
	}
	if err != nil && !s.undone(err) {
		// Perhaps it was carried out: a ticket that is there is on disk.
		stored, _ = read(ctx, s, "look for tickets", `SELECT key FROM tickets WHERE key = ANY ($1::bytea[])`, []any{key}, pgx.RowTo[[]byte])
	}
	there := map[string]bool{}
	for _, k := range stored {
		there[string(k)] = true
	}
	for _, c := range calls {
		switch {
		case there[string(c.ask.Key[:])]:
		case err != nil:
			c.err = err
		default:
			c.err = corrupt("access", errNoUser)
		}
	}
}

func (s *Store) observe(start time.Time, n int) {
	s.metrics.took.Observe(time.Since(start).Seconds())
	s.metrics.size.Observe(float64(n))
}

// What another process is about to delete is left to it.
const (
	sweepTickets = `
DELETE FROM tickets WHERE key = ANY (ARRAY(
    SELECT key FROM tickets WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
))`

	sweepCodes = `
DELETE FROM codes WHERE code = ANY (ARRAY(
    SELECT code FROM codes WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED
))`

	sweepCounted = `
DELETE FROM counted WHERE (process, no) IN (
    SELECT process, no FROM counted WHERE at < clock_timestamp() - $1::float8 * interval '1 second' LIMIT $2 FOR UPDATE SKIP LOCKED
)`

	sweepRevoked = `
WITH old AS (
    SELECT expires_at, jti FROM revoked WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM revoked r USING old
WHERE r.expires_at = old.expires_at AND r.jti = old.jti AND r.expires_at = ANY (ARRAY(SELECT expires_at FROM old))`
)

// SweepTickets implements ticket.Store. A machine whose clock is ahead deletes
// nothing that has not ended for the others: a token whose entry in the deny-list is
// gone would hold again.
func (s *Store) SweepTickets(ctx context.Context, now time.Time, limit int) (int, error) {
	now = s.clock.bound(now)
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	total := 0
	for _, sweep := range []struct {
		sql string
		end any
	}{
		{sweepTickets, now.Add(-ticket.RetainFor)},
		{sweepRevoked, now},
		{sweepSessions, now},
		{sweepCodes, now},
		{sweepCounted, 2 * countsFor.Seconds()},
		{sweepRecipients, now},
		{sweepUnfinished, now.Add(-userpool.UnfinishedRetain)},
		{sweepEvents, idFrom(now.Add(time.Millisecond - audit.RetainFor))},
	} {
		tag, err := s.pool.Exec(ctx, sweep.sql, sweep.end, limit-total)
		if err != nil {
			return total, failed("sweep", err)
		}
		total += int(tag.RowsAffected())
	}
	return total, nil
}
