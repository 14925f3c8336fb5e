package postgres

import (
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// What another server's error does not say to be undone is looked after.
func TestUndone(t *testing.T) {
	for _, row := range []struct {
		err                 error
		postgres, elsewhere bool
	}{
		{io.ErrUnexpectedEOF, false, false},
		{&pgconn.ConnectError{}, true, true},
		{&pgconn.PgError{SeverityUnlocalized: "FATAL", Code: "57P01"}, false, false},
		{&pgconn.PgError{SeverityUnlocalized: "ERROR", Code: statementCompletionUnknown}, false, false},
		{&pgconn.PgError{SeverityUnlocalized: "ERROR", Code: serializationFailure}, true, true},
		{&pgconn.PgError{SeverityUnlocalized: "ERROR", Code: uniqueViolation}, true, true},
		{corrupt("tickets", &pgconn.PgError{SeverityUnlocalized: "ERROR", Code: divisionByZero}), true, true},
		{&pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "XX000"}, true, false},
		{&pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "57014"}, true, false},
	} {
		if got := (&Store{postgres: true}).undone(row.err); got != row.postgres {
			t.Errorf("PostgreSQL, %#v: %v, want %v", row.err, got, row.postgres)
		}
		if got := (&Store{}).undone(row.err); got != row.elsewhere {
			t.Errorf("elsewhere, %#v: %v, want %v", row.err, got, row.elsewhere)
		}
	}
}
