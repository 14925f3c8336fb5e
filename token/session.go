package token

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"app2wxapp/audit"
	"app2wxapp/userpool"
)

// A session is a sign-in that goes on: its refresh token is exchanged for an
// access token and the next refresh token, as often as the app likes.
//
//	         Begin            Refresh, with the newest refresh token
//	(none) ─────────▶  on  ◀──────────────────┐
//	                   │ └────────────────────┘
//	                   ├──▶ ended: by End; by a refresh token that is not the
//	                   │    newest one (somebody has a copy); by a replay of the
//	                   │    ticket that began it
//	                   └──▶ over: at ExpiresAt, or the user was blocked or
//	                        signed out
//
// Its access tokens carry its id as sid, and hold while it is on.

const (
	// minRefreshLife is how long a refresh token lives at least; each one begins
	// anew.
	minRefreshLife = 30 * 24 * time.Hour
	// sessionLife is after how long a session ends however often it is
	// refreshed, if its refresh tokens do not live longer than that.
	sessionLife = 365 * 24 * time.Hour
)

// Why a refresh token is refused. Callers learn of ErrSession only; the others
// wrap it.
var (
	ErrSession        = errors.New("token: no such session")
	ErrSessionExpired = fmt.Errorf("%w: expired", ErrSession)
	// ErrReused is a refresh token that was exchanged before: the session has
	// been ended.
	ErrReused = fmt.Errorf("%w: the refresh token was used before", ErrSession)
	// ErrRepeated is what Judge returns for a rotation that was made a moment ago,
	// and has a Grace. It changes nothing.
	ErrRepeated = errors.New("token: the same rotation was made before")
)

// Session is what is kept of one. Its refresh token is not; one of renewed tokens
// of Authing's has none (Renew).
type Session struct {
	// ID is the jti of its first access token, and the sid of all.
	ID        string
	PoolID    string
	UserID    string
	Kind      Kind   // of its access tokens
	Scope     string // names with spaces between them; "" for none
	CreatedAt time.Time
	ExpiresAt time.Time // of the refresh token that is out
	Ended     bool

	// JTI and TokenEnd are those of its newest access token; of Authing's tokens of
	// the first, which is no part of it.
	JTI      string
	TokenEnd time.Time

	// Family is the SHA-256 of what all its refresh tokens share, Refresh that
	// of the one that is out.
	Family  [sha256.Size]byte
	Refresh [sha256.Size]byte
}

// Over tells whether the session has ended or expired.
func (s Session) Over(now time.Time) bool { return s.Ended || !now.Before(s.ExpiresAt) }

// Rotation is an attempt to exchange a refresh token.
type Rotation struct {
	SessionID string
	PoolID    string
	Kind      Kind
	Family    [sha256.Size]byte
	Shown     [sha256.Size]byte // SHA-256 of the refresh token shown
	Now       time.Time
	By        audit.Actor

	// What the session gets.
	Next      [sha256.Size]byte // SHA-256 of the next refresh token
	ExpiresAt time.Time         // of that
	JTI       string
	TokenEnd  time.Time
	// RevokePrevious puts the access token before on the deny-list.
	RevokePrevious bool
	// Grace is for how long after a rotation the same one is ErrRepeated, of a
	// session whose Next is the same each time; 0 for others.
	Grace time.Duration
}

// repeats tells whether the session has been rotated so a moment ago.
func (r Rotation) repeats(s Session) bool {
	return r.Now.Before(s.rotatedAt().Add(r.Grace)) && subtle.ConstantTimeCompare(s.Refresh[:], r.Next[:]) == 1
}

// rotatedAt returns when the refresh token that is out was made.
func (s Session) rotatedAt() time.Time {
	ms, _ := idTime(s.JTI)
	return time.UnixMilli(ms).UTC()
}

// Judge says whether the attempt may have the session's next refresh token, the
// user being blocked or signed out as told: nil, ErrSession (also for another
// pool's session), ErrSessionExpired, ErrReused, or userpool.ErrBlocked. Who
// does not know what the family shares learns nothing and ends nothing.
func (s Session) Judge(r Rotation, blocked bool, notBefore time.Time) error {
	repeated := r.Grace > 0 && r.repeats(s)
	switch {
	case s.PoolID != r.PoolID, s.Kind != r.Kind, s.Ended, subtle.ConstantTimeCompare(s.Family[:], r.Family[:]) != 1:
		return ErrSession
	case !r.Now.Before(s.ExpiresAt):
		return ErrSessionExpired
	case !repeated && subtle.ConstantTimeCompare(s.Refresh[:], r.Shown[:]) != 1:
		return ErrReused
	case blocked:
		return userpool.ErrBlocked
	case !s.CreatedAt.After(notBefore):
		return ErrSession
	case repeated:
		return ErrRepeated
	}
	return nil
}

