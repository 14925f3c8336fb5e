package oauth

import (
	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
)

// Metadata answers GET /.well-known/openid-configuration (OpenID Connect
// Discovery 1.0) and /.well-known/oauth-authorization-server (RFC 8414), which
// say the same. Anybody's page may read it.
func (a *API) Metadata(c echo.Context) error {
	secret, public := []string{"client_secret_basic", "client_secret_post"}, []string{"client_secret_basic", "client_secret_post", "none"}
	c.Response().Header().Set(echo.HeaderAccessControlAllowOrigin, "*")
	return wire.OK(c, struct {
		Issuer            string   `json:"issuer"`
		Token             string   `json:"token_endpoint"`
		UserInfo          string   `json:"userinfo_endpoint"`
		JWKS              string   `json:"jwks_uri"`
		Introspection     string   `json:"introspection_endpoint"`
		Revocation        string   `json:"revocation_endpoint"`
		EndSession        string   `json:"end_session_endpoint"`
		GrantTypes        []string `json:"grant_types_supported"`
		ResponseTypes     []string `json:"response_types_supported"` // required, and none: there is no authorization endpoint
		Scopes            []string `json:"scopes_supported"`
		Claims            []string `json:"claims_supported"`
		SubjectTypes      []string `json:"subject_types_supported"`
		IDTokenAlgs       []string `json:"id_token_signing_alg_values_supported"`
		TokenAuth         []string `json:"token_endpoint_auth_methods_supported"`
		IntrospectionAuth []string `json:"introspection_endpoint_auth_methods_supported"`
		RevocationAuth    []string `json:"revocation_endpoint_auth_methods_supported"`
		ChallengeMethods  []string `json:"code_challenge_methods_supported"`
		RequestURI        bool     `json:"request_uri_parameter_supported"` // true by default
	}{
		Issuer: a.issuer,
		Token:  a.issuer + "/oauth/token", UserInfo: a.issuer + "/oauth/userinfo", JWKS: a.issuer + "/.well-known/jwks.json",
		Introspection: a.issuer + "/oauth/introspect", Revocation: a.issuer + "/oauth/revoke", EndSession: a.issuer + "/oauth/logout",
		GrantTypes: []string{GrantTicket, grantRefresh}, ResponseTypes: []string{}, Scopes: scopes,
		Claims: []string{
			"iss", "sub", "aud", "azp", "exp", "iat", "auth_time", "nonce", "sid", "at_hash",
			"name", "nickname", "picture", "gender", "locale", "updated_at", "phone_number", "phone_number_verified",
		},
		SubjectTypes: []string{"public"}, IDTokenAlgs: []string{"RS256", "ES256", "EdDSA"},
		TokenAuth: public, IntrospectionAuth: secret, RevocationAuth: public, ChallengeMethods: []string{"S256"},
	})
}
