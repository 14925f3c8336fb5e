package postgres

import (
	"context"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// CockroachDB and YugabyteDB speak PostgreSQL's language and lack parts of it.
// What the statements need all of them have; where something is only in
// PostgreSQL itself, Store.postgres decides, and what takes its place is here.

// isPostgres asks the server what it is.
func isPostgres(ctx context.Context, config *pgx.ConnConfig) (bool, error) {
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close(ctx) }()
	var version string
	err = c.QueryRow(ctx, `SELECT version()`).Scan(&version)
	return strings.HasPrefix(version, "PostgreSQL ") && !strings.Contains(version, "-YB-"), err
}

// elsewhere is the migrations for another server: without what tells PostgreSQL
// how to store a table, and byte order, which others have unasked. Changes of
// tables are no part of a transaction there, so each statement stands alone and
// may run again after one that was cut off.
type elsewhere struct{ fs.FS }

var (
	storage = regexp.MustCompile(`\) WITH \([^)]*\)|ALTER TABLE \w+ SET \([^)]*\);|ALTER TABLE \w+ ALTER COLUMN \w+ SET STORAGE \w+;`)

	portable = strings.NewReplacer(
		` COLLATE "C"`, ``,
		`CREATE UNLOGGED TABLE `, `CREATE TABLE IF NOT EXISTS `,
		`CREATE TABLE `, `CREATE TABLE IF NOT EXISTS `,
		`CREATE INDEX `, `CREATE INDEX IF NOT EXISTS `,
		`CREATE UNIQUE INDEX `, `CREATE UNIQUE INDEX IF NOT EXISTS `,
		`ADD COLUMN `, `ADD COLUMN IF NOT EXISTS `,
		`_place tid`, `_place text`, // stays empty
		`DEFAULT VALUES`, `DEFAULT VALUES ON CONFLICT DO NOTHING`,
	)
)

// Open implements fs.FS.
func (e elsewhere) Open(name string) (fs.File, error) {
	f, err := e.FS.Open(name)
	if err != nil || path.Ext(name) != ".sql" {
		return f, err
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	sql := storage.ReplaceAllStringFunc(string(b), func(s string) string {
		if strings.HasPrefix(s, ")") {
			return ")" // the end of the columns
		}
		return ""
	})
	return migration{f, strings.NewReader("-- +goose NO TRANSACTION\n" + portable.Replace(sql))}, nil
}

// migration is a file with another text.
type migration struct {
	fs.File
	text *strings.Reader
}

func (m migration) Read(p []byte) (int, error) { return m.text.Read(p) }

// lockRow makes whoever writes the same row wait until the transaction ends. It is
// swept like the codes beside it.
const lockRow = `
INSERT INTO codes (code, until) VALUES ($1, now() + interval '5 minutes')
ON CONFLICT (code) DO UPDATE SET until = excluded.until`

// locking is a statement that lets one transaction at a time go on, until it
// ends: PostgreSQL's advisory lock, or elsewhere, where that may be nothing, the
// lock of a row with that key.
func (s *Store) locking(key []byte, advisory string, args ...any) (string, []any) {
	if s.postgres {
		return advisory, args
	}
	return lockRow, []any{key}
}

// undone tells whether a statement that failed has certainly changed nothing. Of
// another server's errors that is only said of those that name the reason.
func (s *Store) undone(err error) bool {
	return undone(err) && (s.postgres || sqlState(err) == "" || collided(err) || refused(err))
}
