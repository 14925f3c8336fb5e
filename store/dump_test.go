//go:build linux

package store_test

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
)

// dump returns a hash of all rows of all tables.
func dump(t testing.TB, url string) string {
	t.Helper()
	c, err := pgx.Connect(ctx, url)
	check(t, err)
	defer c.Close(ctx)
	sum := sha256.New()
	for _, table := range tables(t, url) {
		rows, err := c.Query(ctx, `SELECT t::text FROM `+pgx.Identifier{table}.Sanitize()+` t ORDER BY t::text`)
		check(t, err)
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		check(t, err)
		fmt.Fprint(sum, table, all)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// tables returns the names of all tables.
func tables(t testing.TB, url string) []string {
	t.Helper()
	c, err := pgx.Connect(ctx, url)
	check(t, err)
	defer c.Close(ctx)
	rows, err := c.Query(ctx, `SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename`)
	check(t, err)
	return must[[]string](t)(pgx.CollectRows(rows, pgx.RowTo[string]))
}
