package token_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"app2wxapp/token"
	"app2wxapp/userpool"
)

// Whoever has the JWKS alone can verify a token.
func TestJWKSVerifies(t *testing.T) {
	f := newFixture(t)
	f.store.keys = nil
	var toks []token.Token
	for _, alg := range algs {
		toks = append(toks, f.issue(t, alg, userpool.NewID(start)))
	}
	f.now = start.Add(1e9)

	public := map[string]crypto.PublicKey{}
	for _, k := range published(t, f) {
		public[k["kid"]] = publicKey(t, k)
		if got, want := k["kid"], thumbprint(t, k); got != want {
			t.Errorf("kid = %s, want the RFC 7638 thumbprint %s", got, want)
		}
	}
	if len(public) != 3 {
		t.Errorf("JWKS has %d keys, want 3", len(public))
	}
	for i, alg := range algs {
		if alg != "HS256" {
			open(t, toks[i].Raw, public[kid(t, toks[i].Raw)])
		}
	}
}

// Only public members, and only the ones that RFC 7518 §6 and RFC 8037 name.
func TestJWKSMembers(t *testing.T) {
	f := newFixture(t)
	want := []string{"alg e kid kty n use", "alg crv kid kty use x y", "alg crv kid kty use x"}
	for i, k := range published(t, f) {
		if got := strings.Join(sortedNames(k), " "); got != want[i] {
			t.Errorf("%s key has members %s, want %s", k["alg"], got, want[i])
		}
		if k["use"] != "sig" || k["kid"] != strings.ToLower(k["alg"]) {
			t.Errorf("%s key has use %q, kid %q", k["alg"], k["use"], k["kid"])
		}
	}
}

func TestJWKSWithoutKeys(t *testing.T) {
	f := newFixture(t)
	f.store.keys = nil
	set, err := f.JWKS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := json.Marshal(set); string(got) != `{"keys":[]}` {
		t.Errorf(`JWKS = %s, want {"keys":[]}`, got)
	}
}

func TestJWKSWithoutStore(t *testing.T) {
	f := newFixture(t)
	f.store.err = errStore
	if _, err := f.JWKS(t.Context()); !errors.Is(err, errStore) {
		t.Errorf("JWKS = %v, want %v", err, errStore)
	}
}

// published is the JWKS as another program reads it.
func published(t *testing.T, f *fixture) []map[string]string {
	t.Helper()
	set, err := f.JWKS(t.Context())
	if err != nil {
		t.Fatalf("JWKS: %v", err)
	}
	body, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(body, []byte(jwtSecret)) || bytes.Contains(body, []byte(b64(jwtSecret))) {
		t.Errorf("JWKS holds the pool's jwtSecret: %s", body)
	}
	var got struct{ Keys []map[string]string }
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	return got.Keys
}

func publicKey(t *testing.T, k map[string]string) crypto.PublicKey {
	t.Helper()
	number := func(name string) *big.Int { return new(big.Int).SetBytes([]byte(unb64(t, k[name]))) }
	switch k["kty"] + " " + k["crv"] {
	case "RSA ":
		return &rsa.PublicKey{N: number("n"), E: int(number("e").Int64())}
	case "EC P-256":
		p, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), []byte("\x04"+unb64(t, k["x"])+unb64(t, k["y"])))
		if err != nil {
			t.Fatal(err)
		}
		return p
	case "OKP Ed25519":
		return ed25519.PublicKey(unb64(t, k["x"]))
	}
	t.Fatalf("unknown kind of key: %v", k)
	return nil
}

// thumbprint follows RFC 7638 §3: the members that make the key, by name.
func thumbprint(t *testing.T, k map[string]string) string {
	t.Helper()
	required := map[string]string{}
	for name, v := range k {
		if name != "alg" && name != "use" && name != "kid" {
			required[name] = v
		}
	}
	text, err := json.Marshal(required) // a map is encoded in the order of its keys
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	return b64(string(sum[:]))
}
