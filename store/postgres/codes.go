package postgres

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/userpool"
)

// claim is a one-time code to be remembered.
type claim struct {
	code userpool.CodeKey
	now  time.Time
}

// alone keeps two claims of one code out of one statement, which could not tell
// whose it is.
func (c claim) alone() string { return string(c.code[:]) }

// ClaimCode implements userpool.Codes. It waits for no disk: the table is
// UNLOGGED, which a crash of PostgreSQL empties.
func (s *Store) ClaimCode(ctx context.Context, k userpool.CodeKey, now time.Time) (fresh bool, err error) {
	return s.claims.do(ctx, claim{k, now})
}

// A code that is there and over is claimed like a new one.
var claimCodes = fmt.Sprintf(`
INSERT INTO codes AS c (code, until)
SELECT code, now + interval '%[1]d seconds' FROM unnest($1::bytea[], $2::timestamptz[]) AS q(code, now)
ON CONFLICT (code) DO UPDATE SET until = excluded.until WHERE c.until <= excluded.until - interval '%[1]d seconds'
RETURNING code`, int(userpool.CodeMemory/time.Second))

// claim claims the codes of all calls by one statement. All processes lock codes
// in the same order. If it is unknown whether they were claimed they are not
// sent: the users get others.
func (s *Store) claim(calls []*call[claim, bool]) {
	ctx, cancel := s.bounded(context.Background())
	defer cancel()
	slices.SortFunc(calls, func(a, b *call[claim, bool]) int { return bytes.Compare(a.ask.code[:], b.ask.code[:]) })
	code, now := make([][]byte, len(calls)), make([]time.Time, len(calls))
	for i, c := range calls {
		code[i], now[i] = c.ask.code[:], c.ask.now
	}
	claimed, err := write(ctx, s, "claim codes", claimCodes, []any{code, now}, pgx.RowTo[[]byte])
	fresh := map[string]bool{}
	for _, k := range claimed {
		fresh[string(k)] = true
	}
	for _, c := range calls {
		c.answer, c.err = fresh[string(c.ask.code[:])], err
	}
}

// ReleaseCode implements userpool.Codes.
func (s *Store) ReleaseCode(ctx context.Context, k userpool.CodeKey) error {
	_, err := write(ctx, s, "release code", `DELETE FROM codes WHERE code = $1 RETURNING 1`, []any{k[:]}, exists)
	return err
}
