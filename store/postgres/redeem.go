package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// redemption is an attempt to redeem. Its id tells it from all others: when a
// connection breaks, the ticket says whether it was this one that redeemed it.
type redemption struct {
	ticket.Redemption
	id [16]byte
}

// alone keeps two attempts at one ticket out of one statement.
func (r redemption) alone() string { return string(r.Key[:]) }

// outcome is what became of an attempt.
type outcome struct {
	ticket.Redeemed
	// replayed is the refusal's case of ticket.ErrRedeemed whose token is not
	// on the deny-list yet.
	replayed bool
}

// RedeemTicket implements ticket.Store.
func (s *Store) RedeemTicket(ctx context.Context, r ticket.Redemption) (ticket.Redeemed, error) {
	var err error
	if r.Now, err = s.heed(ctx, r.Now); err != nil {
		return ticket.Redeemed{}, err
	}
	attempt := redemption{Redemption: r}
	rand.Read(attempt.id[:])
	out, err := s.redemptions.do(ctx, attempt)
	if out.replayed && r.RevokeOnReplay {
		revoked, revokeErr := s.revoke(ctx, out.Redeemed, r)
		if revokeErr != nil {
			return ticket.Redeemed{Ticket: out.Ticket}, revokeErr
		}
		out.Revoked = revoked
	}
	return out.Redeemed, err
}

// redeem answers all calls: first the statement that redeems, then, for those
// whom it does not answer, a look at why. Whoever lost to a state that was over
// when it was looked at goes again.
func (s *Store) redeem(calls []*call[redemption, outcome]) {
	ctx, cancel := s.bounded(context.Background())
	defer cancel()
	start := time.Now()
	defer func() { s.observe(start, len(calls)) }()
	open := calls
	var err error
	for try, before := 0, len(open); try < tries && len(open) > 0 && ctx.Err() == nil; try++ {
		if len(open) < before {
			try, before = 0, len(open) // each time one of a user's tickets
		}
		if open, err = s.gate(ctx, open); err != nil {
			if refused(err) && len(open) > 1 {
				// One of them is at fault; the others are not to suffer for it.
				for _, c := range open {
					s.redeem([]*call[redemption, outcome]{c})
				}
				return
			}
			if s.undone(err) {
				break
			}
			// Perhaps it was carried out. The look waits for a statement that is
			// still under way; who has not redeemed by then does not know.
			open, _ = s.look(ctx, open, true)
			break
		}
		if open, err = s.look(ctx, open, false); err != nil {
			break
		}
	}
	for _, c := range open {
		if c.err = err; err == nil {
			c.err = corrupt("users", errNoUser)
		}
	}
}

