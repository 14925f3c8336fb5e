package bridge

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"app2wxapp/bridge/admin"
	"app2wxapp/bridge/authing"
)

// Every URL of the program.

func (s *Server) publicRoutes(e *echo.Echo, sdk *authing.API) http.Handler {
	e.Pre(singleSlashes)

	// Authing's app2wxapp: contract sections 4.1, 4.2 and 4.4.
	e.POST("/oauth/app2wxapp/ticket/:userPoolId", s.issue, s.room.limited)
	e.POST("/oauth/app2wxapp/ticket/:userPoolId/bind", s.bind, s.room.limited)
	e.POST("/oauth/app2wxapp/auth/:userPoolId", s.redeem, s.room.limited)
	e.GET("/authing/token", s.checkToken, s.room.limited)

	// Not limited: an answer of many keys is more than net/http holds back, and
	// whoever does not read it would keep others out.
	e.GET("/.well-known/jwks.json", s.jwks)

	// Authing's SDKs: bridge/authing. Their errors are told in their own shapes.
	rest, graphql := speaking(authing.TellREST), speaking(authing.TellGraphQL)
	e.POST("/connections/social/wechat-miniprogram/auth", sdk.LoginByCode, rest, s.room.limited)
	e.POST("/connections/social/wechat-miniprogram/auth-by-phone", sdk.LoginByPhone, rest, s.room.limited)
	e.POST("/connections/social/wechat-miniprogram/getphone", sdk.Phone, rest, s.room.limited)
	e.POST("/graphql/v2", sdk.GraphQL, graphql, s.room.limited)
	e.POST("/graphql", sdk.GraphQLV1, graphql, s.room.limited)
	e.GET("/api/v2/logout", sdk.Logout, rest, s.room.limited)
	e.GET("/api/v2/userpools/detail", sdk.Detail, rest, s.room.limited)
	e.POST("/api/v2/upload", sdk.Upload, speaking(authing.TellUpload), s.room.limited)
	e.Any("/api/v2/*", sdk.Unsupported, rest, s.room.limited)
	// Not limited: a picture is more than net/http holds back.
	e.GET("/uploads/:name", sdk.Picture)

	s.healthRoutes(e)
	return e
}

func (s *Server) adminRoutes(e *echo.Echo, reg *prometheus.Registry, api *admin.API) http.Handler {
	// Each route has the check of its own: a group with middleware would answer
	// a wrong method with 404.
	v1 := func(method, path string, h echo.HandlerFunc) { e.Add(method, "/admin/v1"+path, h, api.Authenticate) }
	v1(http.MethodPost, "/pools", api.CreatePool)
	v1(http.MethodGet, "/pools", api.ListPools)
	v1(http.MethodGet, "/pools/:id", api.ShowPool)
	v1(http.MethodPatch, "/pools/:id", api.PatchPool)
	v1(http.MethodPost, "/pools/:id/secrets", api.AddSecret)
	v1(http.MethodDelete, "/pools/:id/secrets/:secretId", api.DeleteSecret)
	v1(http.MethodPost, "/pools/:id/users", api.CreateUser)
	v1(http.MethodGet, "/pools/:id/users/:userId", api.ShowUser)
	v1(http.MethodPatch, "/pools/:id/users/:userId", api.PatchUser)
	v1(http.MethodPost, "/pools/:id/users/:userId/revoke", api.RevokeUser)
	v1(http.MethodDelete, "/pools/:id/users/:userId/identities/:identityId", api.Unbind)
	v1(http.MethodGet, "/audit", api.ListEvents)
	v1(http.MethodGet, "/audit/verify", api.VerifyEvents)

	e.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(reg, promhttp.HandlerOpts{})))

	s.healthRoutes(e)
	return e
}

func (s *Server) healthRoutes(e *echo.Echo) {
	e.GET("/healthz", s.healthz)
	e.GET("/readyz", s.readyz)
	e.Add(http.MethodHead, "/healthz", s.healthz) // monitors send either
	e.Add(http.MethodHead, "/readyz", s.readyz)
}
