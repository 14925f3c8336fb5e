package token_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"app2wxapp/token"
	"app2wxapp/userpool"
)

const (
	issuer    = "https://id.example.com"
	poolID    = "64b7f0a1c2d3e4f506172839"
	userID    = "64b8012fa9b8c7d6e5f40312"
	unionID   = "oSAMPLEunionid0000000000001X"
	jwtSecret = "0123456789abcdef0123456789abcdef"
)

// start is between two whole seconds, where rounding shows.
var start = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)

var algs = []string{"HS256", "RS256", "ES256", "EdDSA"}

// fixture is a Service over a fake store that has one pool, one user and one
// key per algorithm, at start on a clock that a test turns.
type fixture struct {
	*token.Service
	store *fakeStore
	pool  userpool.Pool
	user  userpool.User
	now   time.Time
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{now: start}
	f.pool = userpool.Pool{ID: poolID, JWTSecret: jwtSecret}
	f.user = userpool.User{PoolID: poolID, ID: userID, UnionID: unionID}
	other := userpool.Pool{ID: "other", JWTSecret: "fedcba9876543210fedcba9876543210"}
	f.store = &fakeStore{
		keys:    []token.Key{storedKey(t, "RS256"), storedKey(t, "ES256"), storedKey(t, "EdDSA")},
		revoked: map[string]time.Time{},
		pools:   map[string]userpool.Pool{poolID: f.pool, other.ID: other},
		users:   map[[2]string]userpool.User{{poolID, userID}: f.user},

		sessions: map[string]token.Session{},
	}
	f.Service = token.New(f.store, f.store, token.Config{Issuer: issuer, Now: func() time.Time { return f.now }})
	return f
}

// issue issues the user's token by the algorithm, now.
func (f *fixture) issue(t testing.TB, alg, jti string) token.Token {
	t.Helper()
	p := f.pool
	p.TokenAlg = alg
	tok, err := f.Issue(t.Context(), p, f.user, stamp(p, jti, f.now))
	if err != nil {
		t.Fatalf("Issue by %s: %v", alg, err)
	}
	return tok
}

