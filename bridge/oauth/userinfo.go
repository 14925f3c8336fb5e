package oauth

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// What a Bearer token is refused for, RFC 6750 §3.1.
var (
	errNoToken       = errors.New("oauth: no Bearer token")
	errNotEnough     = errors.New("oauth: the token's scope does not have openid")
	errTokenTwice    = userpool.Invalid("access_token", "is given in more than one way", "以多种方式给出")
	errTokenInURL    = userpool.Invalid("access_token", "must not be in the query", "不能放在查询字符串中")
	errAuthorization = userpool.Invalid("Authorization", "must be one header with a Bearer token", "必须为一个带 Bearer 令牌的请求头")
)

// UserInfo answers GET and POST /oauth/userinfo: what the token's scope lets be
// told of its user, as they are now.
func (a *API) UserInfo(c echo.Context) error {
	ctx := c.Request().Context()
	raw, err := bearer(c.Request())
	if err != nil {
		return err
	}
	claims, err := a.tokens.Verify(ctx, raw, token.KindAccess, token.KindCasdoor)
	var user userpool.User
	if err == nil {
		c.Set(wire.KeyPool, claims.PoolID)
		if claims.Kind == token.KindAccess && !has(claims.Scope, scopeOpenID) {
			return errNotEnough
		}
		user, err = a.pools.User(ctx, claims.PoolID, claims.UserID)
	}
	// Here it is the token that is not good; there is no grant.
	if errors.Is(err, userpool.ErrUserNotFound) || errors.Is(err, userpool.ErrBlocked) {
		err = token.ErrInvalid
	}
	if err != nil {
		return err
	}
	out := struct {
		Subject  string `json:"sub"`
		Issuer   string `json:"iss,omitempty"` // these two for Casdoor's clients
		Audience string `json:"aud,omitempty"`
		about
	}{Subject: user.ID, about: tell(user, claims.Scope)}
	if claims.Kind == token.KindCasdoor {
		out.Issuer, out.Audience = a.issuer, claims.PoolID
	}
	return wire.OK(c, out)
}

// bearer returns the request's token, of the Authorization header or of a form
// (RFC 6750 §2.1, §2.2).
func bearer(r *http.Request) (string, error) {
	if query, err := url.ParseQuery(r.URL.RawQuery); err != nil || query.Has("access_token") {
		return "", errTokenInURL
	}
	var inForm string
	if r.Method == http.MethodPost && isForm(r.Header) {
		body, err := wire.ReadBody(r)
		if err != nil {
			return "", err
		}
		f, err := parseForm(string(body))
		if err != nil {
			return "", err
		}
		inForm = f["access_token"]
	}
	header, sent := r.Header["Authorization"]
	if !sent {
		if inForm == "" {
			return "", errNoToken
		}
		return inForm, nil
	}
	scheme, raw, _ := strings.Cut(header[0], " ")
	switch {
	case inForm != "":
		return "", errTokenTwice
	case len(header) != 1, raw == "" || strings.Contains(raw, " "):
		return "", errAuthorization
	case !strings.EqualFold(scheme, "Bearer"):
		return "", errNoToken
	}
	return raw, nil
}
