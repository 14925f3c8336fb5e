//go:build linux

package postgres_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"app2wxapp/audit"
	"app2wxapp/store/move"
	"app2wxapp/store/postgres"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/storetest"
)

// Whoever adds a table says whether it is moved, by a line in kinds and a name
// in occupied, or here.
func TestEveryTableIsMoved(t *testing.T) {
	url := pgtest.New(t)
	open(t, url)
	c, err := pgx.Connect(ctx, url)
	check(t, err)
	defer c.Close(ctx)
	rows, err := c.Query(ctx, `SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`)
	check(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	check(t, err)
	known := []string{
		"meta", "app2wxapp_migrations", // each store's own
		"codes", "counted", // what replicas tell each other, of the last minutes
		"recipients",           // their codes last five minutes; how many were sent a day is counted anew
		"unfinished",           // lasts ten minutes, and not into another epoch
		"access", "identities", // with the users
		"pools", "signing_keys", "users", "tickets", "revoked", "sessions", "pictures", "picture_holders", "passwords", "totp",
		"audit", "audit_end",
	}
	for _, table := range tables {
		if !slices.Contains(known, table) {
			t.Errorf("table %s is not moved: give it a line in kinds", table)
		}
	}
}

// A migration that came to the program with a lower number than the last one of a
// database is made up for, by a server and not by a move.
func TestMigrationOutOfOrder(t *testing.T) {
	url := pgtest.New(t)
	s, err := postgres.Open(config(url + patient))
	check(t, err)
	check(t, s.Close())
	pgtest.Exec(t, url, `DROP TABLE recipients; ALTER TABLE unfinished DROP COLUMN codes; ALTER TABLE users DROP COLUMN email;
		DELETE FROM app2wxapp_migrations WHERE version_id = 8`)
	if _, err := postgres.OpenSource(ctx, config(url+patient)); err == nil || !strings.Contains(err.Error(), "start this one's server on it once") {
		t.Errorf("moved from: %v", err)
	}
	s, err = postgres.Open(config(url + patient))
	check(t, err)
	check(t, s.CreatePool(ctx, storetest.Pool("p"), audit.Event{}))
	check(t, s.CreateUser(ctx, storetest.User("p", "u")))
	check(t, s.Close())
}

// A source of other tables than this version's is refused, and not changed.
func TestSourceOfAnotherVersion(t *testing.T) {
	for name, row := range map[string]struct{ sql, want string }{
		"newer":   {`INSERT INTO app2wxapp_migrations (version_id, is_applied) VALUES (99, true)`, "a newer app2wxapp"},
		"earlier": {`DELETE FROM app2wxapp_migrations WHERE version_id = (SELECT max(version_id) FROM app2wxapp_migrations)`, "start this one's server on it once"},
		"none":    {`DROP TABLE app2wxapp_migrations`, "no store of app2wxapp"},
	} {
		url := pgtest.New(t)
		s, err := postgres.Open(config(url + patient))
		check(t, err)
		check(t, s.Close())
		pgtest.Exec(t, url, row.sql)
		_, err = postgres.OpenSource(ctx, config(url+patient))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want a refusal with %q", name, err, row.want)
		}
	}
}

// Whatever the deny-list has, it is read to its end, in pages of any size: also
// entries with parts of a second, which the keys do not have.
func TestSourceReadsDenyList(t *testing.T) {
	url := pgtest.New(t)
	s, err := postgres.Open(config(url + patient))
	check(t, err)
	check(t, s.Close())
	pgtest.Exec(t, url, `INSERT INTO revoked (expires_at, jti) VALUES
		('2026-11-20 08:30:00.7+00', 'b'), ('2026-11-20 08:30:00.2+00', 'c'), ('2026-11-20 08:30:00+00', 'a'), ('2026-11-20 08:30:00.9+00', 'c'),
		('2026-11-20 08:30:01+00', 'a'), ('2026-11-20 08:30:03.5+00', 'a'), ('2026-11-20 08:30:03.25+00', 'b')`)
	src, err := postgres.OpenSource(ctx, config(url+patient))
	check(t, err)
	defer src.Close()
	want := "0a 0b 0c 1a 3a 3b"
	for limit := 1; limit <= 8; limit++ {
		got, after := "", ""
		for range 10 {
			page, err := src.Read(ctx, move.Revoked, after, limit)
			check(t, err)
			if len(page) == 0 {
				break
			}
			if len(page) > limit {
				t.Errorf("%d entries, %d at most were asked for", len(page), limit)
			}
			for _, r := range page {
				after = r.Key
				got += fmt.Sprint(" ", int64(binary.BigEndian.Uint64([]byte(after)))-t0.Unix(), after[8:])
			}
		}
		if got := strings.TrimSpace(got); got != want {
			t.Errorf("%d at a time: %s, want %s", limit, got, want)
		}
	}
}

// Indexes that do not fit the users are noticed.
func TestSourceChecks(t *testing.T) {
	for name, sql := range map[string]string{
		"an identity too many": `INSERT INTO identities (openid, pool_id, user_id) VALUES ('\x01', 'p', 'u')`,
		"an identity gone":     `DELETE FROM identities WHERE openid = (SELECT openid FROM identities LIMIT 1)`,
		"access without user":  `INSERT INTO access (pool_id, user_id, blocked, logins) VALUES ('p', 'x', false, 0)`,
		"user without access":  `DELETE FROM access`,
		"another's unionid":    `UPDATE users SET unionid = '\x01'`,
		"no phone":             `UPDATE users SET phone = NULL`,
	} {
		url := pgtest.New(t)
		s, err := postgres.Open(config(url + patient))
		check(t, err)
		check(t, s.CreatePool(ctx, storetest.Pool("p"), audit.Event{}))
		check(t, s.CreateUser(ctx, storetest.User("p", "u")))
		check(t, s.Close())
		pgtest.Exec(t, url, sql)
		src, err := postgres.OpenSource(ctx, config(url+patient))
		check(t, err)
		if _, err := move.Look(ctx, src, func(int) {}); err == nil {
			t.Errorf("%s: not noticed", name)
		}
		check(t, src.Close())
	}
}
