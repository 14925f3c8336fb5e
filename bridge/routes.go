package bridge

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"app2wxapp/bridge/admin"
	"app2wxapp/bridge/authing"
	"app2wxapp/bridge/casdoor"
	"app2wxapp/bridge/oauth"
	"app2wxapp/bridge/openapi"
)

// Every URL of the program.

func (s *Server) publicRoutes(e *echo.Echo, sdk *authing.API, described *openapi.API) http.Handler {
	e.Pre(singleSlashes, canonical, s.byAddress)

	// Authing's app2wxapp: contract sections 4.1, 4.2 and 4.4.
	e.POST("/oauth/app2wxapp/ticket/:userPoolId", s.issue, s.room.limited)
	e.POST("/oauth/app2wxapp/ticket/:userPoolId/bind", s.bind, s.room.limited)
	e.POST("/oauth/app2wxapp/ticket/:userPoolId/code", s.sendCode, s.room.limited)
	e.POST("/oauth/app2wxapp/auth/:userPoolId", s.redeem, s.room.limited)
	e.GET("/authing/token", s.checkToken, s.room.limited)

	// OAuth 2.0 and OpenID Connect. The first four are paths of Casdoor, too:
	// these answer for its access tokens.
	asOAuth, asBearer := speaking(oauth.Tell), speaking(oauth.TellBearer)
	e.POST("/oauth/token", s.casdoor.OrElse(s.oauth.Token), speaking(casdoor.TellOr(oauth.Tell)), s.room.limited)
	e.POST("/oauth/introspect", s.oauth.Introspect, asOAuth, s.room.limited)
	e.POST("/oauth/revoke", s.oauth.Revoke, asOAuth, s.room.limited)
	e.GET("/oauth/userinfo", s.oauth.UserInfo, asBearer, s.room.limited)
	e.POST("/oauth/userinfo", s.oauth.UserInfo, asBearer, s.room.limited)
	e.GET("/oauth/logout", s.oauth.Logout, asOAuth, s.room.limited)
	e.POST("/oauth/logout", s.oauth.Logout, asOAuth, s.room.limited)
	e.GET("/.well-known/openid-configuration", s.oauth.Metadata, asOAuth, s.room.limited)
	e.GET("/.well-known/oauth-authorization-server", s.oauth.Metadata, asOAuth, s.room.limited)

	// Casdoor and Hanzo IAM. casdoor.Canonical has the other names of these.
	asCasdoor, inEnvelope := speaking(casdoor.Tell), speaking(casdoor.TellEnvelope)
	e.POST("/v1/iam/oauth/token", s.casdoor.Token, asCasdoor, s.room.limited)
	e.POST("/v1/iam/oauth/refresh", s.casdoor.Refresh, asCasdoor, s.room.limited)
	e.POST("/v1/iam/oauth/introspect", s.casdoor.Introspect, asCasdoor, s.room.limited)
	e.POST("/v1/iam/oauth/revoke", s.casdoor.Revoke, asCasdoor, s.room.limited)
	e.GET("/v1/iam/oauth/userinfo", s.casdoor.UserInfo, inEnvelope, s.room.limited)
	e.GET("/v1/iam/get-account", s.casdoor.GetAccount, inEnvelope, s.room.limited)
	e.POST("/v1/iam/update-user", s.casdoor.UpdateUser, inEnvelope, s.room.limited)
	e.GET("/v1/iam/.well-known/openid-configuration", s.casdoor.Metadata, s.room.limited)
	e.GET("/v1/iam/.well-known/oauth-authorization-server", s.casdoor.Metadata, s.room.limited)
	e.GET("/v1/iam/.well-known/:application/openid-configuration", s.casdoor.Metadata, s.room.limited)
	e.GET("/v1/iam/.well-known/:application/oauth-authorization-server", s.casdoor.Metadata, s.room.limited)
	e.GET("/v1/iam/.well-known/:application/certificate.pem", s.casdoor.Certificate, s.room.limited)

	// BambooCloud IDaaS. Its OAuth side tells errors as OAuth does.
	asIDaaS := speaking(s.idaas.Tell)
	e.POST("/api/v2/sdk/login/wechat-miniprogram", s.idaas.Login, asIDaaS, s.room.limited)
	e.POST("/api/v2/sdk/login/wechat-mini-program-mobile", s.idaas.LoginByPhone, asIDaaS, s.room.limited)
	e.POST("/api/v2/sdk/social/wechat-mobile-bind", s.idaas.BindByPhone, asIDaaS, s.room.limited)
	e.POST("/api/v2/sdk/social/wechat-mobile-register-bind", s.idaas.BindByPhone, asIDaaS, s.room.limited)
	e.POST("/api/v2/sdk/login", s.idaas.LoginByPassword, asIDaaS, s.room.limited)
	e.POST("/api/v2/sdk/social/username-password-bind", s.idaas.BindByPassword, asIDaaS, s.room.limited)
	e.POST("/api/v2/sdk/mfa/totp/verify", s.idaas.VerifyTOTP, asIDaaS, s.room.limited)
	e.POST("/api/v2/sdk/social/bind", s.idaas.BindByCode, asIDaaS, s.room.limited)
	e.POST("/api/v2/sdk/social/register-bind", s.idaas.BindByCode, asIDaaS, s.room.limited)
	e.POST("/api/v2/sdk/sms/send", s.idaas.SendCode, asIDaaS, s.room.limited)
	e.POST("/api/v2/sdk/captcha/verify", s.idaas.VerifyCaptcha, asIDaaS, s.room.limited)
	e.POST("/api/v2/sdk/sso/session-token/id-token", s.idaas.IDToken, asIDaaS, s.room.limited)
	e.GET("/api/v2/sdk/logout", s.idaas.Logout, asIDaaS, s.room.limited)
	e.GET("/api/v1/oauth2/userinfo", s.idaas.UserInfo, asBearer, s.room.limited)

	// Not limited: an answer of many keys is more than net/http holds back, and
	// whoever does not read it would keep others out.
	e.GET("/.well-known/jwks.json", s.jwks)
	e.GET("/api/v1/oauth2/keys", s.idaas.Keys)
	// Not limited either: pictures and sounds, of which the package makes no more
	// at a time than there are processors.
	e.GET("/api/v2/sdk/captcha", s.idaas.Captcha, asIDaaS)
	e.GET("/v1/iam/.well-known/jwks", s.casdoor.JWKS)
	e.GET("/v1/iam/.well-known/:application/jwks", s.casdoor.JWKS)

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
	// Not limited: a picture is more than net/http holds back.
	e.GET("/uploads/:name", sdk.Picture)

	s.healthRoutes(e)
	describedRoutes(e, described)
	return e
}

