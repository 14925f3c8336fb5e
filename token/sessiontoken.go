package token

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"

	"app2wxapp/audit"
	"app2wxapp/userpool"
)

// A session token is the refresh token of BambooCloud's IDaaS: 32 letters and
// digits for which a client gets id_tokens, time and again. It stays the same,
// or is replaced, as the pool's setting says. Half of it all of the session
// share, half of it is each one's own and follows from the one before: so that
// whoever did not get an answer gets it again, and nothing of it is stored.

const (
	sessionTokenSize = 32
	// SessionTokenGrace is how long a session token is good after it was replaced,
	// so that a lost answer logs nobody out. One that is younger is not replaced.
	SessionTokenGrace = 30 * time.Second
	// IDTokenLife is how long an id_token lives that a session token gives.
	IDTokenLife = 5 * time.Minute
)

// Opened is a session that a client keeps by its session token.
type Opened struct {
	Token   string // not stored anywhere
	Session Session
	Stamp   Stamp         // of the id_token to make
	Left    time.Duration // of the token's life, whole seconds
}

// Open begins a session of the user.
func (s *Service) Open(ctx context.Context, pool userpool.Pool, userID string) (Opened, error) {
	now := s.now()
	var seed [sha512.Size]byte
	rand.Read(seed[:])
	shown := alphanumeric(seed[:], sessionTokenSize)
	o := s.opened(shown, Session{
		ID: sessionTokenID(shown), PoolID: pool.ID, UserID: userID, Kind: KindIDaaS, CreatedAt: now.UTC().Truncate(time.Millisecond),
		ExpiresAt: sessionTokenEnd(pool, now, now), JTI: userpool.NewID(now),
		Family: sessionTokenFamily(shown), Refresh: sha256.Sum256([]byte(shown)),
	}, now)
	o.Session.TokenEnd = o.Stamp.ExpiresAt
	o.Stamp.ID = o.Session.JTI
	if err := s.store.CreateSession(ctx, o.Session); err != nil {
		return Opened{}, fmt.Errorf("open session: %w", err)
	}
	return o, nil
}

// Resume returns the pool's session of the session token, with the token that is
// to be used from now on: the same one, or the next if the pool replaces them.
// Of any number of calls with one token all get the same next one, for
// SessionTokenGrace; one that was replaced before ends the session. It returns
// ErrSession, perhaps wrapped, for a token that is not good, userpool.ErrBlocked,
// or the store's error.
func (s *Service) Resume(ctx context.Context, pool userpool.Pool, shown string) (Opened, error) {
	session, err := s.findOpened(ctx, pool, shown)
	if err == nil {
		err = s.Standing(ctx, session)
	}
	if err != nil {
		return Opened{}, fmt.Errorf("resume session: %w", err)
	}
	now, next := s.now(), nextSessionToken(pool, shown)
	young := now.Before(session.rotatedAt().Add(SessionTokenGrace))
	switch {
	case session.refreshes(shown) && (young || !pool.SessionTokenSliding):
		return s.opened(shown, session, now), nil
	case session.refreshes(next) && young:
		return s.opened(next, session, now), nil
	}
	r := Rotation{
		SessionID: session.ID, PoolID: pool.ID, Kind: KindIDaaS, Family: session.Family, Shown: sha256.Sum256([]byte(shown)), Now: now, By: audit.By(ctx),
		Next: sha256.Sum256([]byte(next)), ExpiresAt: sessionTokenEnd(pool, session.CreatedAt, now), JTI: userpool.NewID(now), Grace: SessionTokenGrace,
	}
	r.TokenEnd = s.opened(next, Session{ExpiresAt: r.ExpiresAt}, now).Stamp.ExpiresAt
	session, err = s.store.RotateSession(ctx, r)
	if errors.Is(err, ErrRepeated) { // another call was faster
		session, err = s.store.Session(ctx, r.SessionID)
	}
	if err != nil {
		return Opened{}, fmt.Errorf("resume session: %w", err)
	}
	return s.opened(next, session, now), nil
}

