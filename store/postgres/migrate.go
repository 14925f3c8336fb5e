package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

const migrationsTable = "app2wxapp_migrations"

// migrate brings the tables up to this version. Of processes that start at once
// one does so, and the others wait. Behind a pooler, where a lock does not stay
// with its connection, it goes around it, or only looks.
func (s *Store) migrate(ctx context.Context, c *pgxpool.Config) (err error) {
	direct, ok := s.options.directly(c)
	if !ok {
		direct = c.ConnConfig.Copy()
	}
	for _, limit := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
		delete(direct.RuntimeParams, limit) // a migration may take its time
	}
	db := stdlib.OpenDB(*direct)
	defer func() { err = errors.Join(err, db.Close()) }()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if !s.postgres {
		files = elsewhere{files}
	}
	locker, err := s.migrationLock()
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithTableName(migrationsTable),
		locker, goose.WithDisableGlobalRegistry(true),
		goose.WithAllowOutofOrder(true)) // those that came later with a lower number are made up for
	if err != nil {
		return err
	}
	there, known, err := p.GetVersions(ctx)
	switch {
	case err != nil:
		return err
	case there > known:
		return fmt.Errorf("a newer app2wxapp made its tables (version %d, this one knows %d); start that version again", there, known)
	}
	pending, err := p.HasPending(ctx)
	switch {
	case err != nil:
		return err
	case !pending:
		return nil
	case !ok:
		return errors.New("its tables are to be made or changed, which does not go through a pooler; add direct=host:port, the server itself, to store.url")
	}
	_, err = p.Up(ctx)
	return err
}

// migrationLock is a session's advisory lock, which ends with its connection, or
// elsewhere, where that may be nothing, a row that counts as locked while its
// holder says so every five seconds.
func (s *Store) migrationLock() (goose.ProviderOption, error) {
	if s.postgres {
		l, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120), lock.WithUnlockTimeout(1, 10))
		return goose.WithSessionLocker(l), err
	}
	l, err := lock.NewPostgresTableLocker(lock.WithTableName(migrationsTable+"_lock"), lock.WithTableLogger(s.log),
		lock.WithTableLockTimeout(time.Second, 120), lock.WithTableUnlockTimeout(time.Second, 10))
	return goose.WithLocker(l), err
}
