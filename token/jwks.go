package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
)

// Set is a JWK Set, RFC 7517 §5.
type Set struct {
	Keys []JWK `json:"keys"`
}

// JWK is a public key, RFC 7517 §4. It has no place for a private or a
// symmetric one.
type JWK struct {
	Type  string `json:"kty"`
	Use   string `json:"use"`
	Alg   string `json:"alg"`
	KeyID string `json:"kid"`

	N string `json:"n,omitempty"` // RSA, RFC 7518 §6.3.1
	E string `json:"e,omitempty"`

	Curve string `json:"crv,omitempty"` // EC, RFC 7518 §6.2.1; OKP, RFC 8037 §2
	X     string `json:"x,omitempty"`
	Y     string `json:"y,omitempty"` // EC only
}

// JWKS returns the public halves of all signing keys, oldest first, none older
// than a second. The pools' HMAC keys are not among them.
func (s *Service) JWKS(ctx context.Context) (Set, error) {
	keys, err := s.ring.current(ctx)
	if err != nil {
		return Set{}, fmt.Errorf("list signing keys: %w", err)
	}
	set := Set{Keys: make([]JWK, len(keys.pairs))}
	for i, k := range keys.pairs {
		set.Keys[i] = k.jwk
	}
	return set, nil
}

// errKeyKind is returned for a public key that no algorithm here uses.
var errKeyKind = errors.New("neither RSA of 3072 bits or more, nor P-256, nor Ed25519")

// newJWK returns the public key as a JWK without a kid. Its alg is the one
// that the kind of key allows; errKeyKind says that there is none.
func newJWK(public crypto.PublicKey) (JWK, error) {
	j := JWK{Use: "sig"}
	switch p := public.(type) {
	case *rsa.PublicKey:
		if p.N.BitLen() < bitsRS256 {
			return JWK{}, errKeyKind
		}
		j.Type, j.Alg = "RSA", algRS256
		j.N = encoding.EncodeToString(p.N.Bytes())
		j.E = encoding.EncodeToString(big.NewInt(int64(p.E)).Bytes())
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return JWK{}, errKeyKind
		}
		point, err := p.Bytes() // 4, X, Y: SEC 1 §2.3.3
		if err != nil {
			return JWK{}, err
		}
		j.Type, j.Alg, j.Curve = "EC", algES256, "P-256"
		j.X = encoding.EncodeToString(point[1:33])
		j.Y = encoding.EncodeToString(point[33:])
	case ed25519.PublicKey:
		j.Type, j.Alg, j.Curve = "OKP", algEdDSA, "Ed25519"
		j.X = encoding.EncodeToString(p)
	default:
		return JWK{}, errKeyKind
	}
	return j, nil
}

// PublicKey returns the key for crypto's packages.
func (j JWK) PublicKey() (crypto.PublicKey, error) {
	var parts [4][]byte
	for i, s := range []string{j.N, j.E, j.X, j.Y} {
		b, err := encoding.DecodeString(s)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", j.KeyID, err)
		}
		parts[i] = b
	}
	n, e, x, y := parts[0], parts[1], parts[2], parts[3]
	switch {
	case j.Type == "RSA":
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}, nil
	case j.Type == "EC" && j.Curve == "P-256":
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	case j.Type == "OKP" && j.Curve == "Ed25519" && len(x) == ed25519.PublicKeySize:
		return ed25519.PublicKey(x), nil
	}
	return nil, errKeyKind
}

// thumbprint returns the SHA-256 thumbprint of RFC 7638, for Ed25519 of
// RFC 8037 §2: the required members alone, in the order of their names.
func (j JWK) thumbprint() string {
	var members string
	switch j.Type {
	case "RSA":
		members = fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, j.E, j.N)
	case "EC":
		members = fmt.Sprintf(`{"crv":%q,"kty":"EC","x":%q,"y":%q}`, j.Curve, j.X, j.Y)
	case "OKP":
		members = fmt.Sprintf(`{"crv":%q,"kty":"OKP","x":%q}`, j.Curve, j.X)
	}
	sum := sha256.Sum256([]byte(members))
	return encoding.EncodeToString(sum[:])
}