// canonical has a URL that is another name of one of Casdoor's answered, limited,
// counted and logged as that one.
func canonical(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		u := c.Request().URL
		if to := casdoor.Canonical(u.Path); to != u.Path && u.RawPath == "" {
			u.Path = to
		}
		return next(c)
	}
}

func (s *Server) adminRoutes(e *echo.Echo, reg *prometheus.Registry, api *admin.API, described *openapi.API) http.Handler {
	// Each route has the checks of its own: a group with middleware would answer
	// a wrong method with 404.
	v1 := func(method, path string, h echo.HandlerFunc, query ...string) {
		e.Add(method, "/admin/v1"+path, h, api.Authenticate, admin.Query(query...))
	}
	v1(http.MethodPost, "/pools", api.CreatePool)
	v1(http.MethodGet, "/pools", api.ListPools, "limit", "cursor")
	v1(http.MethodGet, "/pools/:id", api.ShowPool)
	v1(http.MethodPatch, "/pools/:id", api.PatchPool)
	v1(http.MethodPost, "/pools/:id/secrets", api.AddSecret)
	v1(http.MethodDelete, "/pools/:id/secrets/:secretId", api.DeleteSecret)
	v1(http.MethodPost, "/pools/:id/senders/:channel/test", api.TestSender)
	v1(http.MethodPost, "/pools/:id/users", api.CreateUser)
	v1(http.MethodGet, "/pools/:id/users/:userId", api.ShowUser)
	v1(http.MethodPatch, "/pools/:id/users/:userId", api.PatchUser)
	v1(http.MethodPost, "/pools/:id/users/:userId/revoke", api.RevokeUser)
	v1(http.MethodDelete, "/pools/:id/users/:userId/identities/:identityId", api.Unbind)
	v1(http.MethodPost, "/pools/:id/users/:userId/totp", api.AddTOTP)
	v1(http.MethodPost, "/pools/:id/users/:userId/totp/confirm", api.ConfirmTOTP)
	v1(http.MethodDelete, "/pools/:id/users/:userId/totp", api.RemoveTOTP)
	v1(http.MethodGet, "/audit", api.ListEvents, "pool", "type", "since", "limit", "cursor")
	v1(http.MethodGet, "/audit/verify", api.VerifyEvents)
	v1(http.MethodGet, "/backup", api.Backup)

	e.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(reg, promhttp.HandlerOpts{})))

	s.healthRoutes(e)
	describedRoutes(e, described)
	return e
}

func (s *Server) healthRoutes(e *echo.Echo) {
	e.GET("/healthz", s.healthz)
	e.GET("/readyz", s.readyz)
	e.Add(http.MethodHead, "/healthz", s.healthz) // monitors send either
	e.Add(http.MethodHead, "/readyz", s.readyz)
}

// describedRoutes are not limited, as the keys are not: what they answer is the
// same memory for all.
func describedRoutes(e *echo.Echo, d *openapi.API) {
	e.GET("/openapi.json", d.JSON)
	e.GET("/docs", d.Page)
}
