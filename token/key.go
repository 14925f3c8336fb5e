package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"hash"
	"math/big"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"app2wxapp/userpool"
)

// The algorithms that a pool can choose. There is no "none" here.
const (
	algHS256 = "HS256"
	algRS256 = "RS256"
	algES256 = "ES256"
	algEdDSA = "EdDSA"
)

// bitsRS256 is the size of an RSA key. RFC 7518 §3.3 asks for 2048 bits; 3072
// have the 128 bits of strength that the other algorithms have (NIST SP 800-57
// part 1, 5.6.1.1).
const bitsRS256 = 3072

// key signs and verifies with its one algorithm. hmacKey and keyPair are
// different types, so that a public key can never be taken for an HMAC key.
type key interface {
	alg() string
	// header returns the encoded header of a token of that typ.
	header(typ string) string
	sign(signed []byte) ([]byte, error)
	// verify returns an error unless sig is the key's signature of signed.
	verify(signed string, sig []byte) error
}

// hmacKey is a pool's jwtSecret: the bytes of its text, as Authing takes it.
type hmacKey struct {
	secret []byte
	macs   *sync.Pool // of hash.Hash, which have taken the key in
}

var headerHS256 = encoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`))

// hmacKeyOf returns the pool's HMAC key. RFC 7518 §3.2 wants one of 256 bits or
// more; a pool without such a key neither issues nor accepts HS256 tokens.
func hmacKeyOf(p userpool.Pool) (hmacKey, error) {
	if len(p.JWTSecret) < sha256.Size {
		return hmacKey{}, fmt.Errorf("pool %s: jwtSecret must have at least %d bytes", p.ID, sha256.Size)
	}
	secret := []byte(p.JWTSecret)
	return hmacKey{secret, &sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}}, nil
}

func (hmacKey) alg() string          { return algHS256 }
func (hmacKey) header(string) string { return headerHS256 } // it signs Authing's tokens only

func (k hmacKey) sign(signed []byte) ([]byte, error) {
	mac := k.macs.Get().(hash.Hash)
	defer k.macs.Put(mac)
	mac.Reset()
	mac.Write(signed)
	return mac.Sum(nil), nil
}

func (k hmacKey) verify(signed string, sig []byte) error {
	return jwt.SigningMethodHS256.Verify(signed, sig, k.secret)
}

// keyPair is a signing key of the store, ready for use.
type keyPair struct {
	der     []byte // as stored
	private crypto.Signer
	method  jwt.SigningMethod
	cert    func() ([]byte, error) // DER; see certify
	jwk     JWK                    // the public half; its KeyID and Alg are the key's
	heads   map[string]string      // encoded headers, by typ
}

// parseKey makes a stored key ready for use. It refuses one that does not fit
// its algorithm.
func parseKey(k Key) (*keyPair, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(k.Private)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", k.ID, err)
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("signing key %s: a %T does not sign", k.ID, parsed)
	}
	pub, err := newJWK(private.Public())
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", k.ID, err)
	}
	if pub.Alg != k.Alg {
		return nil, fmt.Errorf("signing key %s: an %s key, stored as %s", k.ID, pub.Alg, k.Alg)
	}
	pub.KeyID = k.ID
	heads := map[string]string{}
	for _, typ := range []string{TypeJWT, TypeAccess, typeManagement} {
		head, err := json.Marshal(header{Alg: k.Alg, Type: typ, KeyID: &k.ID})
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %w", k.ID, err)
		}
		heads[typ] = encoding.EncodeToString(head)
	}
	return &keyPair{
		der:     k.Private,
		private: private,
		method:  jwt.GetSigningMethod(k.Alg),
		jwk:     pub,
		heads:   heads,
		cert:    sync.OnceValues(func() ([]byte, error) { return certify(private, k.ID, k.CreatedAt) }),
	}, nil
}

func (k *keyPair) alg() string              { return k.jwk.Alg }
func (k *keyPair) header(typ string) string { return k.heads[typ] }

func (k *keyPair) sign(signed []byte) ([]byte, error) {
	if private, ok := k.private.(*ecdsa.PrivateKey); ok {
		return signES256(private, signed)
	}
	return k.method.Sign(string(signed), k.private)
}

func (k *keyPair) verify(signed string, sig []byte) error {
	return k.method.Verify(signed, sig, k.private.Public())
}

// signES256 returns R and S, 32 bytes each (RFC 7518 §3.4). A nil source of
// randomness makes crypto/ecdsa sign as RFC 6979 says, so that a repeat gets
// the same bytes; the jwt package can only sign at random.
func signES256(private *ecdsa.PrivateKey, signed []byte) ([]byte, error) {
	digest := sha256.Sum256(signed)
	der, err := private.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		return nil, err
	}
	sig := make([]byte, 64)
	pair.R.FillBytes(sig[:32])
	pair.S.FillBytes(sig[32:])
	return sig, nil
}

// newKey makes a signing key. Its ID is its RFC 7638 thumbprint. It returns
// ErrAlg unless alg is RS256, ES256 or EdDSA.
func newKey(alg string, now time.Time) (Key, error) {
	private, err := generate(alg)
	if err != nil {
		return Key{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Key{}, err
	}
	pub, err := newJWK(private.Public())
	if err != nil {
		return Key{}, err
	}
	return Key{ID: pub.thumbprint(), Alg: alg, Private: der, CreatedAt: now.UTC()}, nil
}

func generate(alg string) (crypto.Signer, error) {
	switch alg {
	case algRS256:
		return rsa.GenerateKey(rand.Reader, bitsRS256)
	case algES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case algEdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, ErrAlg
}
