package bridge_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/userpool"
)

// A token is shown in the query, as Bearer or bare; that it holds is told with
// Authing's claims.
func TestCheckToken(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	u := login(b, p, "alice")
	iat := bridgetest.T0.Unix()
	want := fmt.Sprintf(`{"status":true,"code":200,"message":"已登录","token":{"data":{"unionid":%q,"id":%q,"clientId":%q},"iat":%d,"exp":%d}}`,
		u.UnionID, u.ID, p.ID, iat, iat+1296000)
	const path = "/authing/token"
	for name, r := range map[string]bridgetest.Response{
		"query":           b.Do("GET", b.URL+path+"?access_token="+u.Token, ""),
		"Bearer":          b.Do("GET", b.URL+path, "", "Authorization: Bearer "+u.Token),
		"bearer":          b.Do("GET", b.URL+path, "", "Authorization: bearer  "+u.Token),
		"raw":             b.Do("GET", b.URL+path, "", "Authorization: "+u.Token),
		"query and stale": b.Do("GET", b.URL+path+"?access_token="+u.Token, "", "Authorization: stale"),
	} {
		if r.Status != 200 || r.Body != want {
			t.Errorf("%s: %d\n%s\nwant\n%s", name, r.Status, r.Body, want)
		}
		wantHeaders(t, r)
	}
}

// That a token does not hold is data: HTTP 200 and status false.
func TestCheckTokenFailures(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, other := b.NewPool(), b.NewPool()
	u := login(b, p, "alice")
	parts := strings.Split(u.Token, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	foreign := strings.Split(login(b, other, "alice").Token, ".")
	for _, row := range []struct {
		name, query   string
		headers       []string
		code          int
		message, inEN string
	}{
		{"nothing", "", nil, 2020, "未登录", "not signed in"},
		{"empty", "access_token=", nil, 2020, "未登录", "not signed in"},
		{"nonsense", "access_token=x", nil, 2207, "登录信息有误", "the login is not valid"},
		{"Bearer alone", "", []string{"Authorization: Bearer"}, 2207, "登录信息有误", "the login is not valid"},
		{"Basic", "", []string{"Authorization: Basic YTpi"}, 2207, "登录信息有误", "the login is not valid"},
		{"no signature", "access_token=" + parts[0] + "." + parts[1] + ".", nil, 2207, "登录信息有误", "the login is not valid"},
		{"alg none", "access_token=" + none + "." + parts[1] + ".", nil, 2207, "登录信息有误", "the login is not valid"},
		{"another's signature", "access_token=" + parts[0] + "." + parts[1] + "." + foreign[2], nil, 2207, "登录信息有误", "the login is not valid"},
		{"over-long", "access_token=" + strings.Repeat("a", 9000), nil, 2207, "登录信息有误", "the login is not valid"},
		{"the pool secret", "access_token=" + p.Secret, nil, 2207, "登录信息有误", "the login is not valid"},
	} {
		for accept, message := range map[string]string{"": row.message, "en": row.inEN} {
			r := b.Do("GET", b.URL+"/authing/token?"+row.query, "", append(row.headers, "Accept-Language: "+accept)...)
			want := fmt.Sprintf(`{"status":false,"code":%d,"message":%q}`, row.code, message)
			if r.Status != 200 || r.Body != want {
				t.Errorf("%s: %d %s, want 200 %s", row.name, r.Status, r.Body, want)
			}
		}
	}
	b.Do("GET", b.URL+"/authing/token?access_token=%zz", "").WantError(400, 2231, "invalid_request")
}

// From exp on, to the second, a token is expired.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	for _, row := range []struct {
		pool bridgetest.Pool
		life time.Duration
	}{{b.NewPool(`"tokenTTL":60`), time.Minute}, {b.NewPool(), 15 * 24 * time.Hour}} {
		at := b.Clock.Now()
		u := login(b, row.pool, "alice")
		end := at.Truncate(time.Second).Add(row.life)
		b.Clock.Turn(end.Sub(b.Clock.Now()) - time.Millisecond)
		wantToken(t, b, u.Token, 200)
		b.Clock.Turn(time.Millisecond)
		wantToken(t, b, u.Token, 2206)
	}
}

