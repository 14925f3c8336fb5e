//go:build linux

package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/store/move"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/storetest"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/upload"
	"app2wxapp/userpool"
)

var (
	ctx = context.Background()
	t0  = storetest.T0
	// A store is moved some seconds after what was done in it.
	later = t0.Add(10 * time.Second)
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

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

func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		check(t, err)
		return v
	}
}

func second[T any](_ T, err error) error { return err }

// places make an empty place for a store.
var places = map[string]func(t testing.TB) string{
	"bolt":     func(t testing.TB) string { return "bolt:" + filepath.Join(t.TempDir(), "data", "store.db") },
	"postgres": func(t testing.TB) string { return pgtest.New(t) + "&statement_timeout=600000&connect_timeout=600" },
}

func config(url string, key byte) store.Config {
	return store.Config{
		URL: url, Key: [32]byte{key}, Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry(),
		Now: func() time.Time { return later },
	}
}

func open(t testing.TB, c store.Config) store.Store {
	t.Helper()
	c.Reg = prometheus.NewRegistry()
	if store.Remote(c.URL) {
		c.Now = nil // the tests' clock is not the server's
	}
	return must[store.Store](t)(store.Open(c))
}

func silently(move.Progress) {}

// state is what a store was told, and has to know wherever it is moved.
type state struct {
	pools    []userpool.Pool
	users    []userpool.User
	keys     []token.Key
	live     ticket.Redemption // not redeemed yet
	spent    ticket.Redemption // redeemed without a key
	repeat   ticket.Redemption // redeemed with one
	answer   ticket.Redeemed   // of repeat
	session  token.Session
	pictures []upload.Picture    // each held by the user of its place
	password userpool.Password   // of p/u001
	replayed ticket.Redemption   // redeemed and replayed: its token is revoked
	begun    userpool.Unfinished // a sign-in that could still be finished
	chain    audit.Chain
}

func redemption(tk ticket.Ticket, jti string) ticket.Redemption {
	now := t0.Add(time.Second)
	return ticket.Redemption{
		PoolID: tk.PoolID, Key: tk.Key, Challenge: tk.Challenge, Addr: netip.MustParseAddr("203.0.113.7"), Now: now,
		JTI: jti, TokenExpiresAt: now.Truncate(time.Second).Add(time.Hour), RevokeOnReplay: true,
	}
}