// Rotated returns the session after the exchange.
func (s Session) Rotated(r Rotation) Session {
	s.Refresh, s.ExpiresAt, s.JTI, s.TokenEnd = r.Next, r.ExpiresAt, r.JTI, r.TokenEnd
	return s
}

// Reused returns the event of an attempt that ended the session.
func (r Rotation) Reused(s Session) audit.Event {
	return audit.Event{
		At: r.Now, Type: audit.SessionReused, PoolID: s.PoolID, UserID: s.UserID, By: r.By, Detail: map[string]string{audit.JTI: s.JTI},
	}
}

// Tombstone returns the session that a replayed ticket has instead of its own,
// which shall not begin any more: jti and end are those of the ticket's token.
func Tombstone(jti, poolID, userID string, now, end time.Time) Session {
	return Session{ID: jti, PoolID: poolID, UserID: userID, CreatedAt: now, ExpiresAt: end, Ended: true, JTI: jti, TokenEnd: end}
}

// RefreshLife returns how long the pool's refresh tokens live: twice as long as
// its tokens, at least 30 days.
func RefreshLife(pool userpool.Pool) time.Duration { return max(2*pool.TokenLife(), minRefreshLife) }

// refreshEnd returns when a refresh token made now ends, a whole second.
func refreshEnd(pool userpool.Pool, begun, now time.Time) time.Time {
	return sessionEnd(RefreshLife(pool), begun, now).Truncate(time.Second)
}

// sessionEnd returns when what was made now for a session ends, if it lives so
// long and the session no longer than sessionLife.
func sessionEnd(life time.Duration, begun, now time.Time) time.Time {
	end, last := now.Add(life), begun.Add(max(life, sessionLife))
	if end.After(last) {
		end = last
	}
	return end.UTC()
}

// Beginning says how a session begins.
type Beginning struct {
	Kind  Kind
	Scope string
	// Stamp is that of the first access token; zero for a fresh one. The ticket's
	// redemption gives one, and a replay of the ticket ends the session.
	Stamp Stamp
	// Seed makes the refresh token, so that the same Begin again gives the same
	// answer: a secret that only whoever may repeat it knows. "" makes a random
	// one.
	Seed string
}

// Grant is what an app gets: a refresh token, and the stamp of the access token
// to make.
type Grant struct {
	Session Session
	Refresh string // 86 characters of base64url; not stored anywhere
	Stamp   Stamp
}

// Begin begins a session of the user, or with the Seed and Stamp of one that
// has begun and was not refreshed yet returns that one again. It returns
// ErrSession if that one has ended meanwhile.
func (s *Service) Begin(ctx context.Context, pool userpool.Pool, userID string, b Beginning) (Grant, error) {
	if b.Stamp.ID == "" {
		b.Stamp = s.stamp(pool)
	}
	id, err := uuid.Parse(b.Stamp.ID)
	if err != nil {
		return Grant{}, fmt.Errorf("begin session: jti %q is not of NewID", b.Stamp.ID)
	}
	var r refreshToken
	copy(r.id(), id[:])
	r.fill(pool, b.Seed)
	g := Grant{Stamp: b.Stamp, Refresh: r.String(), Session: Session{
		ID: b.Stamp.ID, PoolID: pool.ID, UserID: userID, Kind: b.Kind, Scope: b.Scope,
		CreatedAt: b.Stamp.IssuedAt.UTC().Truncate(time.Millisecond), ExpiresAt: refreshEnd(pool, b.Stamp.IssuedAt, b.Stamp.IssuedAt),
		JTI: b.Stamp.ID, TokenEnd: b.Stamp.ExpiresAt, Family: r.family(), Refresh: r.hash(),
	}}
	if err := s.store.CreateSession(ctx, g.Session); err != nil {
		return Grant{}, fmt.Errorf("begin session: %w", err)
	}
	return g, nil
}

// stamp returns the stamp of a token made now.
func (s *Service) stamp(pool userpool.Pool) Stamp {
	now := s.now()
	return Stamp{ID: userpool.NewID(now), IssuedAt: now, ExpiresAt: pool.TokenEnd(now)}
}

// Refreshing says what a refresh token is exchanged for.
type Refreshing struct {
	Kind Kind // the session's
	// RevokePrevious revokes the access token before.
	RevokePrevious bool
}

