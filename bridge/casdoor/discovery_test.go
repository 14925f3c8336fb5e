package casdoor_test

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"app2wxapp/bridge/bridgetest"
)

func TestMetadata(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	want := `{"issuer":"U","token_endpoint":"U/v1/iam/oauth/token","userinfo_endpoint":"U/v1/iam/oauth/userinfo","jwks_uri":"U/v1/iam/.well-known/jwks",` +
		`"introspection_endpoint":"U/v1/iam/oauth/introspect","revocation_endpoint":"U/v1/iam/oauth/revoke","grant_types_supported":["refresh_token"],` +
		`"response_types_supported":[],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["RS256","ES256","EdDSA"],` +
		`"token_endpoint_auth_methods_supported":["none","client_secret_basic","client_secret_post"],` +
		`"introspection_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"],` +
		`"revocation_endpoint_auth_methods_supported":["none","client_secret_basic","client_secret_post"],` +
		`"claims_supported":["iss","sub","aud","azp","exp","iat","nbf","jti","sid","id","name","owner","displayName","avatar","email","email_verified",` +
		`"phone","type","signupApplication","wechat","properties"]}`
	r := b.Do("GET", b.URL+"/v1/iam/.well-known/openid-configuration", "").Want(200)
	if got := withoutHost(r.Body, b.URL); got != want {
		t.Errorf("metadata\n%s\nwant\n%s", got, want)
	}
	b.Do("GET", b.URL+"/v1/iam/.well-known/nobody/openid-configuration", "").WantError(404, 4040, "not_found")
	b.Do("GET", b.URL+"/v1/iam/.well-known/nobody/certificate.pem", "").WantError(404, 4040, "not_found")
	// The issuer of the root documents and of the tokens is the same.
	var root struct{ Issuer string }
	b.Do("GET", b.URL+"/.well-known/openid-configuration", "").Want(200).Decode(&root)
	if root.Issuer != b.URL {
		t.Errorf("issuer at the root is %s, want %s", root.Issuer, b.URL)
	}
}

// The certificate is that of the key which signs the application's tokens, and
// stays what it is.
func TestCertificate(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	for _, settings := range [][]string{nil, {es256}} {
		p := b.NewPool(settings...)
		at := b.URL + "/v1/iam/.well-known/" + p.ID + "/certificate.pem"
		r := b.Do("GET", at, "").Want(200)
		if r.Header.Get("Content-Type") != "application/x-pem-file" {
			t.Errorf("Content-Type %s", r.Header.Get("Content-Type"))
		}
		block, _ := pem.Decode([]byte(r.Body))
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		switch cert.PublicKey.(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey:
		default:
			t.Errorf("a key of %T", cert.PublicKey)
		}
		got := login(b, p, "alice")
		if _, err := jwt.Parse(got.Access, func(*jwt.Token) (any, error) { return cert.PublicKey, nil }, jwt.WithTimeFunc(b.Clock.Now)); err != nil {
			t.Errorf("the token does not verify with the certificate: %v", err)
		}
		b.Restart()
		if again := b.Do("GET", at, "").Want(200).Body; again != r.Body {
			t.Error("after a restart the certificate is another one")
		}
	}
}
