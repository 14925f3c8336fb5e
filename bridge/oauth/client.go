package oauth

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// errClient is a client that did not show who it is. What a wrong secret and an
// unknown pool are called is the same.
var errClient = errors.New("oauth: the client is unknown, or did not authenticate")

// client is who calls, as they say.
type client struct {
	id     string
	secret string // "" for none
}

// readClient returns the client of the Authorization header (Basic, RFC 6749
// §2.3.1) or of the form. A secret in both is refused.
func readClient(r *http.Request, f form) (c client, err error) {
	header, sent := r.Header["Authorization"]
	if !sent {
		if f["client_id"] == "" {
			return c, errClient
		}
		return client{f["client_id"], f["client_secret"]}, nil
	}
	if f["client_secret"] != "" {
		return c, userpool.Invalid("client_secret", "must not be in the body beside an Authorization header", "已有 Authorization 请求头时不能再出现在请求体中")
	}
	if len(header) != 1 {
		return c, errClient
	}
	if c, err = parseBasic(header[0]); err != nil {
		return c, err
	}
	if said := f["client_id"]; said != "" && said != c.id {
		return c, userpool.Invalid("client_id", "is not that of the Authorization header", "与 Authorization 请求头不一致")
	}
	return c, nil
}

// parseBasic reads Basic credentials, of which each half is form-urlencoded.
func parseBasic(header string) (c client, err error) {
	scheme, credentials, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return c, errClient
	}
	both, err := base64.StdEncoding.DecodeString(strings.TrimSpace(credentials))
	if err != nil {
		return c, errClient
	}
	id, secret, _ := strings.Cut(string(both), ":")
	if c.id, err = url.QueryUnescape(id); err != nil || c.id == "" {
		return client{}, errClient
	}
	if c.secret, err = url.QueryUnescape(secret); err != nil {
		return client{}, errClient
	}
	return c, nil
}

// pool returns the client's pool.
func (a *API) pool(c echo.Context, who client) (userpool.Pool, error) {
	pool, err := a.pools.Pool(c.Request().Context(), who.id)
	if errors.Is(err, userpool.ErrPoolNotFound) {
		return pool, errClient
	}
	if err == nil {
		c.Set(wire.KeyPool, pool.ID)
	}
	return pool, err
}

// authenticate returns the form and the client's pool after the client has
// shown its secret, or where the pool lets it be without one: then proved is
// false.
func (a *API) authenticate(c echo.Context) (f form, pool userpool.Pool, proved bool, err error) {
	if f, err = readForm(c.Request()); err != nil {
		return nil, pool, false, err
	}
	who, err := readClient(c.Request(), f)
	if err != nil {
		return nil, pool, false, err
	}
	if pool, err = a.pool(c, who); err != nil {
		return nil, pool, false, err
	}
	proved, err = a.tickets.Authenticate(pool, who.secret, wire.Addr(c))
	return f, pool, proved, err
}
