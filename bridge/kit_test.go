package bridge_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"app2wxapp/bridge"
	"app2wxapp/bridge/bridgetest"
)

// What the tests of this package share.

func issuePath(p bridgetest.Pool) string { return "/oauth/app2wxapp/ticket/" + p.ID }
func redeemPath(p bridgetest.Pool) string {
	return "/oauth/app2wxapp/auth/" + p.ID
}

// object returns a JSON object of the members.
func object(members ...string) string { return "{" + strings.Join(members, ",") + "}" }

// loginCode returns a member: the code of wx.login.
func loginCode(b *bridgetest.Bridge, user string) string {
	return member("code", b.WeChat.LoginCode(bridgetest.AppID, user))
}

// member returns one member of a JSON object.
func member(name, value string) string {
	v, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%q:%s", name, v)
}

// redeemed is what the tests read of the answer to a redemption.
type redeemed struct {
	ID, Token, TokenExpiredAt, UnionID, OpenID, Nickname, LastIP string
	LoginsCount                                                  int
	Phone                                                        *string
	EmailVerified                                                bool
}

// redeem redeems the ticket with the pool's secret and returns the user.
func redeem(b *bridgetest.Bridge, p bridgetest.Pool, ticket string, members ...string) redeemed {
	var u redeemed
	b.Redeem(p, ticket, members...).Want(200).Decode(&u)
	return u
}

// login signs the user in and returns what a redemption gave.
func login(b *bridgetest.Bridge, p bridgetest.Pool, user string, members ...string) redeemed {
	return redeem(b, p, b.Ticket(p, user, members...))
}

// patch changes the pool's settings.
func patch(b *bridgetest.Bridge, p bridgetest.Pool, members ...string) {
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID, object(members...)).Want(200)
}

// wantUsable fails the test unless the ticket can still be redeemed.
func wantUsable(t *testing.T, b *bridgetest.Bridge, p bridgetest.Pool, ticket string, members ...string) {
	t.Helper()
	if r := b.Redeem(p, ticket, members...); r.Status != 200 {
		t.Errorf("right input afterwards: %d %s, want 200", r.Status, r.Body)
	}
}

// wantInvalid fails the test unless the answer is the one for every ticket that
// does not hold.
func wantInvalid(r bridgetest.Response) { r.WantError(400, 4001, "invalid_ticket") }

// tokenState returns the code of /authing/token: 200, 2020, 2206 or 2207.
func tokenState(b *bridgetest.Bridge, token string) int {
	var got struct{ Code int }
	b.Do("GET", b.URL+"/authing/token?access_token="+token, "").Want(200).Decode(&got)
	return got.Code
}

// wantToken fails the test unless the token's state is code.
func wantToken(t *testing.T, b *bridgetest.Bridge, token string, code int) {
	t.Helper()
	if got := tokenState(b, token); got != code {
		t.Errorf("GET /authing/token: code %d, want %d", got, code)
	}
}

// verifier is a code_verifier, challenge what it hashes to.
var (
	verifier  = strings.Repeat("v", 43)
	challenge = s256(verifier)
)

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// proofKey returns members of a request that binds the ticket to verifier.
func proofKey() string {
	return member("code_challenge", challenge) + "," + member("code_challenge_method", "S256")
}

// from is the header by which a trusted proxy says who calls.
func from(addr string) string { return "X-Forwarded-For: " + addr }

// failingStore is a store of which every first read of a pool, every read of a user, and every
// write about tickets fails while err is set.
type failingStore struct {
	bridge.Store
	err   atomic.Pointer[error]
	pools sync.Map // pool id → userpool.Pool
}

func (f *failingStore) fail(err error) { f.err.Store(&err) }
func (f *failingStore) heal()          { f.err.Store(nil) }

func (f *failingStore) failure() error {
	if p := f.err.Load(); p != nil {
		return *p
	}
	return nil
}

// withFailing returns an option and the store that it puts in place.
func withFailing() (bridgetest.Option, *failingStore) {
	f := new(failingStore)
	return bridgetest.WithStore(func(s bridge.Store) bridge.Store { f.Store = s; return f }), f
}
