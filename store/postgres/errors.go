package postgres

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"app2wxapp/userpool"
)

var (
	errBusy   = fmt.Errorf("%w: too many calls wait for PostgreSQL", userpool.ErrUnavailable)
	errClosed = fmt.Errorf("%w: closed", userpool.ErrUnavailable)
	errNoUser = errors.New("another record names a user who is not there")
)

// failed is the error of a statement, or of what read its rows.
func failed(what string, err error) error {
	if errors.Is(err, userpool.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", userpool.ErrUnavailable, what, err)
}

// corrupt is the error of a record that is there and cannot be read.
func corrupt(table string, err error) error {
	return fmt.Errorf("%w: damaged record in %s: %w", userpool.ErrUnavailable, table, err)
}

// undone tells whether a statement that failed has certainly changed nothing:
// it was not sent, or the server refused it. Of one whose connection broke, or
// was ended by the server (which may do so after a commit), nothing is known.
func undone(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.SeverityUnlocalized == "ERROR" && pg.Code != statementCompletionUnknown
	}
	var connect *pgconn.ConnectError
	return pgconn.SafeToRetry(err) || errors.As(err, &connect)
}

// lost tells whether the connection broke under a statement, which is no reason
// not to try it on another one if that is safe. That none can be had is.
func lost(err error) bool {
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	var network net.Error
	switch {
	case errors.As(err, &connect):
		return false
	case errors.As(err, &pg):
		return pg.SeverityUnlocalized != "ERROR"
	}
	return pgconn.SafeToRetry(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network)
}

// SQLSTATEs, https://www.postgresql.org/docs/current/errcodes-appendix.html.
const (
	statementCompletionUnknown = "40003"
	serializationFailure       = "40001"
	deadlockDetected           = "40P01"
	uniqueViolation            = "23505"
	divisionByZero             = "22012"
)

// collided tells whether the statement lost against others that ran at the same
// time, and may win the next time.
func collided(err error) bool {
	code := sqlState(err)
	return code == serializationFailure || code == deadlockDetected
}

// refused tells whether the statement itself, or what it was given, is at
// fault, rather than the state of the server: classes 22, 23 and 42.
func refused(err error) bool {
	code := sqlState(err)
	return code != "" && (code[:2] == "22" || code[:2] == "23" || code[:2] == "42")
}

func isNone(err error) bool { return errors.Is(err, pgx.ErrNoRows) }

func taken(err error) bool { return sqlState(err) == uniqueViolation }

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
