package oauth

import (
	"context"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"app2wxapp/token"
	"app2wxapp/userpool"
)

// Revoke answers POST /oauth/revoke: a refresh token ends its session, an access
// token itself only. One that does not hold any more is none to revoke, and no
// error (RFC 7009 §2.2); one of another client is refused.
func (a *API) Revoke(c echo.Context) error {
	f, pool, _, err := a.authenticate(c)
	if err != nil {
		return err
	}
	shown, err := f.need("token")
	if err != nil {
		return err
	}
	end := a.revokeAccess
	if opaque(shown) {
		end = a.revokeRefresh
	}
	if err := end(c.Request().Context(), pool, shown); err != nil {
		return err
	}
	return c.NoContent(http.StatusOK)
}

func (a *API) revokeAccess(ctx context.Context, pool userpool.Pool, shown string) error {
	claims, err := a.tokens.Verify(ctx, shown, token.KindAccess, token.KindCasdoor)
	switch {
	case notGood(err):
		return nil
	case err != nil:
		return err
	case claims.PoolID != pool.ID:
		return errOtherClient
	}
	return a.tokens.Revoke(ctx, claims)
}

func (a *API) revokeRefresh(ctx context.Context, pool userpool.Pool, shown string) error {
	session, _, err := a.tokens.Lookup(ctx, shown)
	switch {
	case errors.Is(err, token.ErrSession):
		return nil
	case err != nil:
		return err
	case session.PoolID != pool.ID:
		return errOtherClient
	}
	return a.tokens.End(ctx, pool.ID, session.ID)
}
