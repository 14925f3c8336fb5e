package casdoor

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// known returns nil if the application of the path is a pool, or the path names
// none.
func (a *API) known(c echo.Context) (pool userpool.Pool, err error) {
	name := c.Param("application")
	if name == "" {
		return pool, nil
	}
	pool, err = a.pools.Pool(c.Request().Context(), name)
	if errors.Is(err, userpool.ErrPoolNotFound) {
		return pool, echo.ErrNotFound
	}
	if err == nil {
		of(c, pool)
	}
	return pool, err
}

// Metadata answers GET /v1/iam/.well-known/openid-configuration and
// /v1/iam/.well-known/oauth-authorization-server, also of an application: the
// issuer is one. Anybody's page may read it.
func (a *API) Metadata(c echo.Context) error {
	if _, err := a.known(c); err != nil {
		return err
	}
	at := a.issuer + base
	c.Response().Header().Set(echo.HeaderAccessControlAllowOrigin, "*")
	return wire.OK(c, struct {
		Issuer            string   `json:"issuer"`
		Token             string   `json:"token_endpoint"`
		UserInfo          string   `json:"userinfo_endpoint"`
		JWKS              string   `json:"jwks_uri"`
		Introspection     string   `json:"introspection_endpoint"`
		Revocation        string   `json:"revocation_endpoint"`
		GrantTypes        []string `json:"grant_types_supported"`
		ResponseTypes     []string `json:"response_types_supported"` // required, and none
		SubjectTypes      []string `json:"subject_types_supported"`
		Algs              []string `json:"id_token_signing_alg_values_supported"`
		TokenAuth         []string `json:"token_endpoint_auth_methods_supported"`
		IntrospectionAuth []string `json:"introspection_endpoint_auth_methods_supported"`
		RevocationAuth    []string `json:"revocation_endpoint_auth_methods_supported"`
		Claims            []string `json:"claims_supported"`
	}{
		Issuer: a.issuer,
		Token:  at + "/oauth/token", UserInfo: at + "/oauth/userinfo", JWKS: at + "/.well-known/jwks",
		Introspection: at + "/oauth/introspect", Revocation: at + "/oauth/revoke",
		GrantTypes: []string{grantRefresh}, ResponseTypes: []string{}, SubjectTypes: []string{"public"},
		Algs:              []string{"RS256", "ES256", "EdDSA"},
		TokenAuth:         []string{"none", "client_secret_basic", "client_secret_post"},
		IntrospectionAuth: []string{"client_secret_basic", "client_secret_post"},
		RevocationAuth:    []string{"none", "client_secret_basic", "client_secret_post"},
		Claims: []string{
			"iss", "sub", "aud", "azp", "exp", "iat", "nbf", "jti", "sid", "id", "name", "owner", "displayName", "avatar",
			"email", "email_verified", "phone", "type", "signupApplication", "wechat", "properties",
		},
	})
}

// JWKS answers GET /v1/iam/.well-known/jwks, also of an application, with the
// keys of /.well-known/jwks.json.
func (a *API) JWKS(c echo.Context) error {
	if _, err := a.known(c); err != nil {
		return err
	}
	set, err := a.tokens.JWKS(c.Request().Context())
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderAccessControlAllowOrigin, "*")
	return wire.OK(c, set)
}

// Certificate answers GET /v1/iam/.well-known/:application/certificate.pem: the
// key that signs the application's tokens now, as Casdoor's SDKs want it typed
// into their settings.
func (a *API) Certificate(c echo.Context) error {
	pool, err := a.known(c)
	if err != nil {
		return err
	}
	pem, err := a.tokens.Certificate(c.Request().Context(), token.PublicAlg(pool))
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "application/x-pem-file", pem)
}
