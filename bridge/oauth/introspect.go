package oauth

import (
	"context"
	"errors"
	"strings"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// errOtherClient is a token of another client.
var errOtherClient = errors.New("oauth: the token was issued to another client")

// introspection is an answer of RFC 7662 §2.2.
type introspection struct {
	Active    bool   `json:"active"`
	Scope     string `json:"scope,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	TokenType string `json:"token_type,omitempty"`
	ExpiresAt int64  `json:"exp,omitempty"`
	IssuedAt  int64  `json:"iat,omitempty"`
	Subject   string `json:"sub,omitempty"`
	Audience  any    `json:"aud,omitempty"` // as in the token
	Issuer    string `json:"iss,omitempty"`
	ID        string `json:"jti,omitempty"`
	SessionID string `json:"sid,omitempty"`
}

// Introspect answers POST /oauth/introspect: whether a token of this client
// holds now. The client must show its secret, also where the pool lets it
// redeem without. Of whatever else is shown nothing is told.
func (a *API) Introspect(c echo.Context) error {
	f, pool, proved, err := a.authenticate(c)
	if err != nil {
		return err
	}
	if !proved {
		return userpool.ErrSecretRequired
	}
	shown, err := f.need("token")
	if err != nil {
		return err
	}
	look := a.introspectAccess
	if opaque(shown) {
		look = a.introspectRefresh
	}
	found, err := look(c.Request().Context(), pool, shown)
	if err != nil {
		return err
	}
	return wire.OK(c, found)
}

// opaque tells whether the text may be a refresh token: a JWT has dots.
func opaque(shown string) bool { return !strings.Contains(shown, ".") }

func (a *API) introspectAccess(ctx context.Context, pool userpool.Pool, shown string) (introspection, error) {
	claims, err := a.tokens.Verify(ctx, shown, token.KindAccess, token.KindCasdoor)
	switch {
	case notGood(err), err == nil && claims.PoolID != pool.ID:
		return introspection{}, nil
	case err != nil:
		return introspection{}, err
	}
	in := introspection{
		Active: true, Scope: claims.Scope, ClientID: claims.PoolID, TokenType: "Bearer",
		ExpiresAt: claims.ExpiresAt.Unix(), IssuedAt: claims.IssuedAt.Unix(), Subject: claims.UserID,
		Audience: claims.PoolID, Issuer: a.issuer, ID: claims.JTI(), SessionID: claims.SessionID,
	}
	if claims.Kind == token.KindCasdoor {
		in.Audience = []string{claims.PoolID}
	}
	return in, nil
}

func (a *API) introspectRefresh(ctx context.Context, pool userpool.Pool, shown string) (introspection, error) {
	session, newest, err := a.tokens.Lookup(ctx, shown)
	if err == nil && newest && session.PoolID == pool.ID {
		err = a.tokens.Standing(ctx, session)
	} else if err == nil {
		err = token.ErrSession
	}
	switch {
	case errors.Is(err, token.ErrSession), errors.Is(err, userpool.ErrBlocked):
		return introspection{}, nil
	case err != nil:
		return introspection{}, err
	}
	return introspection{
		Active: true, Scope: session.Scope, ClientID: session.PoolID, ExpiresAt: session.ExpiresAt.Unix(),
		IssuedAt: session.CreatedAt.Unix(), Subject: session.UserID, Issuer: a.issuer, SessionID: session.ID,
	}, nil
}

// notGood tells whether the error is one of Verify about the token itself.
func notGood(err error) bool {
	return errors.Is(err, token.ErrInvalid) || errors.Is(err, token.ErrExpired) || errors.Is(err, token.ErrMissing)
}
