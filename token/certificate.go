package token

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"time"
)

// certificateLife is longer than a signing key is used.
const certificateLife = 50 * 365 * 24 * time.Hour

// Certificate returns the newest key of the algorithm as a self-signed X.509
// certificate in PEM, and makes the key if there is none. It is the same bytes
// every time, for clients who have it typed into their settings; what it says
// besides the key means nothing. It returns ErrAlg for HS256.
func (s *Service) Certificate(ctx context.Context, alg string) ([]byte, error) {
	if alg == algHS256 {
		return nil, fmt.Errorf("certificate: %w", ErrAlg)
	}
	k, err := s.ring.signer(ctx, alg)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	der, err := k.cert()
	if err != nil {
		return nil, fmt.Errorf("certificate of key %s: %w", k.jwk.KeyID, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// certify returns the key's certificate, the same bytes every time.
func certify(private crypto.Signer, kid string, created time.Time) ([]byte, error) {
	serial := sha256.Sum256([]byte(kid))
	begin := created.UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:16]),
		Subject:      pkix.Name{CommonName: "app2wxapp signing key"},
		NotBefore:    begin, NotAfter: begin.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	return x509.CreateCertificate(nil, template, template, private.Public(), repeatable{private})
}

// repeatable signs without randomness: ECDSA as RFC 6979 says, and PKCS #1 v1.5
// and Ed25519 need none.
type repeatable struct{ crypto.Signer }

func (r repeatable) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return r.Signer.Sign(nil, digest, opts)
}
