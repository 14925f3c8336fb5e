package token

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"app2wxapp/quote"
	"app2wxapp/userpool"
)

// Kind says what a token is for. A token of one kind is never taken for one of
// another (RFC 8725 §3.12): each is told by what only it has, and whoever
// verifies one names the kinds that open the door.
type Kind uint8

// The kinds. The zero Kind is none.
const (
	KindAuthing Kind = iota + 1 // claim data
	KindAccess                  // typ at+jwt (RFC 9068), claim client_id
	KindCasdoor                 // claim tokenType, "access-token"
	KindID                      // OpenID Connect's id_token, none of these: it opens nothing

	// KindManagement is typ management+jwt, claim secret_id: a pool's, not a
	// user's. Only VerifyManagement takes it.
	KindManagement

	KindIDaaS // claim userName: the id_token of BambooCloud's IDaaS
)

// The typ of a header.
const (
	TypeJWT    = "JWT"
	TypeAccess = "at+jwt"

	typeManagement = "management+jwt"
)

// casdoorID stands before the id in the jti of a Casdoor token.
const casdoorID = "admin/"

// CasdoorID returns the jti of the Casdoor token with that stamp's ID.
func CasdoorID(id string) string { return casdoorID + id }

// PublicAlg returns the algorithm of the pool's tokens that others verify with
// the JWKS: the pool's own, RS256 where that is HS256.
func PublicAlg(pool userpool.Pool) string {
	if alg := pool.Alg(); alg != algHS256 {
		return alg
	}
	return algRS256
}

// Sign returns the claims, a JSON object, as a token of that typ (TypeJWT or
// TypeAccess), signed with the newest key of the algorithm. What the claims say
// decides what Verify takes the token for. It returns ErrAlg for HS256, which
// is for Issue alone.
func (s *Service) Sign(ctx context.Context, pool userpool.Pool, alg, typ string, claims []byte) (string, error) {
	if alg == algHS256 {
		return "", fmt.Errorf("sign token: %w", ErrAlg)
	}
	k, err := s.ring.signer(ctx, alg)
	if err != nil {
		return "", fmt.Errorf("sign token of pool %s: %w", pool.ID, err)
	}
	raw, err := seal(k, typ, claims)
	if err != nil {
		return "", fmt.Errorf("sign token of pool %s: %w", pool.ID, err)
	}
	return raw, nil
}

// IssueAccess returns the session's OAuth access token of that stamp, as
// RFC 9068 has it, with a scope that is the session's or less.
//
// The same arguments give the same bytes, as with Issue.
func (s *Service) IssueAccess(ctx context.Context, pool userpool.Pool, session Session, scope string, stamp Stamp) (Token, error) {
	if _, ok := idTime(stamp.ID); !ok {
		return Token{}, fmt.Errorf("issue access token: jti %q is not of NewID", stamp.ID)
	}
	t := Token{IssuedAt: stamp.IssuedAt.UTC().Truncate(time.Second), ExpiresAt: stamp.ExpiresAt.UTC().Truncate(time.Second)}
	b := make([]byte, 0, 512)
	text := func(before, value string) { b = quote.Append(append(b, before...), value) }
	text(`{"iss":`, s.issuer)
	text(`,"sub":`, session.UserID)
	text(`,"aud":`, pool.ID)
	text(`,"client_id":`, pool.ID)
	text(`,"scope":`, scope)
	text(`,"sid":`, session.ID)
	text(`,"jti":`, stamp.ID)
	b = strconv.AppendInt(append(b, `,"iat":`...), t.IssuedAt.Unix(), 10)
	b = append(strconv.AppendInt(append(b, `,"exp":`...), t.ExpiresAt.Unix(), 10), '}')
	var err error
	t.Raw, err = s.Sign(ctx, pool, PublicAlg(pool), TypeAccess, b)
	return t, err
}

