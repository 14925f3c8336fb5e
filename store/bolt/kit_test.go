package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bbolt "go.etcd.io/bbolt"

	"app2wxapp/audit"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/upload"
	"app2wxapp/userpool"
)

var (
	ctx     = context.Background()
	t0      = time.Date(2026, 11, 20, 8, 30, 0, 412e6, time.UTC)
	testKey = [32]byte([]byte("planted-encryption-key-012345678"))
)

// events is a log whose lines a test can wait for.
type events struct{ lines chan string }

func newEvents() *events { return &events{make(chan string, 1000)} }

func (e *events) Enabled(context.Context, slog.Level) bool { return true }
func (e *events) WithAttrs([]slog.Attr) slog.Handler       { return e }
func (e *events) WithGroup(string) slog.Handler            { return e }
func (e *events) Handle(_ context.Context, r slog.Record) error {
	e.lines <- r.Message
	return nil
}

// await waits until something was logged that has this in it.
func (e *events) await(t *testing.T, part string) {
	t.Helper()
	end := time.After(30 * time.Second)
	for {
		select {
		case line := <-e.lines:
			if strings.Contains(line, part) {
				return
			}
		case <-end:
			t.Fatalf("never logged: %s", part)
		}
	}
}

func config(path string, log slog.Handler) Config {
	return Config{Path: path, Key: testKey, Log: slog.New(log), Reg: prometheus.NewRegistry()}
}

// open opens the store at path until the test ends.
func open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(config(path, slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// newPath is where a store may be made.
func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "data", "store.db") }

func testPool(id string) userpool.Pool {
	return userpool.Pool{
		ID: id, Settings: userpool.Settings{Name: "示例", AppID: "wx1", AppSecret: "planted-app-secret"}, JWTSecret: "planted-jwt-secret",
		Secrets: []userpool.PoolSecret{{ID: "s1", Hash: [32]byte{1}, CreatedAt: t0}}, CreatedAt: t0, UpdatedAt: t0,
	}
}

func testUser(id string) userpool.User {
	return userpool.User{
		PoolID: "p", ID: id, UnionID: "oU-" + id, Identities: []userpool.Identity{{AppID: "wx1", OpenID: "o1-" + id}},
		Phone: "+8613800138000", Profile: userpool.Profile{Nickname: "nick-" + id}, Username: "name-" + id, Email: userpool.Email(id + "@example.com"), SignedUp: t0, UpdatedAt: t0,
	}
}

// keysOf are the keys by which testUser is found.
func keysOf(id string) userpool.Keys {
	u := testUser(id)
	return userpool.Keys{UnionID: u.UnionID, Identity: u.Identities[0], Phone: u.Phone}
}

// testTicket is the n-th ticket of the user, issued at t0 for two minutes.
func testTicket(user string, n int) ticket.Ticket {
	t := ticket.Ticket{PoolID: "p", UserID: user, AppID: "wx1", ExpiresAt: t0.Add(120 * time.Second)}
	ms := t0.UnixMilli()
	for i := range 6 {
		t.Key[i] = byte(ms >> (8 * (5 - i)))
	}
	copy(t.Key[6:], fmt.Sprintf("%s-%d", user, n))
	return t
}

func attempt(tk ticket.Ticket, jti string) ticket.Redemption {
	now := t0.Add(time.Second)
	return ticket.Redemption{
		PoolID: "p", Key: tk.Key, Addr: netip.MustParseAddr("203.0.113.7"), Now: now,
		JTI: jti, TokenExpiresAt: now.Truncate(time.Second).Add(time.Hour), RevokeOnReplay: true,
	}
}

// silent is a change that nothing is written of.
func silent[T any](change func(*T) error) func(*T) (audit.Event, error) {
	return func(v *T) (audit.Event, error) { return audit.Event{}, change(v) }
}

// silently is silent for PutUser.
func silently(resolve func(userpool.Matches) (userpool.User, error)) func(userpool.Matches) (userpool.User, audit.Event, error) {
	return func(m userpool.Matches) (userpool.User, audit.Event, error) {
		u, err := resolve(m)
		return u, audit.Event{}, err
	}
}

