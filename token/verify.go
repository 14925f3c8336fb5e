package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"app2wxapp/userpool"
)

const (
	// MaxSize is how many bytes a token has at most.
	MaxSize = 8 << 10
	// MaxSkew is how far in the future a token's iat may be: the clocks of two
	// replicas differ.
	MaxSkew = 60 * time.Second
	// maxLife is how long a token of ours lives at most, in seconds, and LastExp
	// the latest exp of one of Authing's, which was set there: the end of 9999.
	// App servers have the key of HS256 and may sign any number.
	maxLife = int64(userpool.MaxTokenTTL / time.Second)
	LastExp = 253402300799
)

// Claims are what a verified token says.
type Claims struct {
	Kind      Kind
	PoolID    string
	UserID    string
	UnionID   string // Authing's only; "" if WeChat had reported none
	Scope     string // names with spaces between them; "" for none
	SessionID string // "" in Authing's, but for those that were renewed
	IssuedAt  time.Time
	ExpiresAt time.Time
	ID        string // under which RevokeToken denies it; "" if it has none
}

// JTI returns the token's jti as it has it, "" for none.
func (c Claims) JTI() string {
	if c.Kind == KindCasdoor {
		return casdoorID + c.ID
	}
	return c.ID
}

// Verify returns the claims of a token of one of these kinds that is valid now.
// It returns
//
//   - ErrMissing for an empty one,
//   - ErrExpired from exp on, if nothing else is wrong with its claims,
//   - ErrInvalid for one that is of another kind, that this server did not
//     issue, that was revoked, whose session has ended, or whose user is gone,
//     blocked (then userpool.ErrBlocked, too), or has since been signed out,
//   - and the store's error, wrapped, if the store cannot tell.
//
// An Authing token without iss, sub, aud and jti is one that Authing made with
// the jwtSecret that the pool was created with. It is valid like any other, but
// has no jti that could be revoked, and is signed out by the second.
func (s *Service) Verify(ctx context.Context, raw string, kinds ...Kind) (Claims, error) {
	t, err := s.authentic(ctx, raw, kinds)
	if err != nil {
		return Claims{}, err
	}
	if s.now().Unix() >= t.payload.ExpiresAt { // exp is a whole second: it has come when its second has
		return Claims{}, ErrExpired
	}
	if err := s.checkStanding(ctx, t); err != nil {
		return Claims{}, err
	}
	return t.claims(), nil
}

// Hint returns the claims of an id_token of this server, expired or not, whose
// session need not be there any more: whom a logout is about (OpenID Connect
// RP-Initiated Logout 1.0 §2). It proves nothing about who shows it.
func (s *Service) Hint(ctx context.Context, raw string) (Claims, error) {
	t, err := s.authentic(ctx, raw, []Kind{KindID})
	if err != nil {
		return Claims{}, err
	}
	return t.claims(), nil
}

// authentic takes a token apart and checks that it is one of ours and of one of
// the kinds: pool, key, signature, and claims but for the end.
func (s *Service) authentic(ctx context.Context, raw string, kinds []Kind) (unverified, error) {
	if raw == "" {
		return unverified{}, ErrMissing
	}
	t, err := parse(raw)
	if err != nil {
		return unverified{}, err
	}
	if !slices.Contains(kinds, t.kind) {
		return unverified{}, invalid("a token of another kind")
	}
	// The pool is the token's own word until the signature is verified with
	// that pool's key.
	pool, err := s.users.Pool(ctx, t.poolID())
	if errors.Is(err, userpool.ErrPoolNotFound) {
		return unverified{}, invalid("unknown pool")
	}
	if err != nil {
		return unverified{}, fmt.Errorf("verify token: %w", err)
	}
	k, err := s.verifyingKey(ctx, pool, t.header)
	if err != nil {
		return unverified{}, err
	}
	if t.header.Alg != k.alg() {
		return unverified{}, invalid("alg is not the key's")
	}
	if t.kind != KindAuthing && k.alg() == algHS256 {
		return unverified{}, invalid("HS256 is for Authing's tokens only")
	}
	if k.verify(t.signed, t.sig) != nil {
		return unverified{}, invalid("wrong signature")
	}
	return t, s.checkClaims(t, k)
}

// verifyingKey returns the key that the header names: without a kid the pool's
// HMAC key. Other ways to bring a key along (jku, jwk, x5u, x5c) are not read.
func (s *Service) verifyingKey(ctx context.Context, pool userpool.Pool, h header) (key, error) {
	if h.KeyID == nil {
		k, err := hmacKeyOf(pool)
		if err != nil {
			return nil, invalid(err.Error())
		}
		return k, nil
	}
	k, err := s.ring.find(ctx, *h.KeyID)
	if err != nil {
		return nil, fmt.Errorf("verify token: %w", err)
	}
	if k == nil {
		return nil, invalid("unknown kid")
	}
	return k, nil
}

