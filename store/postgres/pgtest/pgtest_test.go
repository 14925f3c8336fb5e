//go:build linux

package pgtest_test

import (
	"testing"

	"app2wxapp/store/postgres/pgtest"
)

// A server that is stopped at once has everything when it is back.
func TestRestart(t *testing.T) {
	s := pgtest.Start(t)
	url := pgtest.NewOn(t, s.URL("postgres"))
	pgtest.Exec(t, url, "CREATE TABLE t (n int)")
	s.Stop(t)
	s.Restart(t)
	pgtest.Exec(t, url, "INSERT INTO t VALUES (1)")
}

// Tests have databases of their own in one server.
func TestNew(t *testing.T) {
	for range 2 {
		pgtest.Exec(t, pgtest.New(t), "CREATE TABLE t (n int)")
	}
}

// Databases that begin alike are as the first was made, and each its own.
func TestNewLike(t *testing.T) {
	prepare := func(url string) error {
		pgtest.Exec(t, url, "CREATE TABLE t (n int, b bytea)")
		pgtest.Exec(t, url, "INSERT INTO t VALUES (17, 'prepared')")
		return nil
	}
	first, second := pgtest.NewLike(t, prepare), pgtest.NewLike(t, prepare)
	pgtest.Exec(t, first, "UPDATE t SET b = 'changed'")
	for url, want := range map[string]string{first: "17\nchanged\n", second: "17\nprepared\n"} {
		if got := string(pgtest.Content(t, url)); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}
