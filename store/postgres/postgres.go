// Package postgres keeps everything in a PostgreSQL database, which any number
// of processes may share.
//
//	table         row                                       sealed in it
//	meta          the only one                              data keys, with the encryption key
//	pools         pool                                      the pool
//	users         user: what a login does not change        the user
//	identities    HMAC(pool, AppID, openid) → user
//	access        user: what a login changes                last address
//	tickets       6 bytes of time + SHA-256(ticket)         the answer to repeat
//	revoked       token's end + jti
//	sessions      session id
//	pictures      SHA-256 of a picture                       the picture
//	picture_holders  user: which picture the user holds
//	unfinished    6 bytes of time + SHA-256(state token)     whose sign-in it is
//	recipients    HMAC(pool, phone or e-mail address)        codes that were sent there, and when
//	signing_keys  kid                                       private key
//	audit         event id                                  event and SHA-256 of the row before
//	audit_end     the only one                              where the audit chain ends
//	codes         hash of a one-time code, for five minutes
//	counted       process and number                        what it tells the others of limits
//
// What decides whether a ticket can be redeemed is in the clear, so that one
// statement decides it (redeem.go). What tells of a person, and every secret,
// is sealed as in the other stores (package seal), together with its table,
// column and key. A row that does not open is corruption:
// userpool.ErrUnavailable, never "not found".
//
// Redemptions that wait at the same moment share a statement, and so do new
// tickets and the claims of codes (group.go). Whoever locks rows of more than one user locks those of
// access in the order of their keys, and a user's tickets after them.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/store/seal"
	"app2wxapp/userpool"
)

// Config says how to open a store.
type Config struct {
	// URL is PostgreSQL's, postgres://user:password@host:port/database, and may
	// have what libpq and pgxpool know, and three parameters of our own.
	// pooler=transaction: a PgBouncer in that mode is between; then also
	// direct=host:port, the server itself. durability=unchecked: the server may
	// forget what it has said, such as with fsync=off. statement_timeout, in
	// milliseconds, bounds the waiting of callers, too.
	URL string
	Key [32]byte // the operator's encryption key
	Log *slog.Logger
	Reg prometheus.Registerer
	// Now is the clock, to notice when it is behind the server's, and when that is
	// put back: then all live tickets end. Nil means that nobody watches.
	Now func() time.Time
	// Alone gives each redemption and each new ticket a statement of its own, to
	// tell what sharing them brings.
	Alone bool
}

// Store is a store in a PostgreSQL database. It is safe for concurrent use, by
// any number of processes.
type Store struct {
	log     *slog.Logger
	metrics metrics
	options options
	// postgres: the server is PostgreSQL itself, and not another that speaks its
	// language.
	postgres bool
	pool     *pgxpool.Pool
	keys     seal.DataKeys
	sealer   *seal.Sealer
	cache    poolCache
	clock    clock

	redemptions group[redemption, outcome]
	creations   group[creation, struct{}]
	claims      group[claim, bool]
	counts      counts

	stop context.CancelFunc // of what runs in the background
	wait sync.WaitGroup
}

// Open opens the store, and makes its tables in an empty database. What keeps
// it from doing so is said in words, without the URL's password: the server
// does not answer, it may forget what it has said, it is a standby, the
// encryption key is not the store's, a newer version made the tables.
func Open(c Config) (_ *Store, err error) {
	pc, o, err := parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("store.url %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open store %s: %w", name(pc), err)
		}
	}()
	ctx, stop := context.WithCancel(context.Background())
	s := &Store{log: c.Log, metrics: newMetrics(c.Reg), options: o, clock: clock{now: c.Now}, stop: stop}
	s.counts.begin()
	s.cache.wake = make(chan struct{}, 1)
	s.redemptions = group[redemption, outcome]{key: redemption.alone, send: s.redeem, maxWait: o.timeout / 5, alone: c.Alone}
	s.creations = group[creation, struct{}]{key: creation.alone, send: s.create, maxWait: o.timeout / 5, alone: c.Alone}
	s.claims = group[claim, bool]{key: claim.alone, send: s.claim, maxWait: o.timeout / 5, alone: c.Alone}
	start, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := s.dial(ctx, start, pc); err != nil {
		stop()
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.migrate(start, pc); err != nil {
		return nil, err
	}
	if err := s.whole(start); err != nil {
		return nil, err
	}
	if err := s.unlock(start, c.Key); err != nil {
		return nil, err
	}
	if err := s.warn(start, pc); err != nil {
		return nil, err
	}
	if err := s.cache.refresh(start, s); err != nil {
		return nil, err
	}
	if s.clock.now != nil {
		if err := s.lookAtClock(start); err != nil {
			return nil, err
		}
		s.background(ctx, s.watchClock)
	}
	s.background(ctx, s.watchPools)
	if direct, ok := o.directly(pc); ok && s.postgres {
		s.background(ctx, func(ctx context.Context) { s.listen(ctx, direct) })
	}
	return s, nil
}

