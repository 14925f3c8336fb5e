package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

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
func migrate(ctx context.Context, c *pgxpool.Config, o options) (err error) {
	direct, ok := o.directly(c)
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
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120), lock.WithUnlockTimeout(1, 10))
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithTableName(migrationsTable),
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true),
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
