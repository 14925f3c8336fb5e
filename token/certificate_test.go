package token_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"reflect"
	"testing"

	"app2wxapp/token"
)

// A certificate is typed into other programs' settings: it is the same bytes in
// every process, and has the key of the JWKS.
func TestCertificate(t *testing.T) {
	f := newFixture(t)
	for _, k := range published(t, f) {
		first, err := f.Certificate(t.Context(), k["alg"])
		if err != nil {
			t.Fatal(err)
		}
		other := token.New(f.store, f.store, token.Config{Issuer: issuer})
		again, err := other.Certificate(t.Context(), k["alg"])
		if err != nil || !bytes.Equal(first, again) {
			t.Errorf("%s: another process has another certificate (%v)", k["alg"], err)
		}
		block, rest := pem.Decode(first)
		if block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
			t.Fatalf("%s: not one certificate in PEM: %s", k["alg"], first)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
			t.Errorf("%s: %v", k["alg"], err)
		}
		if !reflect.DeepEqual(c.PublicKey, publicKey(t, k)) {
			t.Errorf("%s: the certificate's key is not that of the JWKS", k["alg"])
		}
	}
	if _, err := f.Certificate(t.Context(), "HS256"); !errors.Is(err, token.ErrAlg) {
		t.Errorf("HS256: %v, want %v", err, token.ErrAlg)
	}
}