// dial makes the pool, which lives as long as ctx, within start.
func (s *Store) dial(ctx, start context.Context, pc *pgxpool.Config) (err error) {
	if s.postgres, err = isPostgres(start, pc.ConnConfig); err != nil {
		return err
	}
	if s.postgres {
		s.options.plan(pc)
	}
	pc.AfterConnect = s.checkServer
	if s.pool, err = pgxpool.NewWithConfig(ctx, pc); err != nil {
		return err
	}
	if err := s.pool.Ping(start); err != nil {
		s.pool.Close()
		return err
	}
	return nil
}

// openTimeout bounds Open: another process may be at work on the tables.
const openTimeout = 2 * time.Minute

func (s *Store) background(ctx context.Context, run func(context.Context)) {
	s.wait.Go(func() { run(ctx) })
}

// Close ends the store after the calls under way.
func (s *Store) Close() error {
	s.redemptions.close()
	s.creations.close()
	s.claims.close()
	s.stop()
	s.wait.Wait()
	s.pool.Close()
	return nil
}

// Ready returns nil if the store can answer, else userpool.ErrUnavailable.
func (s *Store) Ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	if err := s.pool.Ping(ctx); err != nil {
		return failed("ping", err)
	}
	return nil
}

const readyTimeout = 2 * time.Second

// recordKeyID is that of the key in meta that seals records.
const recordKeyID = 1

// unlock reads the data keys, and makes them in an empty database.
func (s *Store) unlock(ctx context.Context, key [32]byte) error {
	_, err := s.pool.Exec(ctx, `INSERT INTO meta (keys, epoch) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
		seal.New(0, key).Seal(nil, "meta", placeKeys, seal.NewDataKeys().Marshal()), newEpoch())
	if err != nil {
		return err
	}
	return s.readKeys(ctx, key)
}

// placeKeys is the key that the data keys are sealed with, in the table meta.
var placeKeys = []byte("keys")

// readKeys opens the data keys.
func (s *Store) readKeys(ctx context.Context, key [32]byte) error {
	var sealed []byte
	if err := s.pool.QueryRow(ctx, `SELECT keys FROM meta`).Scan(&sealed); err != nil {
		return err
	}
	plain, err := seal.New(0, key).Open(nil, "meta", placeKeys, sealed)
	if err != nil {
		return errors.New("the encryption key is not this store's; give the key that it was made with (encryption.key)")
	}
	if s.keys, err = seal.UnmarshalDataKeys(plain); err != nil {
		return err
	}
	s.sealer = seal.New(recordKeyID, s.keys.Record)
	return nil
}

// Places of sealed columns, and the key that is sealed with each.
const (
	placePool       = "pools.record"        // id
	placeUser       = "users.record"        // pool id / user id
	placeAddr       = "access.last_addr"    // pool id
	placePicture    = "pictures.data"       // picture id
	placeSigningKey = "signing_keys.record" // kid
	placeEvent      = "audit.record"        // eventKey
	placeAuditEnd   = "audit_end.record"
	placeCounts     = "counted.counts" // process and number
)

// open opens a sealed column.
func (s *Store) open(place string, key, sealed []byte) (string, error) {
	plain, err := s.sealer.Open(nil, place, key, sealed)
	if err != nil {
		return "", corrupt(place, err)
	}
	return string(plain), nil
}

// userKey is a user's key. Neither id has a slash.
func userKey(poolID, userID string) []byte { return []byte(poolID + "/" + userID) }

// maybe is a time that a column may lack.
func maybe(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// utc is the reverse of maybe.
func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

var _ userpool.Store = (*Store)(nil)
