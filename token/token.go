// Package token makes and checks the JWTs that an app gets, and keeps the
// sessions of those that can be refreshed.
//
// Service.Issue makes Authing's, Renew renews them, IssueAccess makes OAuth's, Sign
// those whose claims a dialect makes; Verify checks one of a named Kind; JWKS
// publishes what others need to check one without asking. Begin, Refresh, End and
// Lookup are for sessions (session.go); Open, Resume and Close for those of clients
// that have a session token instead of a refresh token (sessiontoken.go).
//
// The claims of an Authing token are Authing's, followed by the registered ones
// of RFC 7519:
//
//	{"data":{"unionid":…,"id":…,"clientId":…},"iat":…,"exp":…,
//	 "iss":…,"sub":…,"aud":…,"jti":…}
//
// and, of one that was renewed, sid.
//
// data.clientId and aud are the pool, data.id and sub the user. The pool's
// setting chooses the algorithm:
//
//	HS256                  the pool's jwtSecret; no kid, never in the JWKS
//	RS256, ES256, EdDSA    the newest key of the store for it, named by kid
//
// The other kinds are for clients who verify with the JWKS, and are never
// HS256: whoever has a pool's jwtSecret can make Authing's tokens of that pool
// and no others.
//
// A key is used with one algorithm, and the key decides which; the header of a
// token can only agree (RFC 8725 §3.1). Who verifies with the JWKS alone sees
// neither revocation nor a blocked user: Verify sees both.
package token

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"app2wxapp/quote"
	"app2wxapp/userpool"
)

// Why Verify refuses a token. Any other error of it is the store's.
var (
	ErrMissing = errors.New("token: missing")
	ErrExpired = errors.New("token: expired")
	ErrInvalid = errors.New("token: invalid")
)

// ErrAlg is returned for an algorithm other than HS256, RS256, ES256, EdDSA.
var ErrAlg = errors.New("token: algorithm must be HS256, RS256, ES256 or EdDSA")

// encoding is strict, so that a token has one spelling.
var encoding = base64.RawURLEncoding.Strict()

// Config is what a Service needs to know.
type Config struct {
	Issuer string           // the iss claim: the server's public URL
	Now    func() time.Time // nil means time.Now
}

// Service makes and checks tokens. Its methods may be called concurrently.
type Service struct {
	store  Store
	users  Users
	issuer string
	now    func() time.Time
	ring   *keyring
	// hmacKeys are the pools' keys that have signed, by jwtSecret.
	hmacKeys sync.Map
}

// New returns a Service. It reads nothing until it is asked for something.
func New(store Store, users Users, cfg Config) *Service {
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	return &Service{
		store:  store,
		users:  users,
		issuer: cfg.Issuer,
		now:    now,
		ring:   &keyring{store: store, now: now},
	}
}

// Token is a signed token. Its times are whole seconds, as in its claims.
type Token struct {
	Raw       string // the JWS compact serialization, RFC 7515 §3.1
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// Stamp is what makes one token differ from the next of the same user. Its
// times are whole seconds in the token.
type Stamp struct {
	ID        string // the jti, of userpool.NewID
	IssuedAt  time.Time
	ExpiresAt time.Time // from this instant on the token is expired
}

// Issue returns the user's token of the pool.
//
// The same arguments give the same bytes, whatever the algorithm, as long as no
// newer signing key comes in between: an idempotent repeat of a redemption is
// answered by calling Issue again. The key of RS256, ES256 and EdDSA is made if
// there is none; see Prepare.
func (s *Service) Issue(ctx context.Context, pool userpool.Pool, user userpool.User, stamp Stamp) (Token, error) {
	return s.issue(ctx, pool, user, stamp, "")
}

// issue is Issue of a token that belongs to a session, "" for none.
func (s *Service) issue(ctx context.Context, pool userpool.Pool, user userpool.User, stamp Stamp, sessionID string) (Token, error) {
	if _, ok := idTime(stamp.ID); !ok {
		return Token{}, fmt.Errorf("issue token: jti %q is not of NewID", stamp.ID)
	}
	k, err := s.signingKey(ctx, pool)
	if err != nil {
		return Token{}, fmt.Errorf("issue token: %w", err)
	}
	t := Token{IssuedAt: stamp.IssuedAt.UTC().Truncate(time.Second), ExpiresAt: stamp.ExpiresAt.UTC().Truncate(time.Second)}
	claims := s.appendClaims(make([]byte, 0, 512), pool.ID, user, stamp.ID, sessionID, t)
	if t.Raw, err = seal(k, TypeJWT, claims); err != nil {
		return Token{}, fmt.Errorf("issue token: %w", err)
	}
	return t, nil
}

// appendClaims appends the payload as JSON. It is written by hand because it is
// part of every login.
func (s *Service) appendClaims(b []byte, poolID string, user userpool.User, jti, sessionID string, t Token) []byte {
	text := func(before, value string) { b = quote.Append(append(b, before...), value) }
	text(`{"data":{"unionid":`, user.UnionID)
	text(`,"id":`, user.ID)
	text(`,"clientId":`, poolID)
	b = strconv.AppendInt(append(b, `},"iat":`...), t.IssuedAt.Unix(), 10)
	b = strconv.AppendInt(append(b, `,"exp":`...), t.ExpiresAt.Unix(), 10)
	text(`,"iss":`, s.issuer)
	text(`,"sub":`, user.ID)
	text(`,"aud":`, poolID)
	text(`,"jti":`, jti)
	if sessionID != "" {
		text(`,"sid":`, sessionID)
	}
	return append(b, '}')
}

// Prepare makes sure that there is a key for the algorithm, so that the first
// login need not wait for one: an RS256 key takes about a second to make. It
// returns ErrAlg for an algorithm that no pool can have.
func (s *Service) Prepare(ctx context.Context, alg string) error {
	if alg == algHS256 {
		return nil // every pool has its own key from the start
	}
	if _, err := s.ring.signer(ctx, alg); err != nil {
		return fmt.Errorf("prepare %s key: %w", alg, err)
	}
	return nil
}

// signingKey returns the key that signs the pool's tokens now.
func (s *Service) signingKey(ctx context.Context, pool userpool.Pool) (key, error) {
	if alg := pool.Alg(); alg != algHS256 {
		return s.ring.signer(ctx, alg)
	}
	if k, ok := s.hmacKeys.Load(pool.JWTSecret); ok {
		return k.(hmacKey), nil
	}
	k, err := hmacKeyOf(pool)
	if err == nil {
		s.hmacKeys.Store(pool.JWTSecret, k)
	}
	return k, err
}

// buffers are memory for tokens that are being made.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// seal returns the claims as a token of that typ, signed with k.
func seal(k key, typ string, claims []byte) (string, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	raw := append((*buf)[:0], k.header(typ)...)
	raw = append(raw, '.')
	raw = encoding.AppendEncode(raw, claims)
	sig, err := k.sign(raw)
	if err != nil {
		return "", err
	}
	raw = append(raw, '.')
	*buf = encoding.AppendEncode(raw, sig)
	return string(*buf), nil
}