// The bytes are the contract: order of claims, header, key.
func TestIssue(t *testing.T) {
	for _, alg := range algs {
		t.Run(alg, func(t *testing.T) {
			f := newFixture(t)
			jti := userpool.NewID(start)
			tok := f.issue(t, alg, jti)

			wantHeader := fmt.Sprintf(`{"alg":"%s","typ":"JWT","kid":"%s"}`, alg, strings.ToLower(alg))
			var key any = []byte(jwtSecret)
			if alg == "HS256" {
				wantHeader = `{"alg":"HS256","typ":"JWT"}`
			} else {
				key = testKeys()[alg].Public()
			}
			header, claims := open(t, tok.Raw, key)
			if header != wantHeader {
				t.Errorf("header = %s, want %s", header, wantHeader)
			}
			iat := start.Unix()
			wantClaims := fmt.Sprintf(`{"data":{"unionid":"%s","id":"%s","clientId":"%s"},"iat":%d,"exp":%d,"iss":"%s","sub":"%s","aud":"%s","jti":"%s"}`,
				unionID, userID, poolID, iat, iat+15*24*3600, issuer, userID, poolID, jti)
			if claims != wantClaims {
				t.Errorf("claims =\n%s, want\n%s", claims, wantClaims)
			}
			if want := start.Truncate(time.Second); tok.IssuedAt != want {
				t.Errorf("IssuedAt = %v, want %v", tok.IssuedAt, want)
			}
			if want := start.Truncate(time.Second).Add(15 * 24 * time.Hour); tok.ExpiresAt != want || f.pool.TokenEnd(start) != want {
				t.Errorf("ExpiresAt = %v and %v, want %v", tok.ExpiresAt, f.pool.TokenEnd(start), want)
			}

			got, err := f.Verify(t.Context(), tok.Raw, token.KindAuthing)
			want := token.Claims{Kind: token.KindAuthing, PoolID: poolID, UserID: userID, UnionID: unionID, IssuedAt: tok.IssuedAt, ExpiresAt: tok.ExpiresAt, ID: jti}
			if err != nil || got != want {
				t.Errorf("Verify = %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

// A repeat of a redemption, here after a restart, answers with the same token.
func TestIssueAgainGivesSameBytes(t *testing.T) {
	for _, alg := range algs {
		f := newFixture(t)
		jti := userpool.NewID(start)
		first := f.issue(t, alg, jti)

		restarted := newFixture(t)
		restarted.now = start.Truncate(time.Second) // of the first answer only iat is kept
		if again := restarted.issue(t, alg, jti); again != first {
			t.Errorf("%s: second Issue = %+v, want %+v", alg, again, first)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	f := newFixture(t)
	short := f.pool
	short.JWTSecret = userpool.Secret(jwtSecret[1:])
	none := f.pool
	none.TokenAlg = "none"
	id := userpool.NewID(start)
	for _, tt := range []struct {
		name string
		pool userpool.Pool
		jti  string
		want error // nil means any
	}{
		{"a key of 31 bytes", short, id, nil},
		{"alg none", none, id, token.ErrAlg},
		{"no jti", f.pool, "", nil},
		{"a random UUID", f.pool, "5b1f4c0e-8a3d-4e57-9c1b-1d2e3f405162", nil},
		{"another variant", f.pool, id[:19] + "c" + id[20:], nil},
		{"a jti in upper case", f.pool, "0190ABCD" + id[8:], nil},
		{"a jti with another separator", f.pool, strings.Replace(id, "-", "_", 1), nil},
	} {
		tok, err := f.Issue(t.Context(), tt.pool, f.user, stamp(tt.pool, tt.jti, start))
		if err == nil || !errors.Is(err, tt.want) && tt.want != nil {
			t.Errorf("%s: Issue = %q, %v, want error %v", tt.name, tok.Raw, err, tt.want)
		}
	}
}

// However many logins come first, a process makes one key.
func TestConcurrentFirstIssue(t *testing.T) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		f := newFixture(t)
		f.store.keys = nil
		jti := userpool.NewID(start)
		toks := make([]token.Token, 16)
		var wg sync.WaitGroup
		for i := range toks {
			wg.Go(func() {
				p := f.pool
				p.TokenAlg = alg
				var err error
				if toks[i], err = f.Issue(t.Context(), p, f.user, stamp(p, jti, start)); err != nil {
					t.Errorf("%s: Issue: %v", alg, err)
				}
			})
		}
		wg.Wait()
		if n := f.store.added; n != 1 {
			t.Errorf("%s: AddFirstSigningKey called %d times, want once", alg, n)
		}
		if len(slices.Compact(toks)) != 1 {
			t.Errorf("%s: concurrent first calls gave different tokens", alg)
		}
		if _, err := f.Verify(t.Context(), toks[0].Raw, token.KindAuthing); err != nil {
			t.Errorf("%s: Verify: %v", alg, err)
		}
	}
}

// Of two processes that make a first key, both use the one that was kept.
func TestFirstKeyOfTwoProcesses(t *testing.T) {
	f := newFixture(t)
	f.store.keys = nil
	f.store.beforeAdd = func() { f.store.keys = []token.Key{storedKey(t, "ES256")} }
	tok := f.issue(t, "ES256", userpool.NewID(start))
	open(t, tok.Raw, testKeys()["ES256"].Public())
}

// A caller who gives up while the key is made does not throw it away.
func TestPrepareOutlivesCaller(t *testing.T) {
	f := newFixture(t)
	f.store.keys = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Prepare(ctx, "EdDSA"); err != nil || len(f.store.keys) != 1 {
		t.Errorf("Prepare = %v and %d keys, want nil and 1", err, len(f.store.keys))
	}
}

func TestPrepare(t *testing.T) {
	f := newFixture(t)
	f.store.keys = nil
	for _, tt := range []struct {
		alg  string
		keys int // in the store afterwards
		want error
	}{
		{"HS256", 0, nil},
		{"EdDSA", 1, nil},
		{"EdDSA", 1, nil},
		{"ES256", 2, nil},
		{"RS256", 3, nil},
		{"none", 3, token.ErrAlg},
		{"HS512", 3, token.ErrAlg},
		{"", 3, token.ErrAlg},
	} {
		if err := f.Prepare(t.Context(), tt.alg); !errors.Is(err, tt.want) || len(f.store.keys) != tt.keys {
			t.Errorf("Prepare(%q) = %v and %d keys, want %v and %d", tt.alg, err, len(f.store.keys), tt.want, tt.keys)
		}
	}
}

// A key that another replica adds signs here within a second; tokens of the
// older one stay valid.
func TestNewestKeySigns(t *testing.T) {
	f := newFixture(t)
	before := f.issue(t, "EdDSA", userpool.NewID(start))

	newer := newFixture(t)
	newer.store.keys = nil
	if err := newer.Prepare(t.Context(), "EdDSA"); err != nil {
		t.Fatal(err)
	}
	f.store.keys = append(f.store.keys, newer.store.keys[0])

	f.now = start.Add(time.Second - time.Millisecond)
	if tok := f.issue(t, "EdDSA", userpool.NewID(start)); kid(t, tok.Raw) != "eddsa" {
		t.Errorf("after 999 ms kid = %s, want the cached eddsa", kid(t, tok.Raw))
	}
	f.now = start.Add(time.Second)
	after := f.issue(t, "EdDSA", userpool.NewID(start))
	if got, want := kid(t, after.Raw), newer.store.keys[0].ID; got != want {
		t.Errorf("after a second kid = %s, want %s", got, want)
	}
	for _, raw := range []string{before.Raw, after.Raw} {
		if _, err := f.Verify(t.Context(), raw, token.KindAuthing); err != nil {
			t.Errorf("Verify: %v", err)
		}
	}

	f.store.keys = f.store.keys[len(f.store.keys)-1:]
	f.now = f.now.Add(time.Second)
	if _, err := f.Verify(t.Context(), before.Raw, token.KindAuthing); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("Verify after the key was taken away = %v, want %v", err, token.ErrInvalid)
	}
}

// A token that another replica signed with a key it has just made is valid here
// at once.
func TestKeyOfOtherReplica(t *testing.T) {
	f := newFixture(t)
	f.store.keys = nil
	if err := f.Prepare(t.Context(), "ES256"); err != nil { // keys are cached now
		t.Fatal(err)
	}
	f.store.keys = append(f.store.keys, storedKey(t, "EdDSA"))
	other := newFixture(t)
	if _, err := f.Verify(t.Context(), other.issue(t, "EdDSA", userpool.NewID(start)).Raw, token.KindAuthing); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

// A stored key is used for its own algorithm or not at all.
func TestStoredKeyMustFit(t *testing.T) {
	rsa2048, err1 := rsa.GenerateKey(rand.Reader, 2048)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, alg string
		private   []byte
	}{
		{"Ed25519 as ES256", "ES256", pkcs8(t, testKeys()["EdDSA"])},
		{"P-384 as ES256", "ES256", pkcs8(t, p384)},
		{"RSA of 2048 bits", "RS256", pkcs8(t, rsa2048)},
		{"no PKCS #8", "EdDSA", []byte("key")},
	} {
		f := newFixture(t)
		f.store.keys = []token.Key{{ID: "k", Alg: tt.alg, Private: tt.private}}
		if err := f.Prepare(t.Context(), tt.alg); err == nil {
			t.Errorf("%s: Prepare succeeded, want an error", tt.name)
		}
	}
}

func BenchmarkIssueHS256(b *testing.B) { benchmarkIssue(b, "HS256") }
func BenchmarkIssueRS256(b *testing.B) { benchmarkIssue(b, "RS256") }
func BenchmarkIssueES256(b *testing.B) { benchmarkIssue(b, "ES256") }
func BenchmarkIssueEdDSA(b *testing.B) { benchmarkIssue(b, "EdDSA") }

func benchmarkIssue(b *testing.B, alg string) {
	f := newFixture(b)
	f.pool.TokenAlg = alg
	jti := userpool.NewID(start)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Issue(b.Context(), f.pool, f.user, stamp(f.pool, jti, start)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyHS256(b *testing.B) {
	f := newFixture(b)
	raw := f.issue(b, "HS256", userpool.NewID(start)).Raw
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Verify(b.Context(), raw, token.KindAuthing); err != nil {
			b.Fatal(err)
		}
	}
}

// stamp is what a redemption at that time gives a token.
func stamp(p userpool.Pool, jti string, at time.Time) token.Stamp {
	return token.Stamp{ID: jti, IssuedAt: at, ExpiresAt: p.TokenEnd(at)}
}
