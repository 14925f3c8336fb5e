package token_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"app2wxapp/token"
	"app2wxapp/userpool"
)

var errStore = errors.New("disk on fire")

// sample is the token printed in Authing's documentation of the redemption,
// with the ids of our samples; jwtSecret verifies it.
const sample = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJkYXRhIjp7InVuaW9uaWQiOiJvU0FNUExFdW5pb25pZDAwMDAwMDAwMDAwMDFYIiwiaWQiOiI2NGI4MDEyZmE5YjhjN2Q2ZTVmNDAzMTIiLCJjbGllbnRJZCI6IjY0YjdmMGExYzJkM2U0ZjUwNjE3MjgzOSJ9LCJpYXQiOjE3MDUzMDc0MDAsImV4cCI6MTcwNjYwMzQwMH0.0eIwlhlhRhrnkiFt8E8b28g3sPXZjNshSD22FiSaVmY"

const (
	hs256   = `{"alg":"HS256","typ":"JWT"}`
	rs256   = `{"alg":"RS256","typ":"JWT","kid":"rs256"}`
	theJTI  = "019b7ca9-8f2e-7abc-8def-0123456789ab"
	authing = `{"data":{"unionid":"` + unionID + `","id":"` + userID + `","clientId":"` + poolID + `"},"iat":1767323045,"exp":1768619045}`
	claims  = `{"data":{"unionid":"` + unionID + `","id":"` + userID + `","clientId":"` + poolID + `"},"iat":1767323045,"exp":1768619045,` +
		`"iss":"` + issuer + `","sub":"` + userID + `","aud":"` + poolID + `","jti":"` + theJTI + `"}`
)

// edit returns text with old, which must be in it once, replaced.
func edit(t testing.TB, text, old, new string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("%q is in %s %d times, want once", old, text, strings.Count(text, old))
	}
	return strings.Replace(text, old, new, 1)
}

