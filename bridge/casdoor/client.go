package casdoor

import (
	"errors"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// Clients that are not let in.
var (
	errNoClient   = errors.New("casdoor: no client credentials")
	errClientID   = errors.New("casdoor: no such client")
	errClientAuth = errors.New("casdoor: the client did not show its secret")
)

// credentials returns the client's id and secret: those of the parameters, or of
// Basic authentication if they have no secret.
func (p params) credentials() (id, secret string, err error) {
	if !p.basic || p.ClientSecret != "" {
		return p.ClientID, p.ClientSecret, nil
	}
	if p.ClientID != "" && p.ClientID != p.basicID {
		return "", "", userpool.Invalid("client_id", "is not that of the Authorization header", "与 Authorization 请求头不一致")
	}
	return p.basicID, p.basicSecret, nil
}

// client returns the pool that the parameters name. A secret is checked if it
// is there: mini programs have none.
func (a *API) client(c echo.Context, p params) (userpool.Pool, error) {
	id, secret, err := p.credentials()
	if err != nil {
		return userpool.Pool{}, err
	}
	pool, err := a.pools.Pool(c.Request().Context(), id)
	if errors.Is(err, userpool.ErrPoolNotFound) {
		return pool, errClientID
	}
	if err != nil {
		return pool, err
	}
	of(c, pool)
	if secret == "" {
		return pool, nil
	}
	_, err = a.tickets.Authenticate(pool, secret, wire.Addr(c))
	return pool, err
}

// confidential is client for calls that need the secret.
func (a *API) confidential(c echo.Context, p params) (userpool.Pool, error) {
	id, secret, err := p.credentials()
	switch {
	case err != nil:
		return userpool.Pool{}, err
	case id == "" && secret == "":
		return userpool.Pool{}, errNoClient
	case secret == "":
		return userpool.Pool{}, errClientAuth
	}
	pool, err := a.client(c, p)
	if errors.Is(err, errClientID) || errors.Is(err, userpool.ErrSecretWrong) {
		err = errClientAuth
	}
	return pool, err
}
