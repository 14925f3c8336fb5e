package casdoor

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// introspection is an answer of RFC 7662 with the types that Casdoor's clients
// decode.
type introspection struct {
	Active    bool     `json:"active"`
	Scope     string   `json:"scope,omitempty"`
	ClientID  string   `json:"client_id,omitempty"`
	Username  string   `json:"username,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	ExpiresAt int64    `json:"exp,omitempty"`
	IssuedAt  int64    `json:"iat,omitempty"`
	NotBefore int64    `json:"nbf,omitempty"`
	Subject   string   `json:"sub,omitempty"`
	Audience  []string `json:"aud,omitempty"`
	Issuer    string   `json:"iss,omitempty"`
	ID        string   `json:"jti,omitempty"`
}

// Introspect answers POST /v1/iam/oauth/introspect: whether a token of the
// client, which shows its secret, holds now. Of any other nothing is told.
func (a *API) Introspect(c echo.Context) error {
	p, err := readParams(c.Request())
	if err != nil {
		return err
	}
	pool, err := a.confidential(c, p)
	if err != nil {
		return err
	}
	if p.Token == "" {
		return userpool.Invalid("token", "is required", "必填")
	}
	look := a.introspectAccess
	if opaque(p.Token) {
		look = a.introspectRefresh
	}
	found, err := look(c.Request().Context(), pool, p.Token)
	if notGood(err) {
		return wire.OK(c, introspection{})
	}
	if err != nil {
		return err
	}
	return wire.OK(c, found)
}

// opaque tells whether the text can be a refresh token: a JWT has dots.
func opaque(shown string) bool { return !strings.Contains(shown, ".") }

// notGood tells whether the error is about what was shown.
func notGood(err error) bool {
	for _, bad := range []error{token.ErrInvalid, token.ErrExpired, token.ErrSession, userpool.ErrBlocked, userpool.ErrUserNotFound} {
		if errors.Is(err, bad) {
			return true
		}
	}
	return false
}

func (a *API) introspectAccess(ctx context.Context, pool userpool.Pool, shown string) (introspection, error) {
	claims, err := a.tokens.Verify(ctx, shown, token.KindCasdoor)
	if err != nil {
		return introspection{}, err
	}
	if claims.PoolID != pool.ID {
		return introspection{}, token.ErrInvalid
	}
	u, err := a.pools.User(ctx, pool.ID, claims.UserID)
	return introspection{
		Active: true, Scope: claims.Scope, ClientID: pool.ID, Username: nameOf(u), TokenType: "Bearer",
		ExpiresAt: claims.ExpiresAt.Unix(), IssuedAt: claims.IssuedAt.Unix(), NotBefore: claims.IssuedAt.Unix(),
		Subject: u.ID, Audience: []string{pool.ID}, Issuer: a.issuer, ID: claims.JTI(),
	}, err
}

func (a *API) introspectRefresh(ctx context.Context, pool userpool.Pool, shown string) (introspection, error) {
	session, newest, err := a.tokens.Lookup(ctx, shown)
	if err != nil {
		return introspection{}, err
	}
	if !newest || session.PoolID != pool.ID || session.Kind != token.KindCasdoor {
		return introspection{}, token.ErrSession
	}
	if err := a.tokens.Standing(ctx, session); err != nil {
		return introspection{}, err
	}
	u, err := a.pools.User(ctx, pool.ID, session.UserID)
	return introspection{
		Active: true, Scope: session.Scope, ClientID: pool.ID, Username: nameOf(u), TokenType: "Bearer",
		ExpiresAt: session.ExpiresAt.Unix(), IssuedAt: session.CreatedAt.Unix(), NotBefore: session.CreatedAt.Unix(),
		Subject: u.ID, Audience: []string{pool.ID}, Issuer: a.issuer, ID: token.CasdoorID(session.ID),
	}, err
}

// Revoke answers POST /v1/iam/oauth/revoke (RFC 7009). A refresh token takes
// its session with it. What is not a good token of the client is revoked
// already.
func (a *API) Revoke(c echo.Context) error {
	p, err := readParams(c.Request())
	if err != nil {
		return err
	}
	pool, err := a.client(c, p)
	if err != nil {
		return err
	}
	if p.Token == "" {
		return userpool.Invalid("token", "is required", "必填")
	}
	ctx := c.Request().Context()
	if opaque(p.Token) {
		session, _, err := a.tokens.Lookup(ctx, p.Token)
		if err == nil && session.PoolID == pool.ID && session.Kind == token.KindCasdoor {
			err = a.tokens.End(ctx, pool.ID, session.ID)
		}
		if err != nil && !notGood(err) {
			return err
		}
		return c.NoContent(http.StatusOK)
	}
	claims, err := a.tokens.Verify(ctx, p.Token, token.KindCasdoor)
	if err == nil && claims.PoolID == pool.ID {
		err = a.tokens.Revoke(ctx, claims)
	}
	if err != nil && !notGood(err) {
		return err
	}
	return c.NoContent(http.StatusOK)
}
