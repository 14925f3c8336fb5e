//go:build linux

// Package pgtest gives tests a PostgreSQL.
//
// New returns the URL of an empty database of the test's own. It lies in the
// server that the environment names in APP2WXAPP_TEST_POSTGRES, a URL of a role
// that may create databases; without one, in a cluster that the first test of a
// process makes with the installed initdb, in a temporary folder, and that ends
// with the process; Main also removes it. Where there is neither, tests fail:
// none is skipped.
//
// NewLike is New for databases that all begin alike.
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
	server   *Server
	template string // NewLike's, "" until it is made
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
	if server := os.Getenv(Env); server != "" {
		return NewOn(t, server)
	}
	// A database in it is not dropped, as that waits for a checkpoint.
	return create(t, sharedServer(t).URL("postgres"), newName())
}

// NewLike returns the URL of a new database that is as prepare leaves one, given
// its URL. A process calls prepare once and copies what it made, so that each
// call must mean the same; only in a server that the environment names it is
// called for each.
func NewLike(t testing.TB, prepare func(url string) error) string {
	t.Helper()
	if server := os.Getenv(Env); server != "" {
		url := NewOn(t, server)
		if err := prepare(url); err != nil {
			t.Fatal(err)
		}
		return url
	}
	server := sharedServer(t).URL("postgres")
	return create(t, server, newName()+" TEMPLATE "+template(t, server, prepare))
}

func template(t testing.TB, server string, prepare func(url string) error) string {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.template == "" {
		name := newName()
		if err := prepare(create(t, server, name)); err != nil {
			t.Fatal(err)
		}
		shared.template = name
	}
	return shared.template
}

// sharedServer returns the process's cluster. It outlives the test, and ends
// with the process.
func sharedServer(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s, err := Run()
		if err != nil {
			t.Fatal(err)
		}
		shared.server = s
	}
	return shared.server
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

// create makes a database; after its name may stand what else SQL has to say.
func create(t testing.TB, server, name string) string {
	t.Helper()
	Exec(t, server, "CREATE DATABASE "+name)
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ = strings.Cut(name, " ")
	u.Path = "/" + name
	return u.String()
}

// Exec runs a statement in the database of that URL.
func Exec(t testing.TB, url, sql string, args ...any) {
	t.Helper()
	one(t, url, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, sql, args...)
		return err
	})
}

// Content returns all that the tables of a database hold, value after value;
// bytes are as they are.
func Content(t testing.TB, url string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	rows, err := c.Query(ctx, `SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, table := range tables {
		rows, err := c.Query(ctx, "SELECT * FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				if b, ok := v.([]byte); ok {
					all = append(all, b...)
				} else {
					all = fmt.Append(all, v)
				}
				all = append(all, '\n')
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