// populate fills a store with something of every kind.
func populate(t testing.TB, s store.Store, users int) (want state) {
	t.Helper()
	// In one order as pairs, in another one as texts.
	for _, id := range []string{"a", "a-b", "p"} {
		p := storetest.Pool(id)
		check(t, s.CreatePool(ctx, p, audit.Event{At: t0, Type: audit.PoolCreated, PoolID: id, By: audit.Actor{Role: audit.Operator}}))
		want.pools = append(want.pools, p)
		for i := range users {
			u := storetest.User(id, fmt.Sprintf("u%03d", i))
			if i%3 == 0 {
				u = userpool.User{PoolID: id, ID: u.ID, SignedUp: t0, UpdatedAt: t0}
			}
			if i%5 == 1 {
				u.Blocked, u.NotBefore = true, t0.Add(-time.Minute)
			}
			check(t, s.CreateUser(ctx, u))
			want.users = append(want.users, u)
		}
	}
	for i, alg := range []string{"ES256", "EdDSA"} {
		k := token.Key{ID: alg + "/kid", Alg: alg, Private: []byte{1, 2, byte(i)}, CreatedAt: t0.Add(time.Duration(i) * time.Second)}
		must[token.Key](t)(s.AddFirstSigningKey(ctx, k))
		want.keys = append(want.keys, k)
	}
	issue := func(n int, user string) ticket.Ticket {
		tk := ticket.Ticket{Key: storetest.Key(t0, n), PoolID: "p", UserID: user, AppID: "wx1", SourceApp: "wxapp", Challenge: "c", ExpiresAt: t0.Add(120 * time.Second)}
		check(t, s.CreateTicket(ctx, tk, t0))
		return tk
	}
	want.live = redemption(issue(1, "u002"), "j1")
	want.spent = redemption(issue(2, "u002"), "j2")
	want.repeat = redemption(issue(3, "u003"), "j3")
	want.repeat.Idempotency = sha256.Sum256([]byte("key"))
	want.replayed = redemption(issue(4, "u004"), "j4")
	must[ticket.Redeemed](t)(s.RedeemTicket(ctx, want.spent))
	want.answer = must[ticket.Redeemed](t)(s.RedeemTicket(ctx, want.repeat))
	must[ticket.Redeemed](t)(s.RedeemTicket(ctx, want.replayed))
	_, err := s.RedeemTicket(ctx, want.replayed)
	wantErr(t, "replay", err, ticket.ErrRedeemed)
	check(t, s.RecordEvents(ctx, []audit.Event{{At: t0, Type: audit.RedeemRefused, PoolID: "p", By: audit.Actor{Role: audit.Caller}, Detail: map[string]string{audit.Count: "3"}}}))
	for i, u := range want.users {
		want.users[i] = must[userpool.User](t)(s.User(ctx, u.PoolID, u.ID))
	}
	want.begun = userpool.Unfinished{
		Key: storetest.Key(t0, 9), PoolID: "p", Identity: userpool.Identity{AppID: "wx1", OpenID: "o-begun"}, MayRegister: true, ExpiresAt: t0.Add(userpool.UnfinishedLife),
	}
	check(t, s.CreateUnfinished(ctx, want.begun))
	must[userpool.Unfinished](t)(s.Unfinished(ctx, "p", want.begun.Key, later))
	want.password = storetest.Password(1)
	must[userpool.User](t)(s.SetPassword(ctx, "p", "u001", want.password, func(*userpool.User) (audit.Event, error) { return audit.Event{}, nil }))
	must[userpool.User](t)(s.UpdateTOTP(ctx, "p", "u001", func(_ *userpool.User, f *userpool.TOTP) (audit.Event, error) {
		*f = storetest.TOTP()
		return audit.Event{}, nil
	}))
	want.session = storetest.Session("s")
	check(t, s.CreateSession(ctx, want.session))
	want.pictures = []upload.Picture{{ID: "picture2", Type: "png", Data: []byte("bytes 2")}, {ID: "picture1", Type: "gif", Data: []byte("bytes 1")}}
	for i, p := range want.pictures {
		check(t, s.PutPicture(ctx, p, t0))
		check(t, s.HoldPicture(ctx, want.users[i].PoolID, want.users[i].ID, p.ID, t0))
	}
	check(t, s.PutPicture(ctx, upload.Picture{ID: "loose", Type: "webp", Data: []byte("held by nobody")}, t0))
	want.chain = must[audit.Chain](t)(s.VerifyEvents(ctx))
	return want
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	opts := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}), cmp.Transformer("Secret", func(s userpool.Secret) string { return string(s) }), cmp.Transformer("Phone", func(p userpool.Phone) string { return string(p) }), cmp.Transformer("Email", func(e userpool.Email) string { return string(e) })}
	if d := cmp.Diff(want, got, opts); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// verify holds a store to the state. All of its tickets are spent or unknown, and
