package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/userpool"
)

const (
	// answerTime is how much longer a call of the store may take than its
	// statement, so that the server says what became of it.
	answerTime = 2 * time.Second
	// tries is how often something is done that others were in the way of.
	tries = 5
)

// bounded returns a context for the statements of one call. They run to their
// end even if the caller goes: to break one off costs its connection, and
// callers come and go as they please.
func (s *Store) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.options.timeout+answerTime)
}

// transaction runs do in a transaction. If others were in its way, or the
// connection broke before the commit was sent, nothing has been changed and it
// runs again; so do may be called more than once. Its own errors are returned
// as they are. A commit whose outcome is unknown is userpool.ErrUnavailable.
func (s *Store) transaction(ctx context.Context, do func(context.Context, pgx.Tx) error) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var err error
	for range tries {
		var again bool
		if err, again = s.tryTransaction(ctx, do); !again || ctx.Err() != nil {
			return err
		}
		s.metrics.retries.Inc()
	}
	return err
}

// errAgain is what do returns if what it read has changed meanwhile.
var errAgain = errors.New("what was read has changed")

func (s *Store) tryTransaction(ctx context.Context, do func(context.Context, pgx.Tx) error) (err error, again bool) {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return failed("begin", err), lost(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // does nothing after a commit
	if err := do(ctx, tx); err != nil {
		if errors.Is(err, errAgain) {
			return failed("changed", err), true
		}
		return err, errors.Is(err, userpool.ErrUnavailable) && (collided(err) || lost(err))
	}
	if err := tx.Commit(ctx); err != nil {
		return failed("commit", err), collided(err)
	}
	return nil, false
}

// read runs a statement that changes nothing and returns its rows.
func read[T any](ctx context.Context, s *Store, what, sql string, args []any, scan pgx.RowToFunc[T]) ([]T, error) {
	return once(ctx, s, what, sql, args, scan, func(err error) bool { return collided(err) || lost(err) })
}

// write runs a statement that is a transaction of its own and returns its rows.
// It runs again only if it has certainly changed nothing.
func write[T any](ctx context.Context, s *Store, what, sql string, args []any, scan pgx.RowToFunc[T]) ([]T, error) {
	return once(ctx, s, what, sql, args, scan, func(err error) bool { return undone(err) && (collided(err) || lost(err)) })
}

func once[T any](ctx context.Context, s *Store, what, sql string, args []any, scan pgx.RowToFunc[T], again func(error) bool) ([]T, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	for try := 1; ; try++ {
		rows, err := s.pool.Query(ctx, sql, args...)
		var all []T
		if err == nil {
			// An answer counts when all of it is there: an error after the last
			// row is one, too.
			all, err = pgx.CollectRows(rows, scan)
		}
		switch {
		case err == nil:
			return all, nil
		case try == tries, ctx.Err() != nil, !again(err):
			return nil, failed(what, err)
		}
		s.metrics.retries.Inc()
	}
}

// exists is for statements of which only counts whether they return a row.
func exists(pgx.CollectableRow) (struct{}, error) { return struct{}{}, nil }
