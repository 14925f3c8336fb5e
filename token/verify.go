package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"app2wxapp/userpool"
)

const (
	// MaxSize is how many bytes a token has at most.
	MaxSize = 8 << 10
	// MaxSkew is how far in the future a token's iat may be: the clocks of two
	// replicas differ.
	MaxSkew = 60 * time.Second
)

// Claims are what a verified token says.
type Claims struct {
	PoolID    string
	UserID    string
	UnionID   string // "" if WeChat had reported none
	IssuedAt  time.Time
	ExpiresAt time.Time
	ID        string // the jti; "" in a token that Authing made
}

// Verify returns the claims of a token that is valid now. It returns
//
//   - ErrMissing for an empty one,
//   - ErrExpired from exp on, if nothing else is wrong with its claims,
//   - ErrInvalid for one that this server did not issue, that was revoked, or
//     whose user is gone, blocked, or has since been signed out,
//   - and the store's error, wrapped, if the store cannot tell.
//
// A token without iss, sub, aud and jti is one that Authing made with the
// jwtSecret that the pool was created with. It is valid like any other, but has
// no jti that could be revoked, and is signed out by the second.
func (s *Service) Verify(ctx context.Context, raw string) (Claims, error) {
	if raw == "" {
		return Claims{}, ErrMissing
	}
	t, err := parse(raw)
	if err != nil {
		return Claims{}, err
	}
	// The pool is the token's own word until the signature is verified with
	// that pool's key.
	pool, err := s.users.Pool(ctx, t.payload.Data.ClientID)
	if errors.Is(err, userpool.ErrPoolNotFound) {
		return Claims{}, invalid("unknown pool")
	}
	if err != nil {
		return Claims{}, fmt.Errorf("verify token: %w", err)
	}
	k, err := s.verifyingKey(ctx, pool, t.header)
	if err != nil {
		return Claims{}, err
	}
	if t.header.Alg != k.alg() {
		return Claims{}, invalid("alg is not the key's")
	}
	if k.verify(t.signed, t.sig) != nil {
		return Claims{}, invalid("wrong signature")
	}
	if err := s.checkClaims(t.payload, k); err != nil {
		return Claims{}, err
	}
	if err := s.checkStanding(ctx, t.payload); err != nil {
		return Claims{}, err
	}
	return t.payload.claims(), nil
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

// checkClaims checks what the token itself says, the end last.
func (s *Service) checkClaims(p payload, k key) error {
	now := s.now().Unix()
	switch {
	case p.byAuthing() && k.alg() != algHS256:
		return invalid("no iss, sub, aud and jti, which only Authing's tokens lack")
	case !p.byAuthing() && !p.registered(s.issuer):
		return invalid("iss, sub, aud or jti is wrong")
	case p.IssuedAt <= 0 || p.ExpiresAt <= p.IssuedAt:
		return invalid("iat or exp is missing")
	case p.IssuedAt > now+int64(MaxSkew/time.Second):
		return invalid("issued in the future")
	case now >= p.ExpiresAt: // exp is a whole second: it has come when its second has
		return ErrExpired
	}
	return nil
}

// checkStanding checks what has happened since the token was issued.
func (s *Service) checkStanding(ctx context.Context, p payload) error {
	madeAt := p.IssuedAt * 1000
	if p.ID != nil {
		madeAt, _ = idTime(*p.ID) // registered has seen that it is one
		revoked, err := s.store.TokenRevoked(ctx, *p.ID, time.Unix(p.ExpiresAt, 0).UTC())
		if err != nil {
			return fmt.Errorf("verify token: %w", err)
		}
		if revoked {
			return invalid("revoked")
		}
	}
	user, err := s.users.User(ctx, p.Data.ClientID, p.Data.ID)
	switch {
	case errors.Is(err, userpool.ErrUserNotFound):
		return invalid("unknown user")
	case err != nil:
		return fmt.Errorf("verify token: %w", err)
	case user.Blocked:
		return invalid("the user is blocked")
	case madeAt <= user.NotBefore.UnixMilli():
		return invalid("the user was signed out since")
	}
	return nil
}

// byAuthing tells whether the claims are those of Authing's tokens: none of the
// four that came after.
func (p payload) byAuthing() bool {
	return p.Issuer == nil && p.Subject == nil && p.Audience == nil && p.ID == nil
}

// registered tells whether the claims that Authing's tokens lack are there and
// agree with the issuer and with data.
func (p payload) registered(issuer string) bool {
	if p.Issuer == nil || p.Subject == nil || p.Audience == nil || p.ID == nil {
		return false
	}
	_, ok := idTime(*p.ID)
	return ok && *p.Issuer == issuer && *p.Subject == p.Data.ID && *p.Audience == p.Data.ClientID
}

func (p payload) claims() Claims {
	c := Claims{
		PoolID:    p.Data.ClientID,
		UserID:    p.Data.ID,
		UnionID:   p.Data.UnionID,
		IssuedAt:  time.Unix(p.IssuedAt, 0).UTC(),
		ExpiresAt: time.Unix(p.ExpiresAt, 0).UTC(),
	}
	if p.ID != nil {
		c.ID = *p.ID
	}
	return c
}

// header is what is written and read of a JOSE header, RFC 7515 §4. Crit is
// never written.
type header struct {
	Alg   string          `json:"alg"`
	Type  string          `json:"typ"`
	KeyID *string         `json:"kid,omitempty"`
	Crit  json.RawMessage `json:"crit,omitempty"`
}

// unverified is a token taken apart, of which nothing is proved.
type unverified struct {
	header  header
	payload payload
	signed  string // header and payload as they were signed
	sig     []byte
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
	if t.header.Type != "JWT" {
		return unverified{}, invalid("typ is not JWT")
	}
	if t.payload.Data.ID == "" || t.payload.Data.ClientID == "" {
		return unverified{}, invalid("no data.id or data.clientId")
	}
	return t, nil
}

// decode decodes base64url of JSON into v and tells whether it was that.
func decode(part string, v any) bool {
	b, err := encoding.DecodeString(part)
	return err == nil && json.Unmarshal(b, v) == nil
}

// invalid returns ErrInvalid with the reason, which is for logs.
func invalid(reason string) error {
	return fmt.Errorf("%w: %s", ErrInvalid, reason)
}