// gateBy is the one place where a ticket is redeemed. The user's row of access lists
// the numbers of the tickets that can be redeemed, and whoever redeems one takes
// its number off (0 takes its place, beside its end, until the user's next ticket
// is issued) and counts the login by one change of that row. Of all who try
// at once the first makes it; the others wait for the row, and then it is looked
// at as it is now (read committed), where the number is missing. What they read
// before, of the ticket itself, may be old: it only tells whose it is. Whoever
// blocks a user, signs one out or voids tickets changes the same row.
//
// The tickets are marked after that. Nobody else can be at them, so as many are
// marked as were counted; if not, a record is damaged, the division fails, and
// nothing of the statement holds.
//
// Rows of access are locked in their order, lest two statements wait for each
// other, and of several tickets of one user one is redeemed, any: the others go
// again (a row is not left to be changed twice, which servers take differently).
// Joins that are lateral cannot be turned round: each table is entered by
// its key. Left to its statistics, the planner reads all tickets first, as most
// are redeemed and it expects none that is not.
//
// What belongs to an attempt is taken from the parameters by its place where it
// is needed: rows that carry it through all steps cost more.
//
// Where the server has ctid, rows are found by where they lie. While this statement
// runs no other row comes to lie there: so the ticket is marked, and so the row of
// access is changed. (One that somebody else changes meanwhile is looked at as it is
// then, or passed over, as PostgreSQL's version has it; then the attempt goes again.)
// Where a user's rows were when that was noted is a hint only, and is put right by
// the login: who lies there now says so.
const gateBy = `
WITH found AS MATERIALIZED (
    SELECT DISTINCT ON (t.user_id, t.pool_id)
           q.n, t.place, t.pool_id, t.user_id, t.no, t.app_id, t.source_app, t.issued_at, t.expires_at, u.record, u.user_place, u.access_place
    FROM unnest($1::bytea[]) WITH ORDINALITY AS q(key, n)
    CROSS JOIN LATERAL (
        SELECT t.%[1]s AS place, t.pool_id, t.user_id, t.no, t.app_id, t.source_app, t.issued_at, t.expires_at, t.access_place
        FROM tickets t
        WHERE t.key = q.key AND t.pool_id = ($2::text[])[q.n] AND t.epoch = (SELECT epoch FROM meta)
          AND t.challenge = ($3::text[])[q.n] AND t.redeemed_at IS NULL AND t.expires_at > ($8::timestamptz[])[q.n]
        OFFSET 0
    ) t
    CROSS JOIN LATERAL (%[2]s
        OFFSET 0
    ) u
    ORDER BY t.user_id, t.pool_id
), counted AS (
    UPDATE access a
    SET logins = a.logins + 1, last_login = greatest(a.last_login, ($8::timestamptz[])[f.n]),
        last_addr = CASE WHEN a.last_login > ($8::timestamptz[])[f.n] THEN a.last_addr ELSE ($9::bytea[])[f.n] END,
        live_no = array_replace(a.live_no, f.no, 0), user_place = f.user_place
    FROM found f
    WHERE a.pool_id = f.pool_id AND a.user_id = f.user_id %[3]s AND f.no = ANY (a.live_no)
      AND NOT a.blocked AND (a.not_before IS NULL OR f.issued_at > a.not_before)
    RETURNING f.n, f.place, f.user_id, f.app_id, f.source_app, f.expires_at, a.logins, a.not_before, f.record
), marked AS (
    UPDATE tickets t
    SET redeemed_at = ($8::timestamptz[])[c.n], attempt = ($5::bytea[])[c.n], login = c.logins,
        jti = ($6::text[])[c.n], token_ends_at = ($7::timestamptz[])[c.n], idempotency = ($4::bytea[])[c.n],
        answer = CASE WHEN ($4::bytea[])[c.n] IS NOT NULL THEN c.record END,
        answer_addr = CASE WHEN ($4::bytea[])[c.n] IS NOT NULL THEN ($9::bytea[])[c.n] END
    FROM counted c
    WHERE t.%[1]s = c.place AND t.redeemed_at IS NULL
    RETURNING 1
)
SELECT n, user_id, app_id, source_app, expires_at, logins, not_before, record,
       (1 / ((SELECT count(*) FROM marked) = (SELECT count(*) FROM counted))::int)::int
FROM counted`

var (
	gate = fmt.Sprintf(gateBy, "ctid", userByPlace, "AND a.ctid = f.access_place")
	// gateElsewhere is for servers that have no ctid: nobody notes a place there.
	gateElsewhere = fmt.Sprintf(gateBy, "key", userByKey, "")
)

