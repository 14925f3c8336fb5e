package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/store/move"
	"app2wxapp/store/record"
	"app2wxapp/token"
)

const sessionColumns = `s.id, s.pool_id, s.user_id, s.kind, s.scope, s.created_at, s.expires_at, s.ended, s.jti, s.token_ends_at, s.family, s.refresh`

// scanSession reads sessionColumns, and what follows into more.
func scanSession(r pgx.Row, more ...any) (s token.Session, err error) {
	var kind int16
	var family, refresh []byte
	err = r.Scan(append([]any{&s.ID, &s.PoolID, &s.UserID, &kind, &s.Scope, &s.CreatedAt, &s.ExpiresAt, &s.Ended, &s.JTI, &s.TokenEnd, &family, &refresh}, more...)...)
	if err != nil {
		return s, err
	}
	if len(family) != len(s.Family) || len(refresh) != len(s.Refresh) {
		return s, corrupt("sessions", errors.New("a hash is cut off"))
	}
	s.Kind = token.Kind(kind) // #nosec G115 -- it was one
	s.CreatedAt, s.ExpiresAt, s.TokenEnd = s.CreatedAt.UTC(), s.ExpiresAt.UTC(), s.TokenEnd.UTC()
	copy(s.Family[:], family)
	copy(s.Refresh[:], refresh)
	return s, nil
}

const insertSession = `
INSERT INTO sessions (id, pool_id, user_id, kind, scope, created_at, expires_at, ended, jti, token_ends_at, family, refresh)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (id) `

func sessionValues(s token.Session) []any {
	return []any{s.ID, s.PoolID, s.UserID, int16(s.Kind), s.Scope, s.CreatedAt, s.ExpiresAt, s.Ended, s.JTI, s.TokenEnd, s.Family[:], s.Refresh[:]}
}

// CreateSession implements token.Store. One statement makes it or finds that it
// is there, so that it may run again when nobody knows what became of it.
func (s *Store) CreateSession(ctx context.Context, made token.Session) error {
	stored, err := read(ctx, s, "create session", insertSession+`DO NOTHING RETURNING 1`, sessionValues(made), exists)
	if err != nil || len(stored) > 0 {
		return err
	}
	there, err := s.Session(ctx, made.ID)
	switch {
	case err != nil:
		return err
	case there.Ended, there.Refresh != made.Refresh, there.PoolID != made.PoolID:
		return token.ErrSession
	}
	return nil
}

// Session implements token.Store.
func (s *Store) Session(ctx context.Context, id string) (token.Session, error) {
	found, err := read(ctx, s, "read session", `SELECT `+sessionColumns+` FROM sessions s WHERE s.id = $1`, []any{id},
		func(r pgx.CollectableRow) (token.Session, error) { return scanSession(r) })
	switch {
	case err != nil:
		return token.Session{}, err
	case len(found) == 0:
		return token.Session{}, token.ErrSession
	}
	return found[0], nil
}

const (
	lockSession = `
SELECT ` + sessionColumns + `, a.blocked, a.not_before
FROM sessions s JOIN access a ON a.pool_id = s.pool_id AND a.user_id = s.user_id
WHERE s.id = $1
FOR UPDATE OF a, s`

	rotateSession = `UPDATE sessions SET refresh = $2, expires_at = $3, jti = $4, token_ends_at = $5 WHERE id = $1`

	endSession = `UPDATE sessions SET ended = true WHERE id = $1`

	// The deny-list knows whole seconds, as tokens do.
	denyToken = `INSERT INTO revoked (expires_at, jti) VALUES (date_trunc('second', $1::timestamptz), $2) ON CONFLICT DO NOTHING`
)

// RotateSession implements token.Store.
func (s *Store) RotateSession(ctx context.Context, r token.Rotation) (rotated token.Session, err error) {
	var reused bool
	err = s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		reused = false
		var blocked bool
		var notBefore *time.Time
		old, err := scanSession(tx.QueryRow(ctx, lockSession, r.SessionID), &blocked, &notBefore)
		if isNone(err) {
			return s.whyNoSession(ctx, tx, r.SessionID)
		}
		if err != nil {
			return failed("lock session", err)
		}
		err = old.Judge(r, blocked, utc(notBefore))
		if errors.Is(err, token.ErrReused) {
			reused = true
			if _, err := tx.Exec(ctx, endSession, old.ID); err != nil {
				return failed("end session", err)
			}
			return s.record(ctx, tx, r.Reused(old))
		}
		if err != nil {
			return err
		}
		rotated = old.Rotated(r)
		var b pgx.Batch
		b.Queue(rotateSession, rotated.ID, rotated.Refresh[:], rotated.ExpiresAt, rotated.JTI, rotated.TokenEnd)
		if r.RevokePrevious {
			b.Queue(denyToken, old.TokenEnd, old.JTI)
		}
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return failed("rotate session", err)
		}
		return nil
	})
	switch {
	case err != nil:
		return token.Session{}, err
	case reused:
		return token.Session{}, token.ErrReused
	}
	return rotated, nil
}

// whyNoSession returns ErrSession, unless it is the session's user who is not
// there.
func (s *Store) whyNoSession(ctx context.Context, tx pgx.Tx, id string) error {
	tag, err := tx.Exec(ctx, `SELECT 1 FROM sessions WHERE id = $1`, id)
	switch {
	case err != nil:
		return failed("read session", err)
	case tag.RowsAffected() > 0:
		return corrupt("sessions", errNoUser)
	}
	return token.ErrSession
}

// EndSession implements token.Store.
func (s *Store) EndSession(ctx context.Context, poolID, id string) error {
	_, err := read(ctx, s, "end session", endSession+` AND pool_id = $2 AND NOT ended`, []any{id, poolID}, exists)
	return err
}

// RevokeToken implements token.Store.
func (s *Store) RevokeToken(ctx context.Context, jti string, expiresAt time.Time) error {
	_, err := read(ctx, s, "revoke token", denyToken, []any{expiresAt, jti}, exists)
	return err
}

// entomb ends the session that the replayed ticket's token belongs to; if it has
// none yet, none will begin.
func (s *Store) entomb(ctx context.Context, tx pgx.Tx, grave token.Session) error {
	if _, err := tx.Exec(ctx, insertSession+`DO UPDATE SET ended = true`, sessionValues(grave)...); err != nil {
		return failed("end session", err)
	}
	return nil
}

func (s *Store) scanMovedSession(r pgx.CollectableRow) (move.Record, error) {
	session, err := scanSession(r)
	return move.Record{Key: session.ID, Value: string(record.EncodeSession(session))}, err
}

func (s *Store) writeSessions(ctx context.Context, tx pgx.Tx, records []move.Record) error {
	rows := make([][]any, len(records))
	for i, m := range records {
		session, err := record.DecodeSession(m.Key, m.Value)
		if err != nil {
			return err
		}
		rows[i] = sessionValues(session)
	}
	return fill(ctx, tx, "sessions", []string{
		"id", "pool_id", "user_id", "kind", "scope", "created_at", "expires_at", "ended", "jti", "token_ends_at", "family", "refresh",
	}, rows)
}

const sweepSessions = `
DELETE FROM sessions WHERE id = ANY (ARRAY(
    SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
))`
