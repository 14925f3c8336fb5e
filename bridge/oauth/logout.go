package oauth

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// What a logout is refused for.
var (
	errRedirect = userpool.Invalid("post_logout_redirect_uri", "is not supported: no client has one registered", "不支持：没有客户端登记过回跳地址")
	errHint     = userpool.Invalid("id_token_hint", "must be an id_token of this server for this client", "必须为本服务器签发给该客户端的 id_token")
)

// Logout answers GET and POST /oauth/logout, OpenID Connect RP-Initiated Logout
// 1.0: it ends the session that the id_token_hint is of, which may be expired.
func (a *API) Logout(c echo.Context) error {
	f, err := logoutForm(c.Request())
	if err != nil {
		return err
	}
	if f["post_logout_redirect_uri"] != "" {
		return errRedirect
	}
	hint, err := f.need("id_token_hint")
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	claims, err := a.tokens.Hint(ctx, hint)
	switch {
	case errors.Is(err, token.ErrInvalid), err == nil && f["client_id"] != "" && f["client_id"] != claims.PoolID:
		return errHint
	case err != nil:
		return err
	}
	c.Set(wire.KeyPool, claims.PoolID)
	if err := a.tokens.End(ctx, claims.PoolID, claims.SessionID); err != nil {
		return err
	}
	return wire.OK(c, struct {
		SignedOut bool `json:"signed_out"`
	}{true})
}

// logoutForm returns the parameters, which GET has in the query.
func logoutForm(r *http.Request) (form, error) {
	if r.Method == http.MethodPost {
		return readForm(r)
	}
	return parseForm(r.URL.RawQuery)
}