// Refresh exchanges the pool's refresh token for the next one and the stamp of
// the next access token. It returns ErrSession, perhaps wrapped, for one that is
// not good, userpool.ErrBlocked, or the store's error. Of any number of calls
// with one refresh token at most one succeeds; another one ends the session.
func (s *Service) Refresh(ctx context.Context, pool userpool.Pool, refresh string, how Refreshing) (Grant, error) {
	session, shown, err := s.find(ctx, refresh)
	if err != nil {
		return Grant{}, fmt.Errorf("refresh: %w", err)
	}
	next := shown
	next.renew()
	g := Grant{Refresh: next.String(), Stamp: s.stamp(pool)}
	now := g.Stamp.IssuedAt
	if session.Ended { // nobody can make the disk work with it
		return Grant{}, fmt.Errorf("refresh: %w", ErrSession)
	}
	end := refreshEnd(pool, session.CreatedAt, now)
	if g.Stamp.ExpiresAt.After(end) {
		g.Stamp.ExpiresAt = end
	}
	if !now.Before(end) {
		return Grant{}, fmt.Errorf("refresh: %w", ErrSessionExpired)
	}
	g.Session, err = s.store.RotateSession(ctx, Rotation{
		SessionID: session.ID, PoolID: pool.ID, Kind: how.Kind, Family: shown.family(), Shown: shown.hash(), Now: now, By: audit.By(ctx),
		Next: next.hash(), ExpiresAt: end, JTI: g.Stamp.ID, TokenEnd: g.Stamp.ExpiresAt, RevokePrevious: how.RevokePrevious,
	})
	if err != nil {
		return Grant{}, fmt.Errorf("refresh: %w", err)
	}
	return g, nil
}

// Lookup returns the session that the refresh token is of, over or not, and
// whether it is the newest one; ErrSession if it is of none.
func (s *Service) Lookup(ctx context.Context, refresh string) (session Session, newest bool, err error) {
	session, shown, err := s.find(ctx, refresh)
	if err != nil {
		return Session{}, false, fmt.Errorf("look up session: %w", err)
	}
	sum := shown.hash()
	return session, subtle.ConstantTimeCompare(sum[:], session.Refresh[:]) == 1, nil
}

// Standing returns nil if a refresh token of the session could be exchanged now,
// else as Refresh: for introspection.
func (s *Service) Standing(ctx context.Context, session Session) error {
	if session.Over(s.now()) {
		return ErrSession
	}
	user, err := s.users.User(ctx, session.PoolID, session.UserID)
	switch {
	case errors.Is(err, userpool.ErrUserNotFound):
		return ErrSession
	case err != nil:
		return fmt.Errorf("look at session: %w", err)
	case user.Blocked:
		return userpool.ErrBlocked
	case !session.CreatedAt.After(user.NotBefore):
		return ErrSession
	}
	return nil
}

// find returns the session whose family the refresh token is of.
func (s *Service) find(ctx context.Context, refresh string) (Session, refreshToken, error) {
	shown, ok := parseRefresh(refresh)
	if !ok {
		return Session{}, shown, ErrSession
	}
	session, err := s.store.Session(ctx, shown.sessionID())
	if err != nil {
		return Session{}, shown, err
	}
	if sum := shown.family(); subtle.ConstantTimeCompare(sum[:], session.Family[:]) != 1 {
		return Session{}, shown, ErrSession
	}
	return session, shown, nil
}

// End ends the pool's session: its refresh token and its access tokens. One that
// is over is none to end.
func (s *Service) End(ctx context.Context, poolID, sessionID string) error {
	if err := s.store.EndSession(ctx, poolID, sessionID); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// Revoke ends the token itself, and nothing if it has no id.
func (s *Service) Revoke(ctx context.Context, c Claims) error {
	if c.ID == "" {
		return nil
	}
	if err := s.store.RevokeToken(ctx, c.ID, c.ExpiresAt); err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}

// refreshToken is one before it is encoded: the session's id, 16 bytes that all
// of the session share, and 32 that are new each time.
type refreshToken [16 + 16 + 32]byte

func (r *refreshToken) id() []byte    { return r[:16] }
func (r *refreshToken) rest() []byte  { return r[16:] }
func (r *refreshToken) fresh() []byte { return r[32:] }

func (r refreshToken) String() string { return encoding.EncodeToString(r[:]) }

func (r refreshToken) sessionID() string { return uuid.UUID(r[:16]).String() }

func (r refreshToken) family() [sha256.Size]byte { return sha256.Sum256(r[:32]) }
func (r refreshToken) hash() [sha256.Size]byte   { return sha256.Sum256(r[:]) }

// fill makes the first refresh token of the session. With a seed it depends on
// that, on the session, and on what only this server and whoever may make the
// pool's tokens know.
func (r *refreshToken) fill(pool userpool.Pool, seed string) {
	if seed == "" {
		rand.Read(r.rest())
		return
	}
	mac := hmac.New(sha512.New384, []byte(pool.JWTSecret))
	mac.Write([]byte("app2wxapp refresh token"))
	mac.Write(r.id())
	mac.Write([]byte(seed))
	mac.Sum(r.rest()[:0])
}

func (r *refreshToken) renew() { rand.Read(r.fresh()) }

// parseRefresh returns a text as a refresh token, and whether it can be one.
func parseRefresh(text string) (r refreshToken, ok bool) {
	if len(text) != encoding.EncodedLen(len(r)) {
		return r, false
	}
	b, err := encoding.DecodeString(text)
	if err != nil || len(b) != len(r) {
		return r, false
	}
	copy(r[:], b)
	return r, true
}