const (
	userByKey = `
        SELECT u.record, t.access_place AS user_place, t.access_place FROM users u WHERE u.pool_id = ($2::text[])[q.n] AND u.id = t.user_id`

	// userByPlace looks where the row of access was when the ticket was issued, and
	// where the user's was when that was written, and asks the indexes only if they
	// are there no more.
	userByPlace = `
        SELECT u.record, u.place AS user_place, a.place AS access_place
        FROM (
            SELECT a.ctid AS place, a.user_place FROM access a
            WHERE a.ctid = t.access_place AND a.pool_id = ($2::text[])[q.n] AND a.user_id = t.user_id
            UNION ALL
            SELECT a.ctid, a.user_place FROM access a
            WHERE a.pool_id = ($2::text[])[q.n] AND a.user_id = t.user_id
            LIMIT 1
        ) a CROSS JOIN LATERAL (
            SELECT u.ctid AS place, u.record FROM users u
            WHERE u.ctid = a.user_place AND u.pool_id = ($2::text[])[q.n] AND u.id = t.user_id
            UNION ALL
            SELECT u.ctid, u.record FROM users u
            WHERE u.pool_id = ($2::text[])[q.n] AND u.id = t.user_id
            LIMIT 1
        ) u`
)

// errUnmarked is of a ticket that its user's row lists and that was not there, or
// was redeemed, when it was to be marked.
var errUnmarked = errors.New("a ticket that is listed as live cannot be marked")

// gate redeems what can be redeemed and answers those calls. It returns the
// others, and all of them with an error.
func (s *Store) gate(ctx context.Context, calls []*call[redemption, outcome]) (others []*call[redemption, outcome], err error) {
	n := len(calls)
	key, pool, challenge, idempotency, attempt, jti := make([][]byte, n), make([]string, n), make([]string, n), make([][]byte, n), make([][]byte, n), make([]string, n)
	ends, now, addr := make([]time.Time, n), make([]time.Time, n), make([][]byte, n)
	for i, c := range calls {
		r := &c.ask
		key[i], pool[i], challenge[i], attempt[i], jti[i] = r.Key[:], r.PoolID, r.Challenge, r.id[:], r.JTI
		if r.Idempotency != ([sha256.Size]byte{}) {
			idempotency[i] = r.Idempotency[:]
		}
		ends[i], now[i], addr[i] = r.TokenExpiresAt, r.Now, s.sealAddr(r.PoolID, r.Addr)
	}
	sql := gateElsewhere
	if s.postgres {
		sql = gate
	}
	won, err := write(ctx, s, "redeem", sql, []any{key, pool, challenge, idempotency, attempt, jti, ends, now, addr}, scanGain)
	if sqlState(err) == divisionByZero {
		err = corrupt("tickets", fmt.Errorf("%w: %w", errUnmarked, err))
	}
	if err != nil {
		return calls, err
	}
	let := make([]bool, n)
	for _, g := range won {
		c := calls[g.n-1]
		let[g.n-1] = true
		c.answer.Redeemed, c.err = s.redeemed(c.ask, g)
	}
	for i, c := range calls {
		if !let[i] {
			others = append(others, c)
		}
	}
	return others, nil
}

// gain is what the gate returns of a ticket that it redeemed.
type gain struct {
	n                        int // of the attempt, from 1
	userID, appID, sourceApp string
	expiresAt                time.Time
	login                    int64
	notBefore                *time.Time
	record                   []byte
}

func scanGain(r pgx.CollectableRow) (g gain, err error) {
	err = r.Scan(&g.n, &g.userID, &g.appID, &g.sourceApp, &g.expiresAt, &g.login, &g.notBefore, &g.record, nil)
	return g, err
}

func (s *Store) redeemed(r redemption, g gain) (ticket.Redeemed, error) {
	u, err := s.openUser(r.PoolID, g.userID, g.record)
	u.NotBefore = utc(g.notBefore)
	u.Logins = userpool.Logins{Count: uint64(g.login), Last: r.Now, Addr: r.Addr} // #nosec G115 -- a count
	return ticket.Redeemed{
		Ticket: ticket.Ticket{Key: r.Key, PoolID: r.PoolID, UserID: g.userID, AppID: g.appID, SourceApp: g.sourceApp,
			Challenge: r.Challenge, ExpiresAt: g.expiresAt.UTC()},
		User: u, At: r.Now, JTI: r.JTI, TokenExpiresAt: r.TokenExpiresAt,
	}, err
}

