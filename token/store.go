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

// Store keeps signing keys and the deny-list.
type Store interface {
	// SigningKeys returns all signing keys, oldest first.
	SigningKeys(ctx context.Context) ([]Key, error)
	// AddFirstSigningKey stores the key unless one of its algorithm is there
	// already, as one step, and returns the one that is there afterwards.
	AddFirstSigningKey(ctx context.Context, k Key) (Key, error)
	// TokenRevoked tells whether the token that ends at expiresAt is on the
	// deny-list. Entries may be swept once their token has expired.
	TokenRevoked(ctx context.Context, jti string, expiresAt time.Time) (bool, error)
}

// Users tells what a token is checked against besides its signature.
type Users interface {
	// Pool returns the pool, or userpool.ErrPoolNotFound.
	Pool(ctx context.Context, id string) (userpool.Pool, error)
	// User returns the user, or userpool.ErrUserNotFound.
	User(ctx context.Context, poolID, id string) (userpool.User, error)
}