// checkClaims checks what the token itself says, but for its end.
func (s *Service) checkClaims(t unverified, k key) error {
	p := t.payload
	byAuthing := t.kind == KindAuthing && p.byAuthing()
	_, idOK := p.id(t.kind)
	_, sidOK := idTime(p.SessionID)
	switch {
	case byAuthing && k.alg() != algHS256:
		return invalid("no iss, sub, aud and jti, which only Authing's tokens lack")
	case !byAuthing && (!idOK || !p.registered(t.kind, s.issuer)):
		return invalid("iss, sub, aud, jti or sid is wrong")
	case t.kind == KindAuthing && p.SessionID != "" && (byAuthing || !sidOK):
		return invalid("a sid that no session of ours has") // app servers may sign any
	case p.IssuedAt <= 0 || p.ExpiresAt <= p.IssuedAt:
		return invalid("iat or exp is missing")
	case p.IssuedAt > s.now().Unix()+int64(MaxSkew/time.Second):
		return invalid("issued in the future")
	case p.ExpiresAt > LastExp, !byAuthing && p.ExpiresAt-p.IssuedAt > maxLife:
		return invalid("longer than any that is issued")
	}
	return nil
}

// checkStanding checks what has happened since the token was issued.
func (s *Service) checkStanding(ctx context.Context, t unverified) error {
	p, madeAt := t.payload, t.payload.IssuedAt*1000
	if id, _ := p.id(t.kind); id != "" {
		madeAt, _ = idTime(id)
		revoked, err := s.store.TokenRevoked(ctx, id, time.Unix(p.ExpiresAt, 0).UTC())
		if err != nil {
			return fmt.Errorf("verify token: %w", err)
		}
		if revoked {
			return invalid("revoked")
		}
	}
	if p.SessionID != "" {
		if err := s.checkSession(ctx, t); err != nil {
			return err
		}
	}
	user, err := s.users.User(ctx, t.poolID(), p.userID(t.kind))
	switch {
	case errors.Is(err, userpool.ErrUserNotFound):
		return invalid("unknown user")
	case err != nil:
		return fmt.Errorf("verify token: %w", err)
	case user.Blocked:
		return fmt.Errorf("%w: %w", ErrInvalid, userpool.ErrBlocked)
	case madeAt <= user.NotBefore.UnixMilli():
		return invalid("the user was signed out since")
	}
	return nil
}

// checkSession checks that the token's session goes on and is this user's.
func (s *Service) checkSession(ctx context.Context, t unverified) error {
	session, err := s.store.Session(ctx, t.payload.SessionID)
	switch {
	case errors.Is(err, ErrSession):
		return invalid("its session is over")
	case err != nil:
		return fmt.Errorf("verify token: %w", err)
	case session.PoolID != t.poolID(), session.UserID != t.payload.userID(t.kind):
		return invalid("its session is another's")
	case session.Over(s.now()):
		return invalid("its session is over")
	}
	return nil
}

// header is what is written and read of a JOSE header, RFC 7515 §4. Crit is
// never written.
type header struct {
	Alg   string         `json:"alg"`
	Type  string         `json:"typ"`
	KeyID *string        `json:"kid,omitempty"`
	Crit  jsontext.Value `json:"crit,omitempty"`
}

// unverified is a token taken apart, of which nothing is proved.
type unverified struct {
	kind    Kind // by what it says; never 0
	header  header
	payload payload
	signed  string // header and payload as they were signed
	sig     []byte
}

func (t unverified) poolID() string { return t.payload.poolID(t.kind) }

func (t unverified) claims() Claims {
	p := t.payload
	c := Claims{
		Kind:      t.kind,
		PoolID:    t.poolID(),
		UserID:    p.userID(t.kind),
		Scope:     p.Scope,
		SessionID: p.SessionID,
		IssuedAt:  time.Unix(p.IssuedAt, 0).UTC(),
		ExpiresAt: time.Unix(p.ExpiresAt, 0).UTC(),
	}
	c.ID, _ = p.id(t.kind)
	if p.Data != nil {
		c.UnionID = p.Data.UnionID
	}
	return c
}

// parse takes a token apart, or returns ErrInvalid.
func parse(raw string) (unverified, error) {
	if len(raw) > MaxSize {
		return unverified{}, invalid("too long")
	}
	// encoding/base64 skips line breaks even when it is strict.
	if strings.ContainsAny(raw, "\r\n") {
		return unverified{}, invalid("line break")
	}
	head, rest, _ := strings.Cut(raw, ".")
	body, sig, three := strings.Cut(rest, ".")
	if !three {
		return unverified{}, invalid("not three parts")
	}
	t := unverified{signed: raw[:len(head)+1+len(body)]}
	var err error
	if t.sig, err = encoding.DecodeString(sig); err != nil {
		return unverified{}, invalid("signature is not base64url")
	}
	if !decode(head, &t.header) || !decode(body, &t.payload) {
		return unverified{}, invalid("header or claims are not base64url of JSON")
	}
	// No extension is understood here: RFC 7515 §4.1.11 wants them all refused.
	if t.header.Crit != nil {
		return unverified{}, invalid("crit")
	}
	if t.kind = t.payload.kind(t.header.Type); t.kind == 0 {
		return unverified{}, invalid("typ and claims are of no kind of token, or of two")
	}
	if t.poolID() == "" || t.payload.userID(t.kind) == "" {
		return unverified{}, invalid("it names no pool or no user")
	}
	return t, nil
}

// decode decodes base64url of JSON into v and tells whether it was that. A name
// counts in its exact spelling and must not come twice, lest two readers see
// two things.
func decode(part string, v any) bool {
	b, err := encoding.DecodeString(part)
	return err == nil && json.Unmarshal(b, v) == nil
}

// invalid returns ErrInvalid with the reason, which is for logs.
func invalid(reason string) error {
	return fmt.Errorf("%w: %s", ErrInvalid, reason)
}
