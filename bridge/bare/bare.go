// Package bare is echo with nothing behind it: the measure that the bench puts
// beside the bridge.
package bare

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
)

// Handler returns an echo that answers every POST at the paths that are measured
// with body.
func Handler(body []byte) http.Handler {
	e := echo.New()
	answer := func(c echo.Context) error { return wire.Blob(c, http.StatusOK, body) }
	e.POST("/oauth/app2wxapp/ticket/:userPoolId", answer)
	e.POST("/oauth/app2wxapp/auth/:userPoolId", answer)
	e.POST("/v1/iam/oauth/token", answer)
	return e
}