// What the header says decides nothing.
func TestVerifyHeader(t *testing.T) {
	rs := testKeys()["RS256"]
	der, err := x509.MarshalPKIXPublicKey(rs.Public())
	if err != nil {
		t.Fatal(err)
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	stranger := newFixture(t)
	stranger.store.keys = nil
	if err := stranger.Prepare(t.Context(), "EdDSA"); err != nil {
		t.Fatal(err)
	}
	foreign := stranger.issue(t, "EdDSA", theJTI).Raw
	f := newFixture(t)
	set, err := f.JWKS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(set.Keys[0])
	if err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct {
		name   string
		header string
		key    any
		valid  bool
	}{
		{"HS256", hs256, []byte(jwtSecret), true},
		{"RS256", rs256, rs, true},
		{"ES256", `{"alg":"ES256","typ":"JWT","kid":"es256"}`, testKeys()["ES256"], true},
		{"EdDSA", `{"alg":"EdDSA","typ":"JWT","kid":"eddsa"}`, testKeys()["EdDSA"], true},

		{"none", `{"alg":"none","typ":"JWT"}`, nil, false},
		{"None", `{"alg":"None","typ":"JWT"}`, nil, false},
		{"none with a kid", `{"alg":"none","typ":"JWT","kid":"rs256"}`, nil, false},
		{"none with a right HMAC", `{"alg":"none","typ":"JWT"}`, []byte(jwtSecret), false},
		{"HS256 without a signature", hs256, nil, false},
		{"no alg", `{"typ":"JWT"}`, []byte(jwtSecret), false},
		{"HS512 said, HS256 done", `{"alg":"HS512","typ":"JWT"}`, []byte(jwtSecret), false},
		{"hs256 in lower case", `{"alg":"hs256","typ":"JWT"}`, []byte(jwtSecret), false},
		{"HMAC with the RSA key as PEM", hs256, asPEM, false},
		{"HMAC with the RSA key as DER", hs256, der, false},
		{"HMAC with the RSA key as PEM, its kid", `{"alg":"HS256","typ":"JWT","kid":"rs256"}`, asPEM, false},
		{"HMAC with the RSA key as DER, its kid", `{"alg":"HS256","typ":"JWT","kid":"rs256"}`, der, false},
		{"HMAC with the RSA key as PEM, alg RS256", rs256, asPEM, false},
		{"HMAC with the pool's key, kid of RSA", `{"alg":"HS256","typ":"JWT","kid":"rs256"}`, []byte(jwtSecret), false},
		{"RSA without a kid", `{"alg":"RS256","typ":"JWT"}`, rs, false},
		{"RSA as PS256", `{"alg":"PS256","typ":"JWT","kid":"rs256"}`, rs, false},
		{"kid of another algorithm's key", `{"alg":"RS256","typ":"JWT","kid":"es256"}`, rs, false},
		{"unknown kid", `{"alg":"RS256","typ":"JWT","kid":"rs256x"}`, rs, false},
		{"empty kid", `{"alg":"HS256","typ":"JWT","kid":""}`, []byte(jwtSecret), false},
		{"another pool's HMAC key", hs256, []byte("fedcba9876543210fedcba9876543210"), false},

		{"own key in jwk", `{"alg":"RS256","typ":"JWT","jwk":` + string(jwk) + `}`, rs, false},
		{"jwk beside a good kid is not read", `{"alg":"RS256","typ":"JWT","kid":"rs256","jwk":{"kty":"oct","k":"AAAA"}}`, rs, true},
		{"jku, x5u and x5c are not read", `{"alg":"HS256","typ":"JWT","jku":"https://evil.example","x5u":"https://evil.example","x5c":["AAAA"]}`, []byte(jwtSecret), true},
		{"crit", `{"alg":"HS256","typ":"JWT","crit":["b64"],"b64":false}`, []byte(jwtSecret), false},
		{"empty crit", `{"alg":"HS256","typ":"JWT","crit":[]}`, []byte(jwtSecret), false},
		{"null crit", `{"alg":"HS256","typ":"JWT","crit":null}`, []byte(jwtSecret), false},
		{"another typ", `{"alg":"HS256","typ":"at+jwt"}`, []byte(jwtSecret), false},
		{"no typ", `{"alg":"HS256"}`, []byte(jwtSecret), false},
		{"no object", `"HS256"`, []byte(jwtSecret), false},
		{"more than an object", hs256 + hs256, []byte(jwtSecret), false},
	} {
		check(t, f, tt.name, forge(t, tt.header, claims, tt.key), tt.valid)
	}
	check(t, f, "a key of another server", foreign, false)
}

// A right signature is not enough.
func TestVerifyClaims(t *testing.T) {
	f := newFixture(t)
	// Even if a store finds something under an empty id.
	f.store.users[[2]string{poolID, ""}] = f.user
	f.store.users[[2]string{"", userID}] = f.user
	f.store.pools[""] = f.pool
	es, esKey := `{"alg":"ES256","typ":"JWT","kid":"es256"}`, testKeys()["ES256"]
	for _, tt := range []struct {
		name     string
		from     string
		old, new string
		valid    bool
	}{
		{"as issued", claims, "", "", true},
		{"another iss", claims, issuer, issuer + "/", false},
		{"another aud", claims, `"aud":"` + poolID, `"aud":"other`, false},
		{"aud as a list", claims, `"aud":"` + poolID + `"`, `"aud":["` + poolID + `"]`, false},
		{"another sub", claims, `"sub":"` + userID, `"sub":"nobody`, false},
		{"another data.id", claims, `"id":"` + userID, `"id":"nobody`, false},
		{"another pool", claims, `"clientId":"` + poolID, `"clientId":"other`, false},
		{"an unknown pool", claims, `"clientId":"` + poolID, `"clientId":"nowhere`, false},
		{"no data.id", claims, `"id":"` + userID + `",`, ``, false},
		{"no clientId", claims, `,"clientId":"` + poolID + `"`, ``, false},
		{"no exp", claims, `"exp":1768619045,`, ``, false},
		{"no iat", claims, `"iat":1767323045,`, ``, false},
		{"exp at iat", claims, `"exp":1768619045`, `"exp":1767323045`, false},
		{"negative iat", claims, `"iat":1767323045`, `"iat":-1`, false},
		{"exp of text", claims, `"exp":1768619045`, `"exp":"1768619045"`, false},
		{"exp with a fraction", claims, `"exp":1768619045`, `"exp":1768619045.5`, false},
		{"exp beyond 64 bits", claims, `"exp":1768619045`, `"exp":99999999999999999999`, false},
		{"iat 60 s ahead", claims, `"iat":1767323045`, `"iat":1767323105`, true},
		{"iat 61 s ahead", claims, `"iat":1767323045`, `"iat":1767323106`, false},
		{"exp after the longest life", claims, `"exp":1768619045`, `"exp":2082683045`, true},
		{"exp a second later", claims, `"exp":1768619045`, `"exp":2082683046`, false},
		{"exp that wraps", claims, `"exp":1768619045`, `"exp":4611686018427387904`, false},
		{"the last exp of 64 bits", claims, `"exp":1768619045`, `"exp":9223372036854775807`, false},
		{"a sid", claims, `"iat"`, `"sid":"` + theJTI + `","iat"`, false},
		{"an empty sid", claims, `"iat"`, `"sid":"","iat"`, true},
		{"jti of version 4", claims, "-7abc-", "-4abc-", false},
		{"jti of another kind", claims, theJTI, "1", false},
		{"only iss missing", claims, `"iss":"` + issuer + `",`, ``, false},
		{"only sub missing", claims, `"sub":"` + userID + `",`, ``, false},
		{"only aud missing", claims, `"aud":"` + poolID + `",`, ``, false},
		{"only jti missing", claims, `,"jti":"` + theJTI + `"`, ``, false},
		{"claims of nobody", claims, claims, `null`, false},

		{"Authing's", authing, "", "", true},
		{"Authing's with a null unionid", authing, `"` + unionID + `"`, "null", true},
		{"Authing's with an iss", authing, `"exp"`, `"iss":"` + issuer + `","exp"`, false},
		{"Authing's with an empty jti", authing, `"exp"`, `"jti":"","exp"`, false},
		{"Authing's that ends in 9999", authing, `"exp":1768619045`, `"exp":253402300799`, true},
		{"Authing's that ends in 10000", authing, `"exp":1768619045`, `"exp":253402300800`, false},
		{"Authing's with a sid", authing, `"exp"`, `"sid":"x","exp"`, false},
		{"Authing's without an id", authing, `"id":"` + userID + `",`, ``, false},
		{"Authing's without a pool", authing, `,"clientId":"` + poolID + `"`, ``, false},
	} {
		text := tt.from
		if tt.old != "" {
			text = edit(t, text, tt.old, tt.new)
		}
		check(t, f, tt.name, forge(t, hs256, text, []byte(jwtSecret)), tt.valid)
		if tt.from == claims {
			check(t, f, tt.name+", by ES256", forge(t, es, text, esKey), tt.valid)
		}
	}
	check(t, f, "Authing's, by ES256", forge(t, es, authing, esKey), false)
}

// A token has one spelling.
func TestVerifySpelling(t *testing.T) {
	f := newFixture(t)
	raw := f.issue(t, "HS256", theJTI).Raw
	head, rest, _ := strings.Cut(raw, ".")
	body, sig, _ := strings.Cut(rest, ".")
	for name, bad := range map[string]string{
		"one part":            head,
		"two parts":           head + "." + body,
		"four parts":          raw + "." + sig,
		"nothing but dots":    "..",
		"space before":        " " + raw,
		"Bearer":              "Bearer " + raw,
		"line break in it":    raw[:len(raw)-4] + "\n" + raw[len(raw)-4:],
		"line break after it": raw + "\r\n",
		"padding":             raw + "=",
		"part of a signature": raw[:len(raw)-2],
		"trailing bits":       raw[:len(raw)-1] + string(nextLetter(raw[len(raw)-1])),
		"too long":            forge(t, hs256, claims+strings.Repeat(" ", 8<<10), []byte(jwtSecret)),
	} {
		check(t, f, name, bad, false)
	}

	// A token is as long as it may be, and one longer.
	pad := func(n int) string {
		return forge(t, hs256, claims+strings.Repeat(" ", n), []byte(jwtSecret))
	}
	n := 0
	for len(pad(n+1)) <= token.MaxSize {
		n++
	}
	check(t, f, "the longest", pad(n), true)
	check(t, f, "longer than the longest", pad(n+1), false)
}

// nextLetter changes the last bit of a base64url letter.
func nextLetter(c byte) byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return letters[strings.IndexByte(letters, c)^1]
}