const (
	lookAtTickets = `
SELECT t.key, t.pool_id, t.user_id, t.no, t.app_id, t.source_app, t.challenge, t.expires_at,
       t.epoch = (SELECT epoch FROM meta), t.redeemed_at, t.attempt, t.login, t.jti, t.token_ends_at, t.idempotency,
       t.answer, t.answer_addr, t.revoked, u.record, a.blocked, a.not_before, a.void_to,
       t.no = ANY (a.live_no)
FROM tickets t
LEFT JOIN users u ON u.pool_id = t.pool_id AND u.id = t.user_id
LEFT JOIN access a ON a.pool_id = t.pool_id AND a.user_id = t.user_id
WHERE t.key = ANY ($1::bytea[])`

	waitForTickets = lookAtTickets + ` ORDER BY t.key FOR UPDATE OF t`
)

// ticketRow is a ticket, what became of it, and its user.
type ticketRow struct {
	ticket.Ticket
	no          int64
	current     bool // of this epoch
	redeemedAt  *time.Time
	attempt     []byte
	login       *int64
	jti         *string
	tokenEnd    *time.Time
	idempotency []byte
	answer      []byte
	answerAddr  []byte
	revoked     bool
	record      []byte
	blocked     *bool
	notBefore   *time.Time
	voidTo      *int64
	live        *bool // listed as that in its user's row
}

func scanTicket(r pgx.CollectableRow) (t ticketRow, err error) {
	var key []byte
	err = r.Scan(&key, &t.PoolID, &t.UserID, &t.no, &t.AppID, &t.SourceApp, &t.Challenge, &t.ExpiresAt,
		&t.current, &t.redeemedAt, &t.attempt, &t.login, &t.jti, &t.tokenEnd, &t.idempotency,
		&t.answer, &t.answerAddr, &t.revoked, &t.record, &t.blocked, &t.notBefore, &t.voidTo, &t.live)
	if err == nil && (len(key) != len(t.Key) || t.redeemedAt != nil && (t.login == nil || t.jti == nil || t.tokenEnd == nil)) {
		err = corrupt("tickets", errors.New("a part of the row is missing"))
	}
	copy(t.Key[:], key)
	t.ExpiresAt = t.ExpiresAt.UTC()
	return t, err
}

// look answers the calls from their tickets as they are, and returns those
// whose tickets can be redeemed. With wait it does so when nobody has them
// locked.
func (s *Store) look(ctx context.Context, calls []*call[redemption, outcome], wait bool) (open []*call[redemption, outcome], err error) {
	if len(calls) == 0 {
		return nil, nil
	}
	keys := make([][]byte, len(calls))
	for i, c := range calls {
		keys[i] = c.ask.Key[:]
	}
	sql := lookAtTickets
	if wait {
		sql = waitForTickets
	}
	tickets, err := read(ctx, s, "look at tickets", sql, []any{keys}, scanTicket)
	if err != nil {
		return calls, err
	}
	found := map[ticket.Key]ticketRow{}
	for _, t := range tickets {
		found[t.Key] = t
	}
	for _, c := range calls {
		t, ok := found[c.ask.Key]
		if !ok {
			c.err = ticket.ErrUnknown
			continue
		}
		if c.answer, c.err = s.judge(t, c.ask); c.err == errOpen {
			c.answer, c.err = outcome{}, nil
			open = append(open, c)
		}
	}
	return open, nil
}

// errOpen is the judgement of a ticket that can be redeemed.
var errOpen = errors.New("the ticket can be redeemed")

