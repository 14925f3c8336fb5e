package token

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"app2wxapp/audit"
	"app2wxapp/userpool"
)

// Renew returns another token of the user for one of Authing's that Verify has
// found good, and that holds to its own end. All that are renewed from a login's
// first token belong to a session with its id, which begins here: they carry
// that as sid, and are over with it, as when the ticket is replayed. The session
// lives as long as its tokens, and ends like any other: no token of it outlives
// the first by more than 365 days, or tokenTTL if that is more.
//
// One that Authing made has no id, so that the new one is a first one. Renew
// returns ErrInvalid where the session has ended or the user was signed out
// since, userpool.ErrBlocked, or the store's error.
func (s *Service) Renew(ctx context.Context, pool userpool.Pool, user userpool.User, shown Claims) (Token, error) {
	stamp := s.stamp(pool)
	if shown.ID == "" {
		return s.Issue(ctx, pool, user, stamp)
	}
	id := cmp.Or(shown.SessionID, shown.ID)
	if err := s.prolong(ctx, pool, id, shown, &stamp); errors.Is(err, ErrSession) {
		return Token{}, invalid("its session is over")
	} else if err != nil {
		return Token{}, fmt.Errorf("renew token: %w", err)
	}
	return s.issue(ctx, pool, user, stamp, id)
}

// prolong has the session of that id, which begins if this is the first renewal,
// last as long as the token of the stamp, which ends with it at the latest. Its
// JTI and TokenEnd stay those of the first token. It has no refresh token: no
// text has a hash of zeros.
func (s *Service) prolong(ctx context.Context, pool userpool.Pool, id string, shown Claims, stamp *Stamp) error {
	if shown.SessionID == "" {
		ms, _ := idTime(id)
		if err := s.store.CreateSession(ctx, Session{
			ID: id, PoolID: pool.ID, UserID: shown.UserID, Kind: KindAuthing, CreatedAt: time.UnixMilli(ms).UTC(),
			ExpiresAt: shown.ExpiresAt, JTI: id, TokenEnd: shown.ExpiresAt,
		}); err != nil {
			return err
		}
	}
	session, err := s.store.Session(ctx, id)
	if err != nil {
		return err
	}
	stamp.ExpiresAt = sessionEnd(pool.TokenLife(), session.CreatedAt, stamp.IssuedAt).Truncate(time.Second)
	if !stamp.IssuedAt.Before(stamp.ExpiresAt) {
		return ErrSessionExpired
	}
	end := session.ExpiresAt
	if end.Before(stamp.ExpiresAt) { // as always, unless tokenTTL was more before
		end = stamp.ExpiresAt
	}
	_, err = s.store.RotateSession(ctx, Rotation{
		SessionID: id, PoolID: pool.ID, Kind: KindAuthing, Now: stamp.IssuedAt, By: audit.By(ctx),
		ExpiresAt: end, JTI: session.JTI, TokenEnd: session.TokenEnd,
	})
	return err
}

// EndLogin ends a token of Authing's and all of its login: the first one, and
// those that were renewed from it.
func (s *Service) EndLogin(ctx context.Context, c Claims) error {
	if err := s.Revoke(ctx, c); err != nil || c.ID == "" {
		return err
	}
	session, err := s.store.Session(ctx, cmp.Or(c.SessionID, c.ID))
	switch {
	case errors.Is(err, ErrSession): // it was never renewed
		return nil
	case err != nil:
		return fmt.Errorf("end login: %w", err)
	}
	if err := s.store.RevokeToken(ctx, session.JTI, session.TokenEnd); err != nil {
		return fmt.Errorf("end login: %w", err)
	}
	return s.End(ctx, session.PoolID, session.ID)
}
