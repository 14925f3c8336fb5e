package token

import (
	"context"
	"time"

	"app2wxapp/userpool"
)

// Key is a signing key of the store. HS256 has none: its key is the pool's
// jwtSecret.
type Key struct {
	ID        string // the JWS kid
	Alg       string // RS256, ES256 or EdDSA: the one algorithm it is used with
	Private   []byte // PKCS #8, DER
	CreatedAt time.Time
}

// Store keeps signing keys, the deny-list and sessions.
type Store interface {
	// SigningKeys returns all signing keys, oldest first.
	SigningKeys(ctx context.Context) ([]Key, error)
	// AddFirstSigningKey stores the key unless one of its algorithm is there
	// already, as one step, and returns the one that is there afterwards.
	AddFirstSigningKey(ctx context.Context, k Key) (Key, error)
	// TokenRevoked tells whether the token that ends at expiresAt is on the
	// deny-list. Entries may be swept once their token has expired.
	TokenRevoked(ctx context.Context, jti string, expiresAt time.Time) (bool, error)
	// RevokeToken puts the token that ends at expiresAt on the deny-list. One that
	// is there stays there. Tokens end at whole seconds: of all that come here, and
	// to TokenRevoked, fractions are dropped.
	RevokeToken(ctx context.Context, jti string, expiresAt time.Time) error

	// CreateSession stores the session. If there is one with this ID it changes
	// nothing and returns nil if that is the same session, not ended, whose first
	// refresh token is still out; else ErrSession.
	CreateSession(ctx context.Context, s Session) error
	// Session returns the session, ended or expired ones too, or ErrSession.
	// Sessions are swept, with SweepTickets, from ExpiresAt on.
	Session(ctx context.Context, id string) (Session, error)
	// RotateSession replaces the session's refresh token and access token as
	// one step, by Session.Judge with the user as they are in that step, and
	// returns what is stored afterwards. It returns Judge's error, and ErrSession
	// if there is no such session. Of any number of concurrent calls that show
	// one refresh token exactly one succeeds. ErrReused ends the session and
	// writes the event r.Reused in that step; every other error changes nothing.
	// With r.RevokePrevious the access token before goes on the deny-list. With
	// r.Grace the loser of two that show one refresh token gets ErrRepeated.
	RotateSession(ctx context.Context, r Rotation) (Session, error)
	// EndSession ends the pool's session for good. One that is not there, or has
	// ended, is none to end.
	EndSession(ctx context.Context, poolID, id string) error
}

// Users tells what a token is checked against besides its signature.
type Users interface {
	// Pool returns the pool, or userpool.ErrPoolNotFound.
	Pool(ctx context.Context, id string) (userpool.Pool, error)
	// User returns the user, or userpool.ErrUserNotFound.
	User(ctx context.Context, poolID, id string) (userpool.User, error)
}
