package oauth

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// errGrantType is a grant_type that is not served here.
var errGrantType = errors.New("oauth: unsupported grant type")

const maxNonce = 255

// Token answers POST /oauth/token.
func (a *API) Token(c echo.Context) error {
	f, err := readForm(c.Request())
	if err != nil {
		return err
	}
	grant, err := f.need("grant_type")
	if err != nil {
		return err
	}
	switch grant {
	case GrantTicket:
		return a.redeem(c, f)
	case grantRefresh:
		return a.refresh(c, f)
	}
	return errGrantType
}

// redeem redeems a ticket. What can be refused of the request is refused before
// the ticket is spent.
func (a *API) redeem(c echo.Context, f form) error {
	ctx := c.Request().Context()
	who, err := readClient(c.Request(), f)
	if err != nil {
		return err
	}
	scope, err := grantable(f["scope"])
	if err != nil {
		return err
	}
	if len(f["nonce"]) > maxNonce {
		return userpool.Invalid("nonce", "is too long", "过长")
	}
	attempt := ticket.Attempt{Ticket: f["ticket"], Secret: who.secret, Verifier: f["code_verifier"], Addr: wire.Addr(c),
		Wanted: strings.Join([]string{GrantTicket, scope, f["nonce"]}, "\n")}
	if attempt.IdempotencyKey, err = wire.IdempotencyKey(c.Request()); err != nil {
		return err
	}
	pool, err := a.pool(c, who)
	if err != nil {
		return err
	}
	done, err := a.tickets.Redeem(ctx, pool, attempt)
	if err != nil {
		return err
	}
	begin := token.Beginning{
		Kind: token.KindAccess, Scope: scope, Stamp: token.Stamp{ID: done.JTI, IssuedAt: done.At, ExpiresAt: done.TokenExpiresAt},
	}
	if attempt.IdempotencyKey != "" { // a repeat gets the same answer
		begin.Seed = attempt.Ticket + " " + attempt.IdempotencyKey
	}
	g, err := a.tokens.Begin(ctx, pool, done.User.ID, begin)
	if err != nil {
		return err
	}
	return a.answer(c, pool, done.User, g, g.Session.Scope, f["nonce"])
}

// refresh exchanges a refresh token.
func (a *API) refresh(c echo.Context, f form) error {
	ctx := audit.With(c.Request().Context(), audit.Actor{Role: audit.Caller, Addr: wire.Addr(c)})
	who, err := readClient(c.Request(), f)
	if err != nil {
		return err
	}
	pool, err := a.pool(c, who)
	if err != nil {
		return err
	}
	if _, err := a.tickets.Authenticate(pool, who.secret, wire.Addr(c)); err != nil {
		return err
	}
	shown, err := f.need("refresh_token")
	if err != nil {
		return err
	}
	// Looked at first, so that what is refused here, or fails, uses nothing up.
	scope, user, err := a.refreshable(ctx, pool, shown, f["scope"])
	if err != nil {
		return err
	}
	g, err := a.tokens.Refresh(ctx, pool, shown, token.Refreshing{Kind: token.KindAccess})
	if err != nil {
		return err
	}
	return a.answer(c, pool, user, g, scope, "")
}

// refreshable returns the scope that a refresh of the pool's token would have,
// and its user.
func (a *API) refreshable(ctx context.Context, pool userpool.Pool, shown, asked string) (string, userpool.User, error) {
	session, _, err := a.tokens.Lookup(ctx, shown)
	if err != nil {
		return "", userpool.User{}, err
	}
	if session.PoolID != pool.ID {
		return "", userpool.User{}, token.ErrSession
	}
	scope, err := narrowed(session.Scope, asked)
	if err != nil {
		return "", userpool.User{}, err
	}
	user, err := a.pools.User(ctx, pool.ID, session.UserID)
	if errors.Is(err, userpool.ErrUserNotFound) {
		err = token.ErrSession
	}
	return scope, user, err
}

// answer makes the tokens of the grant and answers with them, RFC 6749 §5.1.
func (a *API) answer(c echo.Context, pool userpool.Pool, user userpool.User, g token.Grant, scope, nonce string) error {
	ctx := c.Request().Context()
	access, err := a.tokens.IssueAccess(ctx, pool, g.Session, scope, g.Stamp)
	if err != nil {
		return err
	}
	out := struct {
		AccessToken  string `json:"access_token"`
		TokenType    string `json:"token_type"`
		ExpiresIn    int64  `json:"expires_in"`
		RefreshToken string `json:"refresh_token"`
		Scope        string `json:"scope"`
		IDToken      string `json:"id_token,omitempty"`
	}{access.Raw, "Bearer", access.ExpiresAt.Unix() - a.now().Unix(), g.Refresh, scope, ""}
	if has(scope, scopeOpenID) {
		if out.IDToken, err = a.idToken(ctx, pool, user, g.Session, scope, access, nonce); err != nil {
			return err
		}
	}
	c.Response().Header().Set("Pragma", "no-cache") // RFC 6749 §5.1
	return wire.Respond(c, http.StatusOK, out)
}
