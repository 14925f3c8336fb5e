package idaas

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// sessionHeader carries the session_token.
const sessionHeader = "session-token"

// IDToken answers POST /api/v2/sdk/sso/session-token/id-token. Its body, if there
// is one, says nothing.
func (a *API) IDToken(c echo.Context) error {
	pool, err := a.client(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	var o token.Opened
	var u userpool.User
	err = a.guarded(c, func() (err error) {
		if o, err = a.tokens.Resume(ctx, pool, header(c, sessionHeader)); err == nil {
			u, err = a.pools.User(ctx, pool.ID, o.Session.UserID)
		}
		if errors.Is(err, userpool.ErrBlocked) || errors.Is(err, userpool.ErrUserNotFound) {
			err = token.ErrSession
		}
		return err
	})
	if err != nil {
		return err
	}
	id, err := a.idToken(ctx, pool, u, o)
	if err != nil {
		return err
	}
	return wire.OK(c, struct {
		SessionToken string `json:"session_token"`
		Expire       int    `json:"expire"` // seconds
		IDToken      string `json:"id_token"`
	}{o.Token, int(o.Left.Seconds()), id})
}

// Logout answers GET /api/v2/sdk/logout: the session is over, also if it was
// before.
func (a *API) Logout(c echo.Context) error {
	pool, err := a.client(c)
	if err != nil {
		return err
	}
	if err := a.tokens.Close(c.Request().Context(), pool, header(c, sessionHeader)); err != nil {
		return err
	}
	return c.NoContent(http.StatusOK)
}
