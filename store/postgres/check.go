package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func newEpoch() []byte {
	var epoch [16]byte
	rand.Read(epoch[:])
	return epoch[:]
}

// safe are the settings without which an answer may be forgotten, and what is
// wrong about them.
var safe = []struct{ name, bad, why string }{
	{"fsync", "off", "a power cut would lose redemptions that were answered"},
	{"full_page_writes", "off", "a power cut would tear pages"},
	{"synchronous_commit", "off", "a crash would lose redemptions that were answered"},
	{"zero_damaged_pages", "on", "damaged tickets would read as unknown"},
}

const checkServer = `
SELECT current_setting('fsync', true), current_setting('full_page_writes', true),
       current_setting('synchronous_commit', true), current_setting('zero_damaged_pages', true),
       pg_is_in_recovery()`

// checkServer refuses a connection whose server may forget what it says, or
// cannot write. It is asked of each: behind a name may be another server now.
// Elsewhere such settings do not exist, or mean nothing.
func (s *Store) checkServer(ctx context.Context, c *pgx.Conn) error {
	if !s.postgres {
		return nil
	}
	values, standby := make([]*string, len(safe)), false
	if err := c.QueryRow(ctx, checkServer).Scan(&values[0], &values[1], &values[2], &values[3], &standby); err != nil {
		return err
	}
	if standby {
		return errors.New("the server is a standby, which takes no writes; give the primary's address, or add target_session_attrs=read-write to store.url")
	}
	for i, setting := range safe {
		if values[i] != nil && *values[i] == setting.bad && !s.options.unchecked {
			return fmt.Errorf("the server runs with %s=%s: %s; change it, or add durability=unchecked to store.url to put up with it",
				setting.name, setting.bad, setting.why)
		}
	}
	return nil
}

// Tables that a crash may empty are not among those that are looked for.
const checkDatabase = `
SELECT current_setting('data_checksums', true) = 'off',
       current_setting('synchronous_standby_names', true) = '' AND EXISTS (SELECT 1 FROM pg_stat_replication),
       (SELECT min(relname) FROM pg_class WHERE relpersistence = 'u' AND relkind IN ('r', 'p') AND pg_table_is_visible(oid)
        AND relname IN ('meta', 'pools', 'users', 'identities', 'access', 'tickets', 'revoked', 'signing_keys',
                        'audit', 'audit_end', 'sessions', 'pictures', 'picture_holders', 'unfinished',
                        'recipients', 'passwords', 'totp'))`

// warn refuses tables that a crash empties, and logs what an operator should
// know.
func (s *Store) warn(ctx context.Context, c *pgxpool.Config) error {
	if !s.postgres {
		s.log.Warn("store: the server is not PostgreSQL itself: app2wxapp is written for CockroachDB and YugabyteDB, too, and was not tested on them")
	} else if err := s.warnOfDatabase(ctx); err != nil {
		return err
	}
	if c.ConnConfig.TLSConfig == nil && !local(c.ConnConfig.Host) {
		s.log.Warn("store: no TLS to PostgreSQL on another host; add sslmode=verify-full to store.url")
	}
	return nil
}

func (s *Store) warnOfDatabase(ctx context.Context) error {
	var noChecksums, async *bool
	var unlogged *string
	if err := s.pool.QueryRow(ctx, checkDatabase).Scan(&noChecksums, &async, &unlogged); err != nil {
		return err
	}
	yes := func(b *bool) bool { return b != nil && *b }
	if unlogged != nil && !s.options.unchecked {
		return fmt.Errorf("the table %[1]s is UNLOGGED: a crash would empty it; run ALTER TABLE %[1]s SET LOGGED", *unlogged)
	}
	if yes(noChecksums) {
		s.log.Warn("store: PostgreSQL runs without data checksums: a damaged disk page would not be noticed; see pg_checksums")
	}
	if yes(async) {
		s.log.Warn("store: PostgreSQL's replicas are asynchronous: a failover loses redemptions that were answered; see synchronous_standby_names")
	}
	return nil
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return strings.HasPrefix(host, "/") || host == "localhost" || ip != nil && ip.IsLoopback()
}
