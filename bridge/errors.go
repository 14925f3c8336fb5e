package bridge

import (
	"errors"
	"maps"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/admin"
	"app2wxapp/bridge/authing"
	"app2wxapp/bridge/wire"
)

// speaking is around a handler whose errors are told as the dialect does. It
// must be the first one around it.
func speaking(tell wire.Dialect) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.Set(keyDialect, tell)
			return next(c)
		}
	}
}

// byAddress is before the routes: it gives a request the dialect in which it is
// told that there is no such address, or no such method there, by what the
// address is below. Our own has all others. A route says its own dialect.
func (s *Server) byAddress(next echo.HandlerFunc) echo.HandlerFunc {
	asIDaaS := wire.Dialect(s.idaas.Tell)
	return func(c echo.Context) error {
		switch path := c.Request().URL.Path; {
		case strings.HasPrefix(path, "/api/v2/sdk/"):
			c.Set(keyDialect, asIDaaS)
		case strings.HasPrefix(path, "/api/v2/"):
			// Authing's SDKs inherit many calls that nobody speaks here.
			c.Set(keyDialect, wire.Dialect(authing.TellREST))
		}
		return next(c)
	}
}

// fail answers a request with an error: the one place where errors become
// HTTP. What is ours, 5xx, is logged here with its cause; the caller gets the
// request's id to quote.
func (s *Server) fail(err error, c echo.Context) {
	told := s.tell(err, c)
	shed := err == errShed
	if !shed { // counted; under overload a line for each would make it worse
		c.Set(keyOutcome, told.Slug)
	}
	if told.Problem.Status >= 500 && !shed {
		s.log.Error("request failed", "route", c.Path(), "pool", c.Get(keyPool), "error", told.Slug, "err", err, "request_id", requestID(c))
	}
	if c.Response().Committed {
		return
	}
	told.SetRetryAfter(c.Response().Header())
	if allow, _ := c.Get(echo.ContextKeyHeaderAllow).(string); told.Status == http.StatusMethodNotAllowed {
		c.Response().Header().Set(echo.HeaderAllow, strings.TrimPrefix(allow, "OPTIONS, "))
	}
	maps.Copy(c.Response().Header(), told.Header)
	if err := wire.Respond(c, told.Status, told.Body); err != nil {
		s.log.Debug("answer an error", "err", err, "request_id", requestID(c))
	}
}

// tell returns the error in the dialect of the route, our own if it has none.
func (s *Server) tell(err error, c echo.Context) wire.Told {
	if tell, ok := c.Get(keyDialect).(wire.Dialect); ok {
		return tell(c.Request(), err, requestID(c))
	}
	p := problem(err)
	if envelope, _ := c.Get(keyEnvelope).(bool); envelope {
		return wire.Told{Problem: p, Status: http.StatusOK, Body: struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Data    any    `json:"data"`
		}{p.Code, p.Message(c.Request()), nil}}
	}
	return wire.Told{Problem: p, Status: p.Status, Body: struct {
		Code      int    `json:"code"`
		Error     string `json:"error"`
		Message   string `json:"message"`
		RequestID string `json:"requestId"`
	}{p.Code, p.Slug, p.Message(c.Request()), requestID(c)}}
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
	switch {
	case errors.Is(err, admin.ErrUnauthenticated):
		return wire.Unauthenticated
	case errors.Is(err, admin.ErrWrongToken):
		return wire.WrongAdminToken
	}
	return wire.ProblemOf(err)
}
