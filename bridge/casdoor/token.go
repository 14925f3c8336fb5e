package casdoor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// TagMiniProgram is the tag of a mini program's sign-in.
const TagMiniProgram = "wechat_miniprogram"

const grantRefresh = "refresh_token"

// What the token endpoint refuses besides the domain.
var (
	errGrantType    = errors.New("casdoor: unsupported grant type")
	errRefreshGrant = errors.New("casdoor: another grant type at the refresh endpoint")
	errScope        = errors.New("casdoor: the scope would be more than was granted")
	errOtherClient  = errors.New("casdoor: the refresh token is another client's")
)

// Token answers POST /v1/iam/oauth/token.
func (a *API) Token(c echo.Context) error {
	p, err := readParams(c.Request())
	if err != nil {
		return err
	}
	return a.token(c, p)
}

func (a *API) token(c echo.Context, p params) error {
	switch {
	case p.Tag == TagMiniProgram: // whatever the grant_type
		return a.signIn(c, p)
	case p.GrantType == grantRefresh:
		return a.refresh(c, p)
	}
	if _, err := a.client(c, p); err != nil {
		return err
	}
	return errGrantType
}

// Refresh answers POST /v1/iam/oauth/refresh.
func (a *API) Refresh(c echo.Context) error {
	p, err := readParams(c.Request())
	if err != nil {
		return err
	}
	id, _, err := p.credentials()
	switch {
	case err != nil:
		return err
	case p.GrantType != "" && p.GrantType != grantRefresh:
		return errRefreshGrant
	case id == "":
		return errNoClient
	}
	return a.refresh(c, p)
}

// OrElse is around the handler of another dialect at POST /oauth/token, which
// is also a name of this one's: it answers what has the mini program's tag, and
// the refresh of what came of that. The errors are to be told by TellOr.
func (a *API) OrElse(other echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		body, err := wire.ReadBody(c.Request())
		if err != nil {
			return err
		}
		p, err := readParams(c.Request())
		if err != nil || !a.own(c.Request().Context(), p) {
			c.Request().Body = io.NopCloser(bytes.NewReader(body))
			return other(c)
		}
		if err := a.token(c, p); err != nil {
			return own{err}
		}
		return nil
	}
}

func (a *API) own(ctx context.Context, p params) bool {
	if p.Tag == TagMiniProgram {
		return true
	}
	if p.GrantType != grantRefresh {
		return false
	}
	session, _, err := a.tokens.Lookup(ctx, p.RefreshToken)
	return err == nil && session.Kind == token.KindCasdoor
}

// signIn signs a mini program's user in.
func (a *API) signIn(c echo.Context, p params) error {
	as(c, audit.User)
	ctx := c.Request().Context()
	pool, err := a.client(c, p)
	if err != nil {
		return err
	}
	from := wire.Addr(c)
	if _, secret, _ := p.credentials(); secret != "" { // which was right: a server with many users
		from = netip.Addr{}
	}
	username, avatar := unset(p.Username), unset(p.Avatar)
	u, err := a.pools.SignIn(ctx, pool, userpool.Login{
		Addr: from, Code: p.Code, Named: true, Username: username, Newcomer: userpool.Profile{Nickname: username, AvatarURL: avatar}.Usable(),
	})
	if err != nil {
		return err
	}
	if err := a.pools.Admit(pool, u.ID); err != nil {
		return err
	}
	g, err := a.tokens.Begin(ctx, pool, u.ID, token.Beginning{Kind: token.KindCasdoor})
	if err != nil {
		return err
	}
	return a.answer(c, pool, u, g)
}

// refresh exchanges a refresh token. The access token before is over with it.
func (a *API) refresh(c echo.Context, p params) error {
	as(c, audit.User)
	ctx := c.Request().Context()
	pool, err := a.client(c, p)
	if err != nil {
		return err
	}
	// Looked at first, so that what is refused here, or fails, uses nothing up.
	u, err := a.refreshable(ctx, pool, p)
	if err != nil {
		return err
	}
	g, err := a.tokens.Refresh(ctx, pool, p.RefreshToken, token.Refreshing{Kind: token.KindCasdoor, RevokePrevious: true})
	if err != nil {
		return err
	}
	return a.answer(c, pool, u, g)
}

// refreshable returns the user of the refresh token.
func (a *API) refreshable(ctx context.Context, pool userpool.Pool, p params) (u userpool.User, err error) {
	session, _, err := a.tokens.Lookup(ctx, p.RefreshToken)
	if err != nil {
		return u, err
	}
	if session.PoolID != pool.ID {
		return u, errOtherClient
	}
	for name := range strings.FieldsSeq(p.Scope) {
		if !slices.Contains(strings.Fields(session.Scope), name) {
			return u, errScope
		}
	}
	u, err = a.pools.User(ctx, pool.ID, session.UserID)
	if errors.Is(err, userpool.ErrUserNotFound) {
		err = token.ErrSession
	}
	return u, err
}

// answer makes the token of the grant and answers with it, under the names of
// all versions of Casdoor's clients; id_token is the access token, as Casdoor
// has it. It is written by hand because it is part of every sign-in; neither
// token needs escaping, and a scope has no quotes.
func (a *API) answer(c echo.Context, pool userpool.Pool, u userpool.User, g token.Grant) error {
	claims := a.claims(pool, u, g)
	raw, err := a.tokens.Sign(c.Request().Context(), pool, token.PublicAlg(pool), token.TypeJWT, claims)
	if err != nil {
		return err
	}
	life := strconv.FormatInt(g.Stamp.ExpiresAt.Unix()-g.Stamp.IssuedAt.Unix(), 10)
	b := make([]byte, 0, 3*len(raw)+512)
	for _, part := range []string{
		`{"access_token":"`, raw, `","id_token":"`, raw, `","refresh_token":"`, g.Refresh, `","token_type":"Bearer","expires_in":`, life,
		`,"scope":"`, g.Session.Scope, `","accessToken":"`, raw, `","refreshToken":"`, g.Refresh, `","tokenType":"Bearer","expiresIn":`, life, `}`,
	} {
		b = append(b, part...)
	}
	return wire.Blob(c, http.StatusOK, b)
}
