package bridge

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// redeem answers POST /oauth/app2wxapp/auth/:userPoolId, contract section 4.2.
func (s *Server) redeem(c echo.Context) error {
	ctx := c.Request().Context()
	pool, err := s.pools.Pool(ctx, c.Param("userPoolId"))
	if err != nil {
		return err
	}
	c.Set(keyPool, pool.ID)
	c.Set(keyEnvelope, pool.Envelope)

	attempt, err := readAttempt(c.Request())
	if err != nil {
		return err
	}
	attempt.Addr = wire.Addr(c)
	done, err := s.tickets.Redeem(ctx, pool, attempt)
	if err != nil {
		return err
	}
	// The ticket is spent and that is on disk. Should making the token fail, a
	// repeat with the same Idempotency-Key makes the same one.
	t, err := s.tokens.Issue(ctx, pool, done.User, token.Stamp{ID: done.JTI, IssuedAt: done.At, ExpiresAt: done.TokenExpiresAt})
	if err != nil {
		return err
	}
	a := answers.Get().(*answer)
	defer answers.Put(a)
	body := a.profile(done.User, done.Ticket.AppID, t)
	if pool.Envelope {
		return wire.OK(c, struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Data    string `json:"data"` // the user as JSON text: AuthingIOSDemo parses it once more
		}{200, "获取用户信息成功", string(body)})
	}
	return wire.Blob(c, http.StatusOK, body)
}

// readAttempt reads a redemption. The ticket may be in the body, there also as
// "tickett", and in the query; secret and verifier are taken from the body
// only, since URLs are logged everywhere.
func readAttempt(r *http.Request) (a ticket.Attempt, err error) {
	var misspelt string
	if err := wire.Read(r, wire.Fields{
		"ticket": &a.Ticket, "tickett": &misspelt, "secret": &a.Secret, "code_verifier": &a.Verifier,
	}); err != nil {
		return a, err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return a, userpool.Invalid("query", "must be well-formed", "格式不正确")
	}
	for _, given := range append(query["ticket"], misspelt) {
		switch {
		case given == "":
		case a.Ticket == "":
			a.Ticket = given
		case a.Ticket != given:
			return a, userpool.Invalid("ticket", "is given twice and differs", "给出了两个不同的值")
		}
	}
	a.IdempotencyKey, err = wire.IdempotencyKey(r)
	return a, err
}