// App servers have the key of HS256. What they make of it is a token or none,
// whatever numbers it has, and one that was revoked stays so when the deny-list
// has been swept.
func TestTokenMadeByAppServer(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	const jwtSecret = "0123456789abcdef0123456789abcdef"
	p := b.NewPool(member("jwtSecret", jwtSecret))
	u := login(b, p, "alice")
	iat := bridgetest.T0.Unix()
	const longest = 315360000 // ten years
	made := func(change func(claims jwt.MapClaims)) string {
		claims := jwt.MapClaims{}
		if _, err := jwt.ParseWithClaims(u.Token, claims, func(*jwt.Token) (any, error) { return []byte(jwtSecret), nil }, jwt.WithTimeFunc(b.Clock.Now)); err != nil {
			t.Fatal(err)
		}
		claims["jti"] = userpool.NewID(b.Clock.Now())
		change(claims)
		raw, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(jwtSecret))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for _, row := range []struct {
		name  string
		claim string
		value any
		code  int // of the token at first
	}{
		{"as issued", "exp", iat + 1296000, 200},
		{"the longest life", "exp", iat + longest, 200},
		{"a second more", "exp", iat + longest + 1, 2207},
		{"beyond what a database can keep", "exp", int64(1) << 45, 2207},
		{"wraps", "exp", int64(1) << 62, 2207},
		{"the last number", "exp", int64(math.MaxInt64), 2207},
		{"no iat", "iat", 0, 2207},
		{"iat before 1970", "iat", -iat, 2207},
		{"the first iat", "iat", int64(math.MinInt64), 2207},
		{"a sid", "sid", userpool.NewID(b.Clock.Now()), 2207},
		{"a sid that cannot be kept", "sid", "\x00", 2207},
		{"a long sid", "sid", strings.Repeat("s", 4000), 2207},
		{"a jti that cannot be kept", "jti", "\x00", 2207},
	} {
		raw := made(func(claims jwt.MapClaims) { claims[row.claim] = row.value })
		if got := tokenState(b, raw); got != row.code {
			t.Errorf("%s: code %d, want %d", row.name, got, row.code)
		}
		b.Do("GET", b.URL+"/oauth/userinfo", "", "Authorization: Bearer "+raw).Want(401)
		if r := b.Do("POST", b.URL+"/oauth/introspect", url.Values{"token": {raw}, "client_id": {p.ID}, "client_secret": {p.Secret}}.Encode(),
			"Content-Type: application/x-www-form-urlencoded").Want(200); r.Body != `{"active":false}` {
			t.Errorf("%s: introspection %s, want it not active", row.name, r.Body)
		}
		b.Do("GET", b.URL+"/api/v2/logout", "", "Authorization: Bearer "+raw).Want(200)
		if _, err := b.Store.SweepTickets(t.Context(), b.Clock.Now(), 100); err != nil {
			t.Fatal(err)
		}
		if got := tokenState(b, raw); got != 2207 {
			t.Errorf("%s: code %d after a logout and a sweep, want 2207", row.name, got)
		}
	}
	wantToken(t, b, u.Token, 200)
}

// Whoever has the JWKS can check a pool's tokens, unless they are HS256: those
// need the pool's jwtSecret.
func TestJWKS(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	const jwtSecret = "0123456789abcdef0123456789abcdef"
	hs := b.NewPool(member("jwtSecret", jwtSecret))
	if got := b.Do("GET", b.URL+"/.well-known/jwks.json", "").Want(200); got.Body != `{"keys":[]}` {
		t.Errorf("with HS256 alone: %s, want no keys", got.Body)
	}
	pools := map[string]bridgetest.Pool{}
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		pools[alg] = b.NewPool(member("tokenAlg", alg))
	}
	b.Clock.Turn(time.Second) // the JWKS may be as old
	r := b.Do("GET", b.URL+"/.well-known/jwks.json", "").Want(200)
	wantHeaders(t, r)
	if r.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("no Access-Control-Allow-Origin: *")
	}
	if strings.Contains(r.Body, base64.RawURLEncoding.EncodeToString([]byte(jwtSecret))) || strings.Contains(r.Body, `"d"`) || strings.Contains(r.Body, "oct") {
		t.Errorf("the JWKS has a secret: %s", r.Body)
	}
	keys := jwks(t, r)
	if len(keys) != 3 {
		t.Fatalf("%d keys in %s, want 3", len(keys), r.Body)
	}

	for alg, p := range pools {
		token := login(b, p, "alice").Token
		_, err := jwt.Parse(token, func(tok *jwt.Token) (any, error) { return keys[tok.Header["kid"].(string)], nil },
			jwt.WithValidMethods([]string{alg}), jwt.WithIssuer(b.URL), jwt.WithAudience(p.ID), jwt.WithTimeFunc(b.Clock.Now))
		if err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		wantToken(t, b, token, 200)
	}
	token := login(b, hs, "alice").Token
	if _, err := jwt.Parse(token, func(tok *jwt.Token) (any, error) { return []byte(jwtSecret), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithTimeFunc(b.Clock.Now)); err != nil {
		t.Errorf("HS256 with the jwtSecret: %v", err)
	}
	if _, err := jwt.Parse(token, func(tok *jwt.Token) (any, error) { return []byte(hs.Secret), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithTimeFunc(b.Clock.Now)); err == nil {
		t.Error("the pool secret verifies tokens: who may redeem could forge")
	}
}

// jwks returns the public keys by kid.
func jwks(t *testing.T, r bridgetest.Response) map[string]crypto.PublicKey {
	t.Helper()
	var set struct {
		Keys []struct{ Kty, Use, Alg, Kid, N, E, Crv, X, Y string }
	}
	r.Decode(&set)
	number := func(s string) *big.Int {
		raw, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		return new(big.Int).SetBytes(raw)
	}
	keys := map[string]crypto.PublicKey{}
	for _, k := range set.Keys {
		if k.Use != "sig" || k.Kid == "" {
			t.Errorf("key %+v, want use sig and a kid", k)
		}
		switch k.Alg {
		case "RS256":
			keys[k.Kid] = &rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}
		case "ES256":
			point := append([]byte{4}, number(k.X).FillBytes(make([]byte, 32))...) // SEC 1 §2.3.3
			key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(point, number(k.Y).FillBytes(make([]byte, 32))...))
			if err != nil {
				t.Error(err)
			}
			keys[k.Kid] = key
		case "EdDSA":
			keys[k.Kid] = ed25519.PublicKey(number(k.X).FillBytes(make([]byte, ed25519.PublicKeySize)))
		default:
			t.Errorf("a key for %q", k.Alg)
		}
	}
	return keys
}