// Whatever bit is changed, the token is void.
func TestVerifyTampered(t *testing.T) {
	f := newFixture(t)
	for _, alg := range algs {
		raw := f.issue(t, alg, theJTI).Raw
		for i := 0; i < len(raw); i += 7 {
			bad := []byte(raw)
			bad[i] ^= 1
			check(t, f, fmt.Sprintf("%s, byte %d changed", alg, i), string(bad), false)
		}
	}
}

func TestVerifyMissing(t *testing.T) {
	if _, err := newFixture(t).Verify(t.Context(), "", token.KindAuthing); !errors.Is(err, token.ErrMissing) {
		t.Errorf("Verify of nothing = %v, want %v", err, token.ErrMissing)
	}
}

// A token ends at exp and not a millisecond earlier; a forged one is never
// called expired.
func TestVerifyExpiry(t *testing.T) {
	f := newFixture(t)
	tok := f.issue(t, "HS256", theJTI)
	forged := forge(t, hs256, claims, []byte("fedcba9876543210fedcba9876543210"))
	wrongIssuer := forge(t, hs256, edit(t, claims, issuer, "https://evil.example"), []byte(jwtSecret))

	f.now = tok.ExpiresAt.Add(-time.Millisecond)
	check(t, f, "a millisecond earlier", tok.Raw, true)
	for _, f.now = range []time.Time{tok.ExpiresAt, tok.ExpiresAt.Add(time.Millisecond), tok.ExpiresAt.Add(1000 * time.Hour)} {
		if _, err := f.Verify(t.Context(), tok.Raw, token.KindAuthing); !errors.Is(err, token.ErrExpired) {
			t.Errorf("Verify at %v = %v, want %v", f.now, err, token.ErrExpired)
		}
		check(t, f, "expired and forged", forged, false)
		check(t, f, "expired and of another issuer", wrongIssuer, false)
	}
}

