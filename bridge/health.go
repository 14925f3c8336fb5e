package bridge

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
)

type health struct {
	Status string `json:"status"`
}

// healthz tells that the process answers.
func (s *Server) healthz(c echo.Context) error { return wire.OK(c, health{"ok"}) }

// readyz tells whether work should be sent here.
func (s *Server) readyz(c echo.Context) error {
	if s.draining.Load() {
		return wire.Respond(c, http.StatusServiceUnavailable, health{"draining"})
	}
	if s.store.Ready() != nil {
		return wire.Respond(c, http.StatusServiceUnavailable, health{"store unavailable"})
	}
	return wire.OK(c, health{"ready"})
}
