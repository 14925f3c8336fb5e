package bridge

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

// checkToken answers GET /authing/token, contract section 4.4. To its clients a
// token that does not hold is data, not an error: HTTP 200 with status false.
func (s *Server) checkToken(c echo.Context) error {
	raw, err := givenToken(c.Request())
	if err != nil {
		return err
	}
	type checked struct {
		Data     any   `json:"data"`
		IssuedAt int64 `json:"iat"`
		Expires  int64 `json:"exp"`
	}
	type answer struct {
		Status  bool     `json:"status"`
		Code    int      `json:"code"`
		Message string   `json:"message"`
		Token   *checked `json:"token,omitempty"`
	}
	say := func(zh, en string) string {
		if wire.English(c.Request()) {
			return en
		}
		return zh
	}
	claims, err := s.tokens.Verify(c.Request().Context(), raw, token.KindAuthing)
	switch {
	case errors.Is(err, token.ErrMissing):
		return wire.OK(c, answer{Code: 2020, Message: say("未登录", "not signed in")})
	case errors.Is(err, token.ErrExpired):
		return wire.OK(c, answer{Code: 2206, Message: say("登录信息已过期", "the login has expired")})
	case errors.Is(err, token.ErrInvalid):
		return wire.OK(c, answer{Code: 2207, Message: say("登录信息有误", "the login is not valid")})
	case err != nil:
		return err
	}
	return wire.OK(c, answer{Status: true, Code: 200, Message: say("已登录", "signed in"), Token: &checked{
		struct {
			UnionID  string `json:"unionid"`
			ID       string `json:"id"`
			ClientID string `json:"clientId"`
		}{claims.UnionID, claims.UserID, claims.PoolID}, claims.IssuedAt.Unix(), claims.ExpiresAt.Unix(),
	}})
}

// givenToken returns the token of the query or of the Authorization header,
// which has it as Bearer or bare.
func givenToken(r *http.Request) (string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", userpool.Invalid("query", "must be well-formed", "格式不正确")
	}
	if raw := query.Get("access_token"); raw != "" {
		return raw, nil
	}
	header := strings.TrimSpace(r.Header.Get("Authorization"))
	if scheme, raw, ok := strings.Cut(header, " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(raw), nil
	}
	return header, nil
}

// jwks answers GET /.well-known/jwks.json (RFC 7517). Anybody's page may read
// it.
func (s *Server) jwks(c echo.Context) error {
	set, err := s.tokens.JWKS(c.Request().Context())
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderAccessControlAllowOrigin, "*")
	return wire.OK(c, set)
}