// so are the sign-ins that had begun.
func verify(t testing.TB, s store.Store, want state) {
	t.Helper()
	same(t, "pools", must[[]userpool.Pool](t)(s.Pools(ctx, "", 100)), want.pools)
	for _, u := range want.users {
		same(t, "user "+u.PoolID+"/"+u.ID, must[userpool.User](t)(s.User(ctx, u.PoolID, u.ID)), u)
		if u.UnionID == "" {
			continue
		}
		m := must[userpool.Matches](t)(s.FindUsers(ctx, u.PoolID, userpool.Keys{UnionID: u.UnionID, Identity: u.Identities[1], Phone: u.Phone, Username: u.Username, Email: u.Email}))
		if m.ByUsername == nil || m.ByUsername.ID != u.ID || m.ByEmail == nil || m.ByEmail.ID != u.ID || m.ByUnionID == nil || m.ByUnionID.ID != u.ID || m.ByIdentity == nil || m.ByIdentity.ID != u.ID || len(m.ByPhone) != 2 {
			t.Errorf("user %s/%s is not found by all that is known: %+v", u.PoolID, u.ID, m)
		}
	}
	same(t, "signing keys", must[[]token.Key](t)(s.SigningKeys(ctx)), want.keys)
	same(t, "password", must[userpool.Password](t)(s.Password(ctx, "p", "u001")), want.password)
	same(t, "second factor", must[userpool.TOTP](t)(s.TOTP(ctx, "p", "u001")), storetest.TOTP())
	same(t, "session", must[token.Session](t)(s.Session(ctx, want.session.ID)), want.session)
	must[int](t)(s.SweepPictures(ctx, t0.Add(time.Hour), 10)) // what nobody holds
	for _, p := range want.pictures {
		same(t, "picture", must[upload.Picture](t)(s.Picture(ctx, p.ID)), p)
	}
	if !must[bool](t)(s.TokenRevoked(ctx, "j4", want.replayed.TokenExpiresAt)) {
		t.Error("the token of the replayed ticket is not revoked any more")
	}
	_, err := s.RedeemTicket(ctx, want.live)
	wantErr(t, "the ticket that was live", err, ticket.ErrUnknown)
	_, err = s.Unfinished(ctx, "p", want.begun.Key, later)
	wantErr(t, "the sign-in that could be finished", err, userpool.ErrStateInvalid)

	chain := must[audit.Chain](t)(s.VerifyEvents(ctx))
	if chain.Broken != "" || chain.Events != want.chain.Events+1 {
		t.Errorf("audit chain: %d events, broken at %q, want %d whole ones", chain.Events, chain.Broken, want.chain.Events+1)
	}
	// It is a store like any other.
	tk := ticket.Ticket{Key: storetest.Key(later, 9), PoolID: "p", UserID: "u002", ExpiresAt: later.Add(120 * time.Second)}
	check(t, s.CreateTicket(ctx, tk, later))
	r := redemption(tk, "j9")
	r.Now = later
	logins := must[userpool.User](t)(s.User(ctx, "p", "u002")).Logins.Count
	if done := must[ticket.Redeemed](t)(s.RedeemTicket(ctx, r)); done.User.Logins.Count != logins+1 {
		t.Errorf("the first login afterwards counts %d, want %d", done.User.Logins.Count, logins+1)
	}
	_, err = s.RedeemTicket(ctx, r)
	wantErr(t, "the new ticket again", err, ticket.ErrRedeemed)
}

// verifySpent holds a store to it that what was redeemed elsewhere is known as
// such.
func verifySpent(t testing.TB, s store.Store, want state) {
	t.Helper()
	// Tickets that come now void none of those from before.
	for n := range 2 * ticket.MaxLive {
		check(t, s.CreateTicket(ctx, ticket.Ticket{Key: storetest.Key(t0, 100+n), PoolID: "p", UserID: "u003", ExpiresAt: t0.Add(120 * time.Second)}, t0))
	}
	got := must[ticket.Redeemed](t)(s.RedeemTicket(ctx, want.repeat))
	want.answer.Repeated = true
	same(t, "answer to the repeat", got, want.answer)
	before, err := s.RedeemTicket(ctx, want.replayed)
	wantErr(t, "the replayed ticket again", err, ticket.ErrRedeemed)
	if before.Revoked || before.JTI != "j4" {
		t.Errorf("its token: %+v, want j4, revoked before", before)
	}
	before, err = s.RedeemTicket(ctx, want.spent)
	wantErr(t, "the redeemed ticket", err, ticket.ErrRedeemed)
	if !before.Revoked || before.JTI != "j2" || !must[bool](t)(s.TokenRevoked(ctx, "j2", want.spent.TokenExpiresAt)) {
		t.Errorf("its first replay revoked nothing: %+v", before)
	}
}

// verifyVoid holds a store to it that no ticket from before is known.
func verifyVoid(t testing.TB, s store.Store, want state) {
	t.Helper()
	for _, r := range []ticket.Redemption{want.live, want.spent, want.repeat, want.replayed} {
		_, err := s.RedeemTicket(ctx, r)
		wantErr(t, "ticket "+r.JTI, err, ticket.ErrUnknown)
	}
}

func eachWay(t *testing.T, run func(t *testing.T, from, to string)) {
	for from := range places {
		for to := range places {
			t.Run(from+" to "+to, func(t *testing.T) { run(t, places[from](t), places[to](t)) })
		}
	}
}
