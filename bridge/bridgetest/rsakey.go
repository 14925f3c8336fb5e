package bridgetest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"sync"
	"time"

	"app2wxapp/token"
)

// rsaKey is one for all tests: it takes seconds to make.
var rsaKey = sync.OnceValues(func() ([]byte, error) {
	k, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(k)
})

// PutRSAKey gives the store a signing key for RS256, for tests that would wait
// for one otherwise.
func (b *Bridge) PutRSAKey() {
	b.t.Helper()
	der, err := rsaKey()
	if err == nil {
		_, err = b.Store.AddFirstSigningKey(b.t.Context(), token.Key{ID: "rsa", Alg: "RS256", Private: der, CreatedAt: b.Clock.Now().Add(-time.Hour)}) // the oldest
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
