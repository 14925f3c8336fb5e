package oauth_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"sync"
	"testing"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/bridge/oauth"
)

// What the tests of this package share.

// es256 is a pool setting that most tests have: an RSA key takes a second to
// make.
const es256 = `"tokenAlg":"ES256"`

// tokens is an answer of the token endpoint.
type tokens struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	Scope        *string
	IDToken      string `json:"id_token"`
}

// send posts a form; names and values take turns in params.
func send(b *bridgetest.Bridge, path string, params []string, headers ...string) bridgetest.Response {
	values := url.Values{}
	for i := 0; i < len(params); i += 2 {
		values.Add(params[i], params[i+1])
	}
	return sendRaw(b, path, values.Encode(), headers...)
}

func sendRaw(b *bridgetest.Bridge, path, body string, headers ...string) bridgetest.Response {
	return b.Do("POST", b.URL+path, body, append([]string{"Content-Type: application/x-www-form-urlencoded"}, headers...)...)
}

// client are the parameters of a client's authentication in the body.
func client(p bridgetest.Pool, more ...string) []string {
	return append([]string{"client_id", p.ID, "client_secret", p.Secret}, more...)
}

// basic is the header of a client's authentication.
func basic(id, secret string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

func bearer(raw string) string { return "Authorization: Bearer " + raw }

// grant are the parameters of a ticket's redemption.
func grant(p bridgetest.Pool, ticket string, more ...string) []string {
	return append(client(p, "grant_type", oauth.GrantTicket, "ticket", ticket), more...)
}

// refreshing are the parameters of a refresh.
func refreshing(p bridgetest.Pool, refresh string, more ...string) []string {
	return append(client(p, "grant_type", "refresh_token", "refresh_token", refresh), more...)
}

// login signs the user in and redeems the ticket for that scope.
func login(b *bridgetest.Bridge, p bridgetest.Pool, user, scope string) tokens {
	return redeemed(send(b, "/oauth/token", grant(p, b.Ticket(p, user), "scope", scope)))
}

func redeemed(r bridgetest.Response) (t tokens) {
	r.Want(200).Decode(&t)
	return t
}

func refresh(b *bridgetest.Bridge, p bridgetest.Pool, t tokens) tokens {
	return redeemed(send(b, "/oauth/token", refreshing(p, t.RefreshToken)))
}

// claimsOf returns what a token says, unverified.
func claimsOf(t testing.TB, raw string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(raw, ".")
	for i, into := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

// wantError fails the test unless the answer is this error of RFC 6749 §5.2.
func wantError(t testing.TB, what string, r bridgetest.Response, status int, code string) {
	t.Helper()
	var got struct {
		Error       string
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal([]byte(r.Body), &got); err != nil || r.Status != status || got.Error != code || got.Description == "" {
		t.Errorf("%s: got %d %s, want %d %s", what, r.Status, r.Body, status, code)
	}
	for _, c := range got.Description {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			t.Errorf("%s: error_description %q has %q, which RFC 6749 §5.2 does not allow", what, got.Description, c)
		}
	}
}

// holds tells whether userinfo takes the access token.
func holds(b *bridgetest.Bridge, access string) bool {
	return b.Do("GET", b.URL+"/oauth/userinfo", "", bearer(access)).Status == 200
}

// wantHolds fails the test unless userinfo and introspection both take the
// access token, or both do not.
func wantHolds(t testing.TB, what string, b *bridgetest.Bridge, p bridgetest.Pool, access string, want bool) {
	t.Helper()
	if got := holds(b, access); got != want {
		t.Errorf("%s: userinfo takes the access token: %v, want %v", what, got, want)
	}
	if got := introspect(b, p, access).Active; got != want {
		t.Errorf("%s: introspection finds the access token active: %v, want %v", what, got, want)
	}
}

type introspection struct {
	Active               bool
	Scope, Sub, Iss, Jti string
	ClientID             string `json:"client_id"`
	TokenType            string `json:"token_type"`
	Exp, Iat             int64
	Aud                  any
}

func introspect(b *bridgetest.Bridge, p bridgetest.Pool, token string) (in introspection) {
	send(b, "/oauth/introspect", client(p, "token", token)).Want(200).Decode(&in)
	return in
}

// verifier is a code_verifier; proofKey are members of an issue request that
// bind the ticket to it.
var verifier = strings.Repeat("v", 43)

func proofKey() string {
	sum := sha256.Sum256([]byte(verifier))
	return `"code_challenge":"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `","code_challenge_method":"S256"`
}

// together runs do n times at once.
func together(n int, do func()) {
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for range n {
		wg.Go(func() { <-gate; do() })
	}
	close(gate)
	wg.Wait()
}
