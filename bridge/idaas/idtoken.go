package idaas

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/quote"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// algorithm of the id_token: the vendor's sample reads every key as an RSA one.
const algorithm = "RS256"

// idToken returns the session's id_token: what tenants of the product are known
// to have, in one. Readers differ in where they look for the user.
func (a *API) idToken(ctx context.Context, pool userpool.Pool, u userpool.User, o token.Opened) (string, error) {
	b := make([]byte, 0, 1024)
	text := func(before, value string) { b = quote.Append(append(b, before...), value) }
	num := func(before string, n int64) { b = strconv.AppendInt(append(b, before...), n, 10) }
	about := aboutOf(u)
	text(`{"iss":`, a.issuer)
	text(`,"sub":`, u.ID)
	text(`,"aud":`, pool.ID)
	num(`,"exp":`, o.Stamp.ExpiresAt.Unix())
	num(`,"iat":`, o.Stamp.IssuedAt.Unix())
	text(`,"jti":`, o.Stamp.ID)
	text(`,"sid":`, o.Session.ID)
	b = append(b, ',')
	b = about.append(b)
	text(`,"api":`, "{"+string(about.append(nil))+"}")
	return a.tokens.Sign(ctx, pool, algorithm, token.TypeJWT, append(b, '}'))
}

// about is what the dialect tells of a user; none is missing.
type about struct{ userName, name, mobile, email string }

func aboutOf(u userpool.User) about {
	return about{userName: nameOf(u), name: u.Profile.Nickname, mobile: mobile(u.Phone)}
}

// append appends the members.
func (t about) append(b []byte) []byte {
	b = quote.Append(append(b, `"userName":`...), t.userName)
	b = quote.Append(append(b, `,"name":`...), t.name)
	b = quote.Append(append(b, `,"mobile":`...), t.mobile)
	return quote.Append(append(b, `,"email":`...), t.email)
}

// nameOf is a user's userName. Clients take it for a key, so nobody has none.
func nameOf(u userpool.User) string {
	if u.Username == "" {
		return u.ID
	}
	return u.Username
}

// mobile returns the number as the product writes it: +86-13800000000. Of other
// countries it is not known where the calling code ends.
func mobile(p userpool.Phone) string {
	if local, ok := strings.CutPrefix(string(p), "+86"); ok {
		return "+86-" + local
	}
	return string(p)
}

// Keys answers GET /api/v1/oauth2/keys: the RSA keys alone, since one of another
// kind stops the vendor's sample. Anybody's page may read it.
func (a *API) Keys(c echo.Context) error {
	set, err := a.tokens.JWKS(c.Request().Context())
	if err != nil {
		return err
	}
	keys := token.Set{Keys: []token.JWK{}}
	for _, k := range set.Keys {
		if k.Alg == algorithm {
			keys.Keys = append(keys.Keys, k)
		}
	}
	c.Response().Header().Set(echo.HeaderAccessControlAllowOrigin, "*")
	return wire.OK(c, keys)
}

// UserInfo answers GET /api/v1/oauth2/userinfo for an id_token as Bearer: the
// only token for a reader that this dialect has.
func (a *API) UserInfo(c echo.Context) error {
	ctx := c.Request().Context()
	scheme, raw, _ := strings.Cut(header(c, echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		raw = ""
	}
	claims, err := a.tokens.Verify(ctx, strings.TrimSpace(raw), token.KindIDaaS)
	var u userpool.User
	if err == nil {
		c.Set(wire.KeyPool, claims.PoolID)
		u, err = a.pools.User(ctx, claims.PoolID, claims.UserID)
	}
	if errors.Is(err, userpool.ErrUserNotFound) || errors.Is(err, userpool.ErrBlocked) {
		err = token.ErrInvalid
	}
	if err != nil {
		return err
	}
	t := aboutOf(u)
	return wire.OK(c, struct {
		ID       string `json:"id"`
		UserName string `json:"userName"`
		Name     string `json:"name"`
		Email    string `json:"email"`
		Mobile   string `json:"mobile"`
	}{u.ID, t.userName, t.name, t.email, t.mobile})
}
