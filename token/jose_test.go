package token_test

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
	"encoding/base64"
	"math/big"
	"strings"
	"sync"
	"testing"

	"app2wxapp/token"
)

// This file is a second implementation of JWS, by the standard library alone,
// against which the package is tested.

// testKeys are signing keys made once: RSA takes its time.
var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	rs, err1 := rsa.GenerateKey(rand.Reader, 3072)
	es, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, ed, err3 := ed25519.GenerateKey(rand.Reader)
	if err1 != nil || err2 != nil || err3 != nil {
		panic("cannot make test keys")
	}
	return map[string]crypto.Signer{"RS256": rs, "ES256": es, "EdDSA": ed}
})

// storedKey is the test key of the algorithm as a store keeps it, with the
// algorithm in lower case as its id.
func storedKey(t testing.TB, alg string) token.Key {
	t.Helper()
	return token.Key{ID: strings.ToLower(alg), Alg: alg, Private: pkcs8(t, testKeys()[alg]), CreatedAt: start}
}

func pkcs8(t testing.TB, private crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// forge signs a header and claims, both as JSON text. The kind of key decides
// how: []byte by HMAC, nil not at all.
func forge(t testing.TB, header, claims string, key any) string {
	t.Helper()
	signed := b64(header) + "." + b64(claims)
	digest := sha256.Sum256([]byte(signed))
	var sig []byte
	var err error
	switch k := key.(type) {
	case nil:
	case []byte:
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(signed))
		sig = mac.Sum(nil)
	case *rsa.PrivateKey:
		sig, err = rsa.SignPKCS1v15(nil, k, crypto.SHA256, digest[:])
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, k, digest[:]); err == nil {
			sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(signed))
	default:
		t.Fatalf("forge: cannot sign with a %T", key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + b64(string(sig))
}

// open returns a token's header and claims as text if key, a public one or
// []byte for HMAC, verifies it.
func open(t testing.TB, raw string, key any) (header, claims string) {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("%q has %d parts, want 3", raw, len(parts))
	}
	signed, sig := []byte(parts[0]+"."+parts[1]), []byte(unb64(t, parts[2]))
	digest := sha256.Sum256(signed)
	var ok bool
	switch k := key.(type) {
	case []byte:
		mac := hmac.New(sha256.New, k)
		mac.Write(signed)
		ok = hmac.Equal(sig, mac.Sum(nil))
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], sig) == nil
	case *ecdsa.PublicKey:
		ok = len(sig) == 64 && ecdsa.Verify(k, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, signed, sig)
	}
	if !ok {
		t.Fatalf("a %T does not verify %s", key, raw)
	}
	return unb64(t, parts[0]), unb64(t, parts[1])
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func unb64(t testing.TB, s string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		t.Fatalf("decode %q: %v", s, err)
	}
	return string(b)
}