// What became of the user and of the token counts at once.
func TestVerifyStanding(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name    string
		change  func(f *fixture)
		token   bool // ours is still valid
		authing bool // and Authing's
	}{
		{"nothing", func(f *fixture) {}, true, true},
		{"blocked", func(f *fixture) { f.user.Blocked = true }, false, false},
		{"unknown user", func(f *fixture) { f.user.ID = "somebody else" }, false, false},
		{"unknown pool", func(f *fixture) { delete(f.store.pools, poolID) }, false, false},
		{"another jwtSecret", func(f *fixture) { f.setSecret("fedcba9876543210fedcba9876543210") }, false, false},
		{"no jwtSecret", func(f *fixture) { f.setSecret("") }, false, false},
		{"revoked", func(f *fixture) { f.store.revoked[theJTI] = f.pool.TokenEnd(start) }, false, true},
		{"another revoked", func(f *fixture) { f.store.revoked["x"] = f.pool.TokenEnd(start) }, true, true},
		// theJTI was made at 03:04:05.678, Authing's token in that second.
		{"signed out 1 ms before", func(f *fixture) { f.user.NotBefore = start.Add(-ms) }, true, false},
		{"signed out at that moment", func(f *fixture) { f.user.NotBefore = start }, false, false},
		{"signed out 1 ms after", func(f *fixture) { f.user.NotBefore = start.Add(ms) }, false, false},
		{"signed out at the second", func(f *fixture) { f.user.NotBefore = start.Truncate(time.Second) }, true, false},
		{"signed out 1 ms before the second", func(f *fixture) { f.user.NotBefore = start.Truncate(time.Second).Add(-ms) }, true, true},
	} {
		f := newFixture(t)
		tt.change(f)
		f.store.users = map[[2]string]userpool.User{{poolID, f.user.ID}: f.user}
		check(t, f, tt.name, forge(t, hs256, claims, []byte(jwtSecret)), tt.token)
		check(t, f, tt.name+", Authing's", forge(t, hs256, authing, []byte(jwtSecret)), tt.authing)
	}
}

// An empty HMAC key would be everybody's.
func TestVerifyWithoutKey(t *testing.T) {
	f := newFixture(t)
	f.setSecret("")
	check(t, f, "signed with the empty key", forge(t, hs256, claims, []byte{}), false)
}

