package oauth

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"strings"
	"time"

	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// idTokenLife is how long an id_token is good at most: it tells of a sign-in,
// and is looked at once.
const idTokenLife = time.Hour

// about is what a scope lets be told of a user, OpenID Connect Core §5.1. What
// is not known is left out.
type about struct {
	Name      string `json:"name,omitempty"`
	Nickname  string `json:"nickname,omitempty"`
	Picture   string `json:"picture,omitempty"`
	Gender    string `json:"gender,omitempty"`
	Locale    string `json:"locale,omitempty"`
	UpdatedAt int64  `json:"updated_at,omitempty"`

	Phone         string `json:"phone_number,omitempty"` // E.164
	PhoneVerified *bool  `json:"phone_number_verified,omitempty"`
}

func tell(u userpool.User, scope string) (t about) {
	if has(scope, scopeProfile) {
		p := u.Profile
		t.Name, t.Nickname, t.Picture = p.Nickname, p.Nickname, p.AvatarURL
		t.Gender = map[int]string{1: "male", 2: "female"}[p.Gender]
		t.Locale = strings.ReplaceAll(p.Language, "_", "-") // WeChat's zh_CN is BCP 47's zh-CN
		t.UpdatedAt = u.UpdatedAt.Unix()
	}
	if has(scope, scopePhone) && u.Phone != "" {
		// Numbers come from WeChat, which verified them, or from the operator.
		verified := true
		t.Phone, t.PhoneVerified = string(u.Phone), &verified
	}
	return t
}

// idToken returns the id_token that goes with the access token, OpenID Connect
// Core §2.
func (a *API) idToken(ctx context.Context, pool userpool.Pool, user userpool.User, session token.Session, scope string, access token.Token, nonce string) (string, error) {
	alg := token.PublicAlg(pool)
	end := access.IssuedAt.Add(idTokenLife)
	if access.ExpiresAt.Before(end) {
		end = access.ExpiresAt
	}
	claims, err := wire.JSON(struct {
		Issuer    string `json:"iss"`
		Subject   string `json:"sub"`
		Audience  string `json:"aud"`
		Party     string `json:"azp"`
		ExpiresAt int64  `json:"exp"`
		IssuedAt  int64  `json:"iat"`
		AuthTime  int64  `json:"auth_time"`
		Nonce     string `json:"nonce,omitempty"`
		SessionID string `json:"sid"`
		Hash      string `json:"at_hash"`
		about
	}{
		a.issuer, user.ID, pool.ID, pool.ID, end.Unix(), access.IssuedAt.Unix(), session.CreatedAt.Unix(), nonce, session.ID,
		leftHalf(alg, access.Raw), tell(user, scope),
	})
	if err != nil {
		return "", err
	}
	return a.tokens.Sign(ctx, pool, alg, token.TypeJWT, claims)
}

// leftHalf returns the at_hash: half of the hash that the algorithm has in it,
// which for Ed25519 is SHA-512.
func leftHalf(alg, raw string) string {
	if alg == "EdDSA" {
		sum := sha512.Sum512([]byte(raw))
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	sum := sha256.Sum256([]byte(raw))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