// testUnfinished is a sign-in that fill stores.
var testUnfinished = userpool.Unfinished{
	Key: testTicket("unfinished", 1).Key, PoolID: "p", Identity: userpool.Identity{AppID: "wx1", OpenID: "o1-new"}, ExpiresAt: t0.Add(userpool.UnfinishedLife),
}

// testCode is a code that fill sends.
var testCode = userpool.OneTimeCode{PoolID: "p", Purpose: userpool.PurposeBind, To: "+8613800138000", Code: "012345"}

var testSigningKey = token.Key{ID: "k", Alg: "ES256", Private: []byte{1}, CreatedAt: t0}

func testPassword(user string) userpool.Password {
	return userpool.Password{Hash: userpool.Secret("hash of " + user), SetAt: t0, Places: []netip.Addr{netip.MustParseAddr("203.0.113.7")}}
}

var testTOTP = userpool.TOTP{Secret: "PLANTEDSECRET234", AddedAt: t0, ConfirmedAt: t0.Add(time.Second), Step: 59700000, Recovery: [][32]byte{{1}, {2, 3}}}

// addTOTP makes testTOTP the user's.
func addTOTP(_ *userpool.User, f *userpool.TOTP) (audit.Event, error) {
	*f = testTOTP
	return audit.Event{}, nil
}

// testSession is a session of the user, s-USER.
func testSession(user string) token.Session {
	return token.Session{
		ID: "s-" + user, PoolID: "p", UserID: user, Kind: token.KindAccess, Scope: "openid", CreatedAt: t0, ExpiresAt: t0.Add(24 * time.Hour),
		JTI: "j-of-s-" + user, TokenEnd: t0.Add(time.Hour), Family: [32]byte{1}, Refresh: [32]byte{2},
	}
}

// testPicture is larger than a page.
func testPicture(of string) upload.Picture {
	return upload.Picture{ID: "picture-" + of, Type: "png", Data: bytes.Repeat([]byte(of+" "), 3000)}
}

// fill stores something in every bucket: pool p, users a and b, tickets a-1
// (live), b-1 (redeemed and replayed), a signing key, a sign-in to be finished,
// a code; and of a a password, a second factor, and two pictures, of which a
// holds one.
func fill(t testing.TB, s *Store) {
	t.Helper()
	check(t, s.CreatePool(ctx, testPool("p"), audit.Event{}))
	for _, id := range []string{"a", "b"} {
		u := testUser(id)
		u.Phone = userpool.Phone("+86138001380" + map[string]string{"a": "00", "b": "01"}[id])
		check(t, s.CreateUser(ctx, u))
		check(t, s.CreateTicket(ctx, testTicket(id, 1), t0))
	}
	if _, err := s.RedeemTicket(ctx, attempt(testTicket("b", 1), "j-b")); err != nil {
		t.Fatal(err)
	}
	_, err := s.RedeemTicket(ctx, attempt(testTicket("b", 1), "j-b2"))
	wantErr(t, "replay", err, ticket.ErrRedeemed)
	check(t, s.CreateUnfinished(ctx, testUnfinished))
	check(t, s.KeepCode(ctx, testCode, t0))
	check(t, second(s.AddFirstSigningKey(ctx, testSigningKey)))
	check(t, second(s.SetPassword(ctx, "p", "a", testPassword("a"), silent(func(*userpool.User) error { return nil }))))
	check(t, second(s.UpdateTOTP(ctx, "p", "a", addTOTP)))
	for _, of := range []string{"a", "loose"} {
		check(t, s.PutPicture(ctx, testPicture(of), t0))
	}
	check(t, s.HoldPicture(ctx, "p", "a", testPicture("a").ID, t0))
}

// filled makes a store with fill's records, closes it and returns its path.
func filled(t testing.TB) string {
	t.Helper()
	path := newPath(t)
	s, err := Open(config(path, slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s)
	closeStore(t, s)
	return path
}

// edit changes the closed store by bbolt itself.
func edit(t testing.TB, path string, change func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// copyFile copies a store so that it can be spoiled.
func copyFile(t testing.TB, path string, b []byte) string {
	t.Helper()
	check(t, os.WriteFile(path, b, 0o600))
	return path
}

// together runs do n times at once.
func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-gate; do(i) })
	}
	close(gate)
	wg.Wait()
}
