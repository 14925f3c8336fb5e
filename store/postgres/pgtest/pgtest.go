//go:build linux

// Package pgtest gives tests a PostgreSQL.
//
// New returns the URL of an empty database of the test's own. It lies in the
// server that the environment names in APP2WXAPP_TEST_POSTGRES, a URL of a role
// that may create databases; without one, in a cluster that the first test of a
// process makes with the installed initdb, in a temporary folder, and that ends
// with the process; Main also removes it. Where there is neither, tests fail:
// none is skipped.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Env names a server to use instead of a temporary cluster.
const Env = "APP2WXAPP_TEST_POSTGRES"

var shared struct {
	sync.Mutex
	server *Server
}

// patience is how long anything may take on a machine that is busy with other
// things, or stops us for a while.
const patience = 5 * time.Minute

// Main runs a package's tests, removes the cluster that they made, and returns
// what to exit with.
func Main(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		return code
	}
	if err := shared.server.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// New returns the URL of a new database.
func New(t testing.TB) string {
	t.Helper()
	server := os.Getenv(Env)
	if server == "" {
		shared.Lock()
		defer shared.Unlock()
		if shared.server == nil {
			// It outlives the test, and ends with the process.
			s, err := Run()
			if err != nil {
				t.Fatal(err)
			}
			shared.server = s
		}
		// A database in it is not dropped, as that waits for a checkpoint.
		return create(t, shared.server.URL("postgres"), newName())
	}
	return NewOn(t, server)
}

func newName() string { return "test_" + strings.ToLower(rand.Text()[:16]) }

// NewOn is New in the server of that URL. The database is dropped when the test
// ends.
func NewOn(t testing.TB, server string) string {
	t.Helper()
	name := newName()
	url := create(t, server, name)
	t.Cleanup(func() {
		// A server that the test has stopped needs no cleaning.
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if c, err := pgx.Connect(ctx, server); err == nil {
			defer c.Close(ctx)
			if _, err := c.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
				t.Error(err)
			}
		}
	})
	return url
}

func create(t testing.TB, server, name string) string {
	t.Helper()
	Exec(t, server, "CREATE DATABASE "+name)
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// Exec runs a statement in the database of that URL.
func Exec(t testing.TB, url, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, sql, args...); err != nil {
		t.Fatal(err)
	}
}