// payload is a claims set as it is read: what tells its kind, and what every
// kind is checked by. Pointers are nil where the claim is missing.
type payload struct {
	Data *struct { // Authing's
		UnionID  string `json:"unionid"`
		ID       string `json:"id"`
		ClientID string `json:"clientId"`
	} `json:"data"`
	TokenType *string `json:"tokenType"` // Casdoor's
	UserName  *string `json:"userName"`  // IDaaS's
	ClientID  *string `json:"client_id"` // RFC 9068's
	Party     *string `json:"azp"`       // Casdoor's and id_tokens'

	IssuedAt  int64     `json:"iat"`
	ExpiresAt int64     `json:"exp"`
	Issuer    *string   `json:"iss"`
	Subject   *string   `json:"sub"`
	Audience  *audience `json:"aud"`
	ID        *string   `json:"jti"`
	SessionID string    `json:"sid"`
	Scope     string    `json:"scope"`
	SecretID  *string   `json:"secret_id"` // of a management token
}

// kind returns what the token is by its typ and by what only one kind has; it
// returns 0 for one that has the marks of two, or of none.
func (p payload) kind(typ string) Kind {
	authing, casdoor, access, idaas, management := p.Data != nil, p.TokenType != nil, p.ClientID != nil, p.UserName != nil, p.SecretID != nil
	marks := 0
	for _, has := range []bool{authing, casdoor, access, idaas, management} {
		if has {
			marks++
		}
	}
	switch {
	case marks > 1:
		return 0
	case management && typ == typeManagement && p.Subject != nil:
		return KindManagement
	case access && typ == TypeAccess:
		return KindAccess
	case management, access, typ != TypeJWT:
		return 0
	case authing:
		return KindAuthing
	case casdoor && *p.TokenType == "access-token" && p.Party != nil:
		return KindCasdoor
	case idaas && p.Party == nil:
		return KindIDaaS
	case marks == 0 && p.Party != nil:
		return KindID
	}
	return 0
}

// poolID returns the pool that the token says it is for, by its kind.
func (p payload) poolID(k Kind) string {
	switch k {
	case KindAuthing:
		return p.Data.ClientID
	case KindAccess:
		return *p.ClientID
	case KindCasdoor, KindID:
		return *p.Party
	case KindManagement:
		return *p.Subject
	case KindIDaaS:
		return p.Audience.only()
	}
	return ""
}

// userID returns whom the token is about, "" if it does not say.
func (p payload) userID(k Kind) string {
	switch {
	case k == KindAuthing:
		return p.Data.ID
	case p.Subject == nil:
		return ""
	}
	return *p.Subject
}

// id returns the token's id, under which it would be on the deny-list, and
// whether the jti is as the kind has it. An id_token and one that Authing made
// have none.
func (p payload) id(k Kind) (id string, ok bool) {
	switch {
	case k == KindID:
		return "", p.ID == nil
	case p.ID == nil:
		return "", k == KindAuthing && p.byAuthing()
	case k == KindCasdoor:
		id, ok = strings.CutPrefix(*p.ID, casdoorID)
	default:
		id, ok = *p.ID, true
	}
	if !ok {
		return "", false
	}
	_, ok = idTime(id)
	return id, ok
}

// byAuthing tells whether the claims are those of tokens that Authing made:
// none of the four that came after.
func (p payload) byAuthing() bool {
	return p.Issuer == nil && p.Subject == nil && p.Audience == nil && p.ID == nil
}

// registered tells whether the registered claims agree with the issuer and with
// those that name the user and the pool.
func (p payload) registered(k Kind, issuer string) bool {
	if p.Issuer == nil || *p.Issuer != issuer || p.Subject == nil || *p.Subject != p.userID(k) {
		return false
	}
	if !p.Audience.is(p.poolID(k), k == KindCasdoor) {
		return false
	}
	return k == KindAuthing || k == KindManagement || p.SessionID != ""
}
