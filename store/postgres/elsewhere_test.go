//go:build linux

package postgres_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/store/move"
	"app2wxapp/store/postgres"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/storetest"
	"app2wxapp/store/storetest/load"
)

// another is a database that says it is another server's, and refuses what that
// one lacks.
func another(t *testing.T) string {
	t.Helper()
	url := pgtest.New(t)
	pgtest.Exec(t, url, `
CREATE FUNCTION public.version() RETURNS text LANGUAGE sql AS $$ SELECT 'CockroachDB CCL v25.2.0 (x86_64-pc-linux-gnu)' $$;
CREATE FUNCTION lacks() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'there is no such function here'; END $$;
CREATE FUNCTION public.pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS 'SELECT lacks()::text::void';
CREATE FUNCTION public.pg_advisory_lock(bigint) RETURNS void LANGUAGE sql AS 'SELECT lacks()::text::void';
CREATE FUNCTION public.pg_try_advisory_lock(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT lacks() = 0';
CREATE FUNCTION public.hashtextextended(text, bigint) RETURNS bigint LANGUAGE sql AS 'SELECT lacks()';
CREATE FUNCTION public.pg_notify(text, text) RETURNS void LANGUAGE sql AS 'SELECT lacks()::text::void';
CREATE FUNCTION public.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT lacks() = 0';
CREATE FUNCTION public.current_setting(text, boolean) RETURNS text LANGUAGE sql AS 'SELECT lacks()::text';
CREATE FUNCTION public.array_position(anycompatiblearray, anycompatible) RETURNS integer LANGUAGE sql AS 'SELECT lacks()::integer'`)
	return url + "&search_path=public,pg_catalog"
}

// The contract holds without anything that only PostgreSQL has.
func TestContractElsewhere(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, another(t)) })
	url := another(t)
	race(t, 50, []load.Store{open(t, url), open(t, url)})
}

// asked returns the rows of a statement with one column.
func asked(t *testing.T, url, sql string) []string {
	t.Helper()
	c, err := pgx.Connect(ctx, url)
	check(t, err)
	defer c.Close(ctx)
	rows, err := c.Query(ctx, sql)
	check(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	check(t, err)
	return list
}

// special is what tells PostgreSQL how to store a table.
const special = `
SELECT relname || ' ' || reloptions::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
UNION ALL
SELECT relname || ' is unlogged' FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relpersistence <> 'p'
UNION ALL
SELECT a.attrelid::regclass || '.' || a.attname || ' has a collation or a storage of its own'
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
  AND (a.attcollation <> t.typcollation OR a.attstorage <> t.typstorage)`

// Elsewhere tables are made with nothing that only PostgreSQL knows, by one of
// those that start at once, whatever was cut off before; and nobody listens.
func TestTablesElsewhere(t *testing.T) {
	plain, url := pgtest.New(t), another(t)
	open(t, plain)
	if len(asked(t, plain, special)) == 0 {
		t.Error("nothing is special in PostgreSQL: the look proves nothing")
	}
	for _, before := range []string{``, `DELETE FROM app2wxapp_migrations WHERE version_id > 0`} {
		pgtest.Exec(t, url, before)
		openAtOnce(t, 3, url)
	}
	for _, what := range asked(t, url, special) {
		t.Error(what)
	}
	columns := `SELECT table_name || '.' || column_name || ' ' || replace(data_type, 'tid', 'text') || ' ' || is_nullable || coalesce(' ' || column_default, '')
		FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'app2wxapp_migrations_lock' ORDER BY 1`
	indexes := `SELECT replace(indexdef, ' COLLATE "C"', '') FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'app2wxapp_migrations_lock' ORDER BY 1`
	for _, sql := range []string{columns, indexes} {
		if got, want := asked(t, url, sql), asked(t, plain, sql); !slices.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	}
}

// Where rows lie is spoken of to PostgreSQL only. (What issues a ticket is cut off in
// what the server shows, and would not fit the columns there.)
func TestNoPlacesElsewhere(t *testing.T) {
	const sent = `SELECT query FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%ctid%' AND pid <> pg_backend_pid()`
	for _, where := range []struct {
		url      string
		postgres bool
	}{{pgtest.New(t), true}, {another(t), false}} {
		s := open(t, where.url)
		seed(t, s)
		seen := false
		for i := 0; i < 20 && !seen; i++ {
			check(t, second(s.RedeemTicket(ctx, attempt(issue(t, s, "u", i), "j"))))
			seen = len(asked(t, where.url, sent)) > 0
		}
		if seen != where.postgres {
			t.Errorf("PostgreSQL: %v, ctid in what was sent: %v", where.postgres, seen)
		}
	}
}

// A change is in force everywhere within a second without notifications.
func TestSettingsInForceElsewhere(t *testing.T) {
	url := another(t)
	a, b := open(t, url), open(t, url)
	seed(t, a)
	inForce(t, "a new pool is known", called(b, "示例"))
	rename(t, a, "new")
	inForce(t, "a change is in force", called(b, "new"))
	if n := asked(t, url, `SELECT query FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`); len(n) > 0 {
		t.Errorf("somebody listens: %v", n)
	}
}

// A store is moved to another server, and from it.
func TestMoveElsewhere(t *testing.T) {
	from := pgtest.New(t)
	s, err := postgres.Open(config(from + patient))
	check(t, err)
	seed(t, s)
	check(t, s.Close())
	to := another(t)
	for _, way := range [][2]string{{from, to}, {to, pgtest.New(t)}} {
		src, err := postgres.OpenSource(ctx, config(way[0]+patient))
		check(t, err)
		dst, err := postgres.OpenDestination(ctx, config(way[1]+patient))
		check(t, err)
		_, err = move.Run(ctx, src, dst, func() audit.Event { return audit.Event{At: t0, Type: audit.RedeemRefused} }, func(move.Progress) {})
		check(t, err)
		check(t, src.Close())
		check(t, dst.Close())
	}
}