// judge says what is to be answered to an attempt that the gate did not let in.
func (s *Store) judge(t ticketRow, r redemption) (out outcome, err error) {
	out.Ticket = t.Ticket
	redeemed, expired := t.redeemedAt != nil, !r.Now.Before(t.ExpiresAt)
	repeated := redeemed && !expired && len(t.idempotency) > 0 && bytes.Equal(t.idempotency, r.Idempotency[:])
	switch {
	case t.PoolID != r.PoolID, !t.current:
		return outcome{}, ticket.ErrUnknown
	case t.Challenge != r.Challenge:
		return out, ticket.ErrVerifier
	case redeemed && bytes.Equal(t.attempt, r.id[:]):
		// It was this attempt, whose answer was lost.
		out.Redeemed, err = s.redeemed(r, gain{0, t.UserID, t.AppID, t.SourceApp, t.ExpiresAt, *t.login, t.notBefore, t.record})
		return out, err
	case redeemed && !repeated:
		out.JTI, out.TokenExpiresAt, out.At = *t.jti, utc(t.tokenEnd), utc(t.redeemedAt)
		out.replayed = !t.revoked
		return out, ticket.ErrRedeemed
	case expired:
		return out, ticket.ErrExpired
	case t.blocked == nil || t.voidTo == nil || t.live == nil || t.record == nil:
		return out, corrupt("tickets", errNoUser)
	case !redeemed && !*t.live && t.no > *t.voidTo:
		// It had ended by the clock that issued the user's next one.
		return out, ticket.ErrExpired
	case *t.blocked:
		return out, userpool.ErrBlocked
	case t.no <= *t.voidTo && !redeemed, !t.Key.IssuedAt().After(utc(t.notBefore)):
		// Of the tickets up to voidTo those are void that were not redeemed.
		return out, ticket.ErrVoid
	case repeated:
		out.Redeemed, err = s.answered(t)
		return out, err
	}
	return out, errOpen
}

// answered returns the answer that the ticket's redemption gave. Of the user
// all is as it was then.
func (s *Store) answered(t ticketRow) (ticket.Redeemed, error) {
	u, err := s.openUser(t.PoolID, t.UserID, t.answer)
	if err != nil {
		return ticket.Redeemed{Ticket: t.Ticket}, err
	}
	u.NotBefore = utc(t.notBefore)                                               // before the ticket, then and now
	u.Logins = userpool.Logins{Count: uint64(*t.login), Last: utc(t.redeemedAt)} // #nosec G115 -- a count
	if u.Logins.Addr, err = s.openAddr(t.PoolID, t.answerAddr); err != nil {
		return ticket.Redeemed{Ticket: t.Ticket}, err
	}
	return ticket.Redeemed{
		Ticket: t.Ticket, User: u, At: utc(t.redeemedAt), Repeated: true, JTI: *t.jti, TokenExpiresAt: utc(t.tokenEnd),
	}, nil
}

const revokeToken = `
WITH marked AS (
    UPDATE tickets SET revoked = true
    WHERE key = $1 AND redeemed_at IS NOT NULL AND NOT revoked
    RETURNING token_ends_at, jti
), denied AS (
    INSERT INTO revoked (expires_at, jti) SELECT date_trunc('second', token_ends_at), jti FROM marked ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT 1 FROM marked`

// revoke puts the token of a redeemed ticket on the deny-list and tells whether
// that was this call: of any number at once it is one.
func (s *Store) revoke(ctx context.Context, before ticket.Redeemed, replay ticket.Redemption) (revoked bool, err error) {
	before.Revoked = true
	err = s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, revokeToken, replay.Key[:])
		if err != nil {
			return failed("revoke token", err)
		}
		if revoked = tag.RowsAffected() > 0; !revoked {
			return nil
		}
		grave := token.Tombstone(before.JTI, before.Ticket.PoolID, before.Ticket.UserID, replay.Now, before.TokenExpiresAt)
		if err := s.entomb(ctx, tx, grave); err != nil {
			return err
		}
		return s.record(ctx, tx, replay.Replayed(before))
	})
	return revoked, err
}
