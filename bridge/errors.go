package bridge

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/admin"
	"app2wxapp/bridge/wire"
)

// fail answers a request with an error: the one place where errors become
// HTTP. What is ours, 5xx, is logged here with its cause; the caller gets the
// request's id to quote.
func (s *Server) fail(err error, c echo.Context) {
	p := problem(err)
	shed := err == errShed
	if !shed { // counted; under overload a line for each would make it worse
		c.Set(keyOutcome, p.Slug)
	}
	if p.Status >= 500 && !shed {
		s.log.Error("request failed", "route", c.Path(), "pool", c.Get(keyPool), "error", p.Slug, "err", err, "request_id", requestID(c))
	}
	if c.Response().Committed {
		return
	}
	p.SetRetryAfter(c.Response().Header())
	if allow, _ := c.Get(echo.ContextKeyHeaderAllow).(string); p == wire.MethodNotAllowed {
		c.Response().Header().Set(echo.HeaderAllow, strings.TrimPrefix(allow, "OPTIONS, "))
	}
	if envelope, _ := c.Get(keyEnvelope).(bool); envelope {
		err = wire.OK(c, struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Data    any    `json:"data"`
		}{p.Code, p.Message(c.Request()), nil})
	} else {
		err = wire.Respond(c, p.Status, struct {
			Code      int    `json:"code"`
			Error     string `json:"error"`
			Message   string `json:"message"`
			RequestID string `json:"requestId"`
		}{p.Code, p.Slug, p.Message(c.Request()), requestID(c)})
	}
	if err != nil {
		s.log.Debug("answer an error", "err", err, "request_id", requestID(c))
	}
}

// problem translates an error of the domain or of the router.
func problem(err error) wire.Problem {
	if err == errShed {
		return shedProblem
	}
	if he := (*echo.HTTPError)(nil); errors.As(err, &he) {
		switch he.Code {
		case http.StatusNotFound:
			return wire.NotFound
		case http.StatusMethodNotAllowed:
			return wire.MethodNotAllowed
		}
	}
	if errors.Is(err, admin.ErrUnauthenticated) {
		return wire.Unauthenticated
	}
	return wire.ProblemOf(err)
}