// Close ends the pool's session of the session token. One that is over, or is
// not there, is none to close.
func (s *Service) Close(ctx context.Context, pool userpool.Pool, shown string) error {
	session, err := s.findOpened(ctx, pool, shown)
	switch {
	case errors.Is(err, ErrSession):
		return nil
	case err != nil:
		return fmt.Errorf("close session: %w", err)
	case session.Ended: // nobody can make the disk work with it
		return nil
	}
	return s.End(ctx, pool.ID, session.ID)
}

// findOpened returns the pool's session of which the token is or was the session
// token.
func (s *Service) findOpened(ctx context.Context, pool userpool.Pool, shown string) (Session, error) {
	if !isSessionToken(shown) {
		return Session{}, ErrSession
	}
	session, err := s.store.Session(ctx, sessionTokenID(shown))
	if err != nil {
		return Session{}, err
	}
	family := sessionTokenFamily(shown)
	if session.PoolID != pool.ID || session.Kind != KindIDaaS || subtle.ConstantTimeCompare(family[:], session.Family[:]) != 1 {
		return Session{}, ErrSession
	}
	return session, nil
}

// refreshes tells whether the session token is the newest one.
func (s Session) refreshes(shown string) bool {
	sum := sha256.Sum256([]byte(shown))
	return subtle.ConstantTimeCompare(sum[:], s.Refresh[:]) == 1
}

func (s *Service) opened(token string, session Session, now time.Time) Opened {
	stamp := Stamp{ID: userpool.NewID(now), IssuedAt: now, ExpiresAt: now.UTC().Truncate(time.Second).Add(IDTokenLife)}
	if stamp.ExpiresAt.After(session.ExpiresAt) {
		stamp.ExpiresAt = session.ExpiresAt
	}
	return Opened{Token: token, Session: session, Stamp: stamp, Left: session.ExpiresAt.Sub(now).Round(time.Second)}
}

// sessionTokenEnd returns when a session token made now ends, a whole millisecond.
func sessionTokenEnd(pool userpool.Pool, begun, now time.Time) time.Time {
	return sessionEnd(pool.SessionTokenLife(), begun, now).Truncate(time.Millisecond)
}

// sessionTokenID is the id of the token's session, which is no secret.
func sessionTokenID(token string) string {
	sum := sha256.Sum256([]byte("app2wxapp session\x00" + token[:sessionTokenSize/2]))
	return hex.EncodeToString(sum[:16])
}

func sessionTokenFamily(token string) [sha256.Size]byte {
	return sha256.Sum256([]byte(token[:sessionTokenSize/2]))
}

// nextSessionToken returns the token that follows. It depends on what only this
// server and whoever may make the pool's tokens know.
func nextSessionToken(pool userpool.Pool, token string) string {
	mac := hmac.New(sha512.New, []byte(pool.JWTSecret))
	mac.Write([]byte("app2wxapp session token"))
	mac.Write([]byte(token))
	return token[:sessionTokenSize/2] + alphanumeric(mac.Sum(nil), sessionTokenSize/2)
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// alphanumeric returns n letters and digits made of the seed, which has many
// more bits than they.
func alphanumeric(seed []byte, n int) string {
	rest, digit, base := new(big.Int).SetBytes(seed), new(big.Int), big.NewInt(int64(len(alphabet)))
	text := make([]byte, n)
	for i := range text {
		rest.DivMod(rest, base, digit)
		text[i] = alphabet[digit.Int64()]
	}
	return string(text)
}

// isSessionToken tells whether the text can be a session token.
func isSessionToken(text string) bool {
	if len(text) != sessionTokenSize {
		return false
	}
	for _, c := range []byte(text) {
		if !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z') {
			return false
		}
	}
	return true
}
