package oauth_test

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
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/token"
)

// forge signs a header and claims without the package under test.
func forge(t testing.TB, header, claims map[string]any, key any) string {
	t.Helper()
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(header) + "." + part(claims)
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
		r, s, signErr := ecdsa.Sign(rand.Reader, k, digest[:])
		sig, err = make([]byte, 64), signErr
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(signed))
	default:
		t.Fatalf("cannot sign with a %T", key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// with returns the claims with changes; nil takes a claim away.
func with(claims map[string]any, changes ...any) map[string]any {
	out := maps.Clone(claims)
	for i := 0; i < len(changes); i += 2 {
		if out[changes[i].(string)] = changes[i+1]; changes[i+1] == nil {
			delete(out, changes[i].(string))
		}
	}
	return out
}

// What is forged, foreign or of another kind is refused by every endpoint that
// takes a token, of each kind of token that any of them takes.
func TestForgedTokensAreRefusedEverywhere(t *testing.T) {
	b := bridgetest.New(t)
	p, other := b.NewPool(`"tokenAlg":"RS256"`), b.NewPool(es256)
	good := login(b, p, "ann", "openid")
	login(b, other, "ann", "openid") // so that there is an ES256 key
	var authing struct{ Token, ID string }
	b.Redeem(p, b.Ticket(p, "ann")).Want(200).Decode(&authing)

	stored, err := b.Store.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, ids := map[string]any{}, map[string]string{}
	for _, k := range stored {
		if keys[k.Alg], err = x509.ParsePKCS8PrivateKey(k.Private); err != nil {
			t.Fatal(err)
		}
		ids[k.Alg] = k.ID
	}
	rs, es := keys["RS256"].(*rsa.PrivateKey), keys["ES256"].(*ecdsa.PrivateKey)
	der, err := x509.MarshalPKIXPublicKey(rs.Public())
	if err != nil {
		t.Fatal(err)
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := b.Store.Pool(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte(pool.JWTSecret)

	_, access := claimsOf(t, good.AccessToken)
	_, id := claimsOf(t, good.IDToken)
	_, old := claimsOf(t, authing.Token)
	casdoor := with(access, "client_id", nil, "scope", nil, "aud", []string{p.ID}, "azp", p.ID, "tokenType", "access-token", "jti", "admin/"+access["jti"].(string))
	head := func(typ string, more ...any) map[string]any {
		return with(map[string]any{"alg": "RS256", "typ": typ, "kid": ids["RS256"]}, more...)
	}
	const at, jwt = "at+jwt", "JWT"

	type row struct {
		name              string
		raw               string
		authing, userinfo bool // who takes it
	}
	rows := []row{
		{"the access token", good.AccessToken, false, true},
		{"the access token, made again", forge(t, head(at), access, rs), false, true},
		{"a Casdoor token", forge(t, head(jwt), casdoor, rs), false, true},
		{"the Authing token", authing.Token, true, false},
		{"the Authing token by HS256", forge(t, map[string]any{"alg": "HS256", "typ": jwt}, old, secret), true, false},
		{"the id_token", good.IDToken, false, false},
		{"the id_token, made again", forge(t, head(jwt), id, rs), false, false},
		{"the admin token", bridgetest.AdminToken, false, false},
		{"the pool secret", p.Secret, false, false},
		{"nothing", ".", false, false},

		{"an access token as JWT", forge(t, head(jwt), access, rs), false, false},
		{"an Authing token as at+jwt", forge(t, head(at), old, rs), false, false},
		{"a Casdoor token as at+jwt", forge(t, head(at), casdoor, rs), false, false},
		{"an id_token as at+jwt", forge(t, head(at), id, rs), false, false},
		{"access and Authing in one", forge(t, head(at), with(access, "data", old["data"]), rs), false, false},
		{"Casdoor and Authing in one", forge(t, head(jwt), with(casdoor, "data", old["data"]), rs), false, false},
		{"Casdoor and access in one", forge(t, head(jwt), with(casdoor, "client_id", p.ID), rs), false, false},
		{"Casdoor and access in one, as at+jwt", forge(t, head(at), with(casdoor, "client_id", p.ID), rs), false, false},
		{"an id_token with an Authing token's data", forge(t, head(jwt), with(id, "data", old["data"]), rs), false, false},
	}
	for name, kind := range map[string]struct {
		typ    string
		claims map[string]any
	}{"access": {at, access}, "Casdoor": {jwt, casdoor}, "Authing": {jwt, old}, "id_token": {jwt, id}} {
		bad := func(what string, header, claims map[string]any, key any) {
			rows = append(rows, row{name + " token: " + what, forge(t, header, claims, key), false, false})
		}
		bad("none", map[string]any{"alg": "none", "typ": kind.typ}, kind.claims, nil)
		bad("none with a kid", head(kind.typ, "alg", "none"), kind.claims, nil)
		bad("RS256 without a signature", head(kind.typ), kind.claims, nil)
		bad("HMAC by the public key as PEM", head(kind.typ, "alg", "HS256"), kind.claims, asPEM)
		bad("HMAC by the public key as DER", head(kind.typ, "alg", "HS256", "kid", nil), kind.claims, der)
		bad("HMAC by the public key, alg RS256", head(kind.typ), kind.claims, asPEM)
		bad("HMAC by an empty key", head(kind.typ, "alg", "HS256", "kid", nil), kind.claims, []byte{})
		bad("HMAC by the pool secret", head(kind.typ, "alg", "HS256", "kid", nil), kind.claims, []byte(p.Secret))
		bad("kid of another algorithm", head(kind.typ, "kid", ids["ES256"]), kind.claims, rs)
		bad("alg of another key", head(kind.typ, "kid", ids["ES256"]), kind.claims, es)
		bad("PS256", head(kind.typ, "alg", "PS256"), kind.claims, rs)
		bad("foreign kid", map[string]any{"alg": "ES256", "typ": kind.typ, "kid": "foreign"}, kind.claims, stranger)
		bad("foreign key under our kid", map[string]any{"alg": "ES256", "typ": kind.typ, "kid": ids["ES256"]}, kind.claims, stranger)
		bad("own key in the header", map[string]any{"alg": "ES256", "typ": kind.typ, "jwk": map[string]any{"kty": "EC"}}, kind.claims, stranger)
		bad("crit", head(kind.typ, "crit", []string{"exp"}), kind.claims, rs)
		bad("another typ", head("dpop+jwt"), kind.claims, rs)
		bad("no typ", head(kind.typ, "typ", nil), kind.claims, rs)

		now := b.Clock.Now().Unix()
		bad("expired", head(kind.typ), with(kind.claims, "iat", now-100, "exp", now), rs)
		bad("not issued yet", head(kind.typ), with(kind.claims, "iat", now+61, "exp", now+100), rs)
		bad("an exp that no store can keep", head(kind.typ), with(kind.claims, "exp", int64(1)<<45), rs)
		bad("an exp that wraps", head(kind.typ), with(kind.claims, "exp", int64(1)<<62), rs)
		bad("no exp", head(kind.typ), with(kind.claims, "exp", nil), rs)
		bad("another issuer", head(kind.typ), with(kind.claims, "iss", "https://evil.example"), rs)
		bad("no issuer", head(kind.typ), with(kind.claims, "iss", nil), rs)
		bad("another audience", head(kind.typ), with(kind.claims, "aud", other.ID), rs)
		bad("another audience in a list", head(kind.typ), with(kind.claims, "aud", []string{other.ID}), rs)
		bad("two audiences", head(kind.typ), with(kind.claims, "aud", []string{p.ID, other.ID}), rs)
		bad("no audience", head(kind.typ), with(kind.claims, "aud", nil), rs)
		bad("nobody's", head(kind.typ), with(kind.claims, "sub", nil), rs)
		bad("an unknown user's", head(kind.typ), with(kind.claims, "sub", "nobody"), rs)
		for _, names := range []string{"client_id", "azp"} { // another pool's, with this audience
			if kind.claims[names] != nil {
				bad("another pool's", head(kind.typ), with(kind.claims, names, other.ID), rs)
				bad("an unknown pool's", head(kind.typ), with(kind.claims, names, "nowhere", "aud", "nowhere"), rs)
			}
		}
		if kind.claims["data"] == nil {
			bad("by the pool's jwtSecret", map[string]any{"alg": "HS256", "typ": kind.typ}, kind.claims, secret)
			bad("no session", head(kind.typ), with(kind.claims, "sid", nil), rs)
			bad("an unknown session", head(kind.typ), with(kind.claims, "sid", "x"), rs)
			bad("another user's session", head(kind.typ), with(kind.claims, "sid", anotherSession(t, b, p)), rs)
		} else { // app servers have that key
			for what, claims := range map[string]map[string]any{
				"a sid that no store can keep": with(kind.claims, "sid", "\x00"), "a jti that no store can keep": with(kind.claims, "jti", "\x00"),
				"an exp that no store can keep": with(kind.claims, "exp", int64(1)<<45), "a user whom no store can keep": with(kind.claims, "sub", "\x00", "data", map[string]any{"id": "\x00", "clientId": p.ID}),
				"a pool that no store can keep": with(kind.claims, "aud", "\x00", "data", map[string]any{"id": kind.claims["sub"], "clientId": "\x00"}),
			} {
				bad(what+", by the pool's jwtSecret", map[string]any{"alg": "HS256", "typ": kind.typ}, claims, secret)
			}
		}
		bad("another jti", head(kind.typ), with(kind.claims, "jti", "1"), rs)
	}
	hints := map[string]bool{"the id_token": true, "the id_token, made again": true}
	for _, what := range []string{"expired", "an unknown user's", "an unknown session", "another user's session"} {
		hints["id_token token: "+what] = true
	}
	for _, r := range rows {
		var checked struct{ Code int }
		b.Do("GET", b.URL+"/authing/token", "", bearer(r.raw)).Want(200).Decode(&checked)
		if got := checked.Code == 200; got != r.authing {
			t.Errorf("%s: /authing/token takes it: %v, want %v", r.name, got, r.authing)
		}
		wantHolds(t, r.name, b, p, r.raw, r.userinfo)
		if !r.userinfo {
			send(b, "/oauth/revoke", client(p, "token", r.raw)).Want(200) // and that does nothing
		}
		// A hint may be old: it only says whose session is to end.
		if !hints[r.name] {
			wantError(t, r.name+" as a hint", send(b, "/oauth/logout", []string{"id_token_hint", r.raw}), 400, "invalid_request")
		}
		wantError(t, r.name+" as a refresh token", send(b, "/oauth/token", refreshing(p, r.raw)), 400, "invalid_grant")
	}
	for _, r := range rows[:5] {
		wantHolds(t, r.name+" afterwards", b, p, r.raw, r.userinfo)
	}
	if r := b.Do("GET", b.URL+"/authing/token", "", bearer(good.RefreshToken)); !strings.Contains(r.Body, `"code":2207`) || holds(b, good.RefreshToken) {
		t.Error("the refresh token is taken for another one")
	}
	for _, raw := range []string{good.IDToken, good.AccessToken} {
		b.Do("GET", b.AdminURL+"/admin/v1/pools", "", bearer(raw)).WantError(401, 2020, "unauthenticated")
	}
}

// anotherSession returns the id of a session of the pool's other user.
func anotherSession(t testing.TB, b *bridgetest.Bridge, p bridgetest.Pool) any {
	_, claims := claimsOf(t, login(b, p, "eve", "").AccessToken)
	return claims["sid"]
}

// A token of one pool is nothing at another one, and its introspection tells
// nothing of it.
func TestTokensStayInTheirPool(t *testing.T) {
	b := bridgetest.New(t)
	p, other := b.NewPool(es256), b.NewPool(es256)
	got := login(b, p, "ann", "openid")
	for what, raw := range map[string]string{"access": got.AccessToken, "refresh": got.RefreshToken, "id": got.IDToken, "none": "x", "dots": "a.b.c"} {
		if r := send(b, "/oauth/introspect", client(other, "token", raw)).Want(200); r.Body != `{"active":false}` {
			t.Errorf("%s: the other pool is told %s", what, r.Body)
		}
	}
	wantError(t, "refresh", send(b, "/oauth/token", refreshing(other, got.RefreshToken)), 400, "invalid_grant")
	wantError(t, "revoke", send(b, "/oauth/revoke", client(other, "token", got.AccessToken)), 400, "unauthorized_client")
	wantError(t, "revoke", send(b, "/oauth/revoke", client(other, "token", got.RefreshToken)), 400, "unauthorized_client")
	wantHolds(t, "afterwards", b, p, got.AccessToken, true)
	refresh(b, p, got)
}

// Casdoor's access tokens are told apart by a session of their kind, too: a
// refresh token of one dialect is none in the other.
func TestCasdoorSession(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	user := login(b, p, "ann", "openid")
	_, claims := claimsOf(t, user.AccessToken)
	tokens := token.New(b.Store, b.Store, token.Config{Issuer: b.URL, Now: b.Clock.Now})
	pool, err := b.Store.Pool(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	g, err := tokens.Begin(t.Context(), pool, claims["sub"].(string), token.Beginning{Kind: token.KindCasdoor, Scope: "profile"})
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":[%q],"azp":%q,"tokenType":"access-token","scope":"profile","sid":%q,"jti":"admin/%s","iat":%d,"exp":%d}`,
		b.URL, g.Session.UserID, p.ID, p.ID, g.Session.ID, g.Stamp.ID, g.Stamp.IssuedAt.Unix(), g.Stamp.ExpiresAt.Unix())
	raw, err := tokens.Sign(t.Context(), pool, "ES256", token.TypeJWT, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	in := introspect(b, p, raw)
	if !in.Active || in.Jti != "admin/"+g.Stamp.ID || fmt.Sprint(in.Aud) != "["+p.ID+"]" || in.Scope != "profile" {
		t.Errorf("introspection: %+v", in)
	}
	r := b.Do("GET", b.URL+"/oauth/userinfo", "", bearer(raw)).Want(200)
	if !strings.Contains(r.Body, `"iss":"`+b.URL+`","aud":"`+p.ID+`"`) {
		t.Errorf("userinfo: %s, want iss and aud as Casdoor has them", r.Body)
	}
	if !introspect(b, p, g.Refresh).Active {
		t.Error("the refresh token is not active")
	}
	send(b, "/oauth/revoke", client(p, "token", raw)).Want(200)
	wantHolds(t, "revoked", b, p, raw, false)
	if !introspect(b, p, g.Refresh).Active {
		t.Error("the access token's revocation ended the session")
	}
	b.Clock.Turn(time.Second)
}