// The store's failure is not the token's fault.
func TestVerifyWithoutStore(t *testing.T) {
	for _, header := range []string{hs256, rs256} {
		for _, method := range []string{"SigningKeys", "TokenRevoked", "Pool", "User"} {
			f := newFixture(t)
			var key any = []byte(jwtSecret)
			if header == rs256 {
				key = testKeys()["RS256"]
			}
			raw := forge(t, header, claims, key)
			f.store.err, f.store.errIn = errStore, method
			_, err := f.Verify(t.Context(), raw, token.KindAuthing)
			if header == hs256 && method == "SigningKeys" {
				check(t, f, "HS256 needs no signing key", raw, true)
				continue
			}
			if !errors.Is(err, errStore) || errors.Is(err, token.ErrInvalid) {
				t.Errorf("%s fails for %s: Verify = %v, want %v and not ErrInvalid", method, header, err, errStore)
			}
		}
	}
}

// An app that got its token from Authing stays signed in after the move.
func TestVerifyAuthingSample(t *testing.T) {
	f := newFixture(t)
	f.now = time.Date(2024, 1, 16, 0, 0, 0, 0, time.UTC)
	got, err := f.Verify(t.Context(), sample, token.KindAuthing)
	want := token.Claims{Kind: token.KindAuthing, PoolID: poolID, UserID: userID, UnionID: unionID, IssuedAt: time.Unix(1705307400, 0).UTC(), ExpiresAt: time.Unix(1706603400, 0).UTC()}
	if err != nil || got != want {
		t.Errorf("Verify = %+v, %v, want %+v", got, err, want)
	}
	f.now = want.ExpiresAt
	if _, err := f.Verify(t.Context(), sample, token.KindAuthing); !errors.Is(err, token.ErrExpired) {
		t.Errorf("Verify at exp = %v, want %v", err, token.ErrExpired)
	}
}

// No text makes Verify panic, and none but an issued one is valid.
func FuzzVerify(f *testing.F) {
	x := newFixture(f)
	issued := map[string]bool{} // by what is signed: ECDSA has two signatures of it
	for _, alg := range algs {
		raw := x.issue(f, alg, theJTI).Raw
		issued[raw[:strings.LastIndexByte(raw, '.')]] = true
		f.Add(raw)
	}
	f.Add("")
	f.Add("..")
	f.Add(sample)
	f.Add(forge(f, `{"alg":"none","typ":"JWT"}`, claims, nil))
	f.Add(forge(f, `{"alg":"HS256","typ":"JWT","kid":"rs256"}`, claims, []byte(jwtSecret)))
	f.Add(forge(f, `{"alg":"HS256","typ":"JWT","crit":["exp"]}`, claims, []byte(jwtSecret)))
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := x.Verify(context.Background(), raw, token.KindAuthing)
		switch {
		case err == nil:
			if !issued[raw[:strings.LastIndexByte(raw, '.')]] || got.UserID != userID || got.PoolID != poolID {
				t.Errorf("Verify(%q) = %+v", raw, got)
			}
		case !errors.Is(err, token.ErrMissing) && !errors.Is(err, token.ErrExpired) && !errors.Is(err, token.ErrInvalid):
			t.Errorf("Verify(%q): %v", raw, err)
		}
	})
}

// check verifies raw, which must be valid or else ErrInvalid, for the kinds; for
// Authing's if there are none.
func check(t *testing.T, f *fixture, name, raw string, valid bool, kinds ...token.Kind) {
	t.Helper()
	if kinds == nil {
		kinds = []token.Kind{token.KindAuthing}
	}
	got, err := f.Verify(t.Context(), raw, kinds...)
	switch {
	case valid && (err != nil || got.UserID != userID || got.PoolID != poolID):
		t.Errorf("%s: Verify = %+v, %v, want it valid", name, got, err)
	case !valid && (!errors.Is(err, token.ErrInvalid) || errors.Is(err, token.ErrExpired) || got != token.Claims{}):
		t.Errorf("%s: Verify = %+v, %v, want %v", name, got, err, token.ErrInvalid)
	}
}

func (f *fixture) setSecret(s userpool.Secret) {
	p := f.store.pools[poolID]
	p.JWTSecret = s
	f.store.pools[poolID] = p
}

// kid returns the kid in a token's header.
func kid(t testing.TB, raw string) string {
	t.Helper()
	head, _, _ := strings.Cut(raw, ".")
	var h struct{ Kid string }
	if err := json.NewDecoder(bytes.NewBufferString(unb64(t, head))).Decode(&h); err != nil {
		t.Fatal(err)
	}
	return h.Kid
}

func sortedNames(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
