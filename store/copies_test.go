//go:build linux

package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
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
	picture  upload.Picture
	replayed ticket.Redemption // redeemed and replayed: its token is revoked
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
	want.session = storetest.Session("s")
	check(t, s.CreateSession(ctx, want.session))
	// The first is held by two, the second by nobody.
	want.picture = upload.Picture{ID: "held", Type: "png", Data: []byte("a picture")}
	check(t, s.PutPicture(ctx, want.picture, t0))
	check(t, s.PutPicture(ctx, upload.Picture{ID: "loose", Type: "gif", Data: []byte("another")}, t0))
	for _, u := range want.users[:2] {
		check(t, s.HoldPicture(ctx, u.PoolID, u.ID, want.picture.ID, t0))
	}
	want.chain = must[audit.Chain](t)(s.VerifyEvents(ctx))
	return want
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	opts := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}), cmp.Transformer("Secret", func(s userpool.Secret) string { return string(s) }), cmp.Transformer("Phone", func(p userpool.Phone) string { return string(p) })}
	if d := cmp.Diff(want, got, opts); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// verify holds a store to the state. All of its tickets are spent or unknown.
func verify(t testing.TB, s store.Store, want state) {
	t.Helper()
	same(t, "pools", must[[]userpool.Pool](t)(s.Pools(ctx, "", 100)), want.pools)
	for _, u := range want.users {
		same(t, "user "+u.PoolID+"/"+u.ID, must[userpool.User](t)(s.User(ctx, u.PoolID, u.ID)), u)
		if u.UnionID == "" {
			continue
		}
		m := must[userpool.Matches](t)(s.FindUsers(ctx, u.PoolID, userpool.Keys{UnionID: u.UnionID, Identity: u.Identities[1], Phone: u.Phone}))
		if m.ByUnionID == nil || m.ByUnionID.ID != u.ID || m.ByIdentity == nil || m.ByIdentity.ID != u.ID || len(m.ByPhone) != 2 {
			t.Errorf("user %s/%s is not found by all that is known: %+v", u.PoolID, u.ID, m)
		}
	}
	same(t, "signing keys", must[[]token.Key](t)(s.SigningKeys(ctx)), want.keys)
	same(t, "session", must[token.Session](t)(s.Session(ctx, want.session.ID)), want.session)
	same(t, "picture", must[upload.Picture](t)(s.Picture(ctx, want.picture.ID)), want.picture)
	check(t, s.HoldPicture(ctx, want.users[0].PoolID, want.users[0].ID, "", t0))
	if n := must[int](t)(s.SweepPictures(ctx, t0.Add(time.Hour), 10)); n != 0 {
		t.Error("a picture was swept that one of its two holders holds")
	}
	check(t, s.HoldPicture(ctx, want.users[0].PoolID, want.users[0].ID, want.picture.ID, t0)) // for who looks again
	if !must[bool](t)(s.TokenRevoked(ctx, "j4", want.replayed.TokenExpiresAt)) {
		t.Error("the token of the replayed ticket is not revoked any more")
	}
	_, err := s.RedeemTicket(ctx, want.live)
	wantErr(t, "the ticket that was live", err, ticket.ErrUnknown)

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

func eachWay(t *testing.T, run func(t *testing.T, from, to string)) {
	for from := range places {
		for to := range places {
			t.Run(from+" to "+to, func(t *testing.T) { run(t, places[from](t), places[to](t)) })
		}
	}
}

func TestMigrate(t *testing.T) {
	eachWay(t, func(t *testing.T, from, to string) {
		a, b := config(from, 1), config(to, 2)
		s := open(t, a)
		want := populate(t, s, 12)
		check(t, s.Close())
		before := content(t, a)

		sums := must[map[move.Kind]move.Sum](t)(store.Migrate(ctx, a, b, silently))
		for kind, n := range map[move.Kind]int{move.Pools: 3, move.Users: 36, move.Tickets: 3, move.Revoked: 1, move.Sessions: 2, move.Pictures: 1, move.Holders: 2, move.SigningKeys: 2, move.Events: 5, move.EventsEnd: 1} {
			if sums[kind].Count != n {
				t.Errorf("moved %d %s, want %d", sums[kind].Count, kind, n)
			}
		}
		if content(t, a) != before {
			t.Error("the source was changed")
		}
		s = open(t, b)
		verify(t, s, want)
		verifySpent(t, s, want)
		events, _, err := s.Events(ctx, audit.Query{Type: audit.StoreMigrated, Limit: 10})
		if err != nil || len(events) != 1 || strings.Contains(fmt.Sprint(events[0].Detail), "postgres@") || !strings.Contains(fmt.Sprint(events[0].Detail), "://") && !strings.Contains(fmt.Sprint(events[0].Detail), "bolt:") {
			t.Errorf("event: %+v, %v", events, err)
		}
		check(t, s.Close())

		// Nothing is ever written over a store.
		if _, err := store.Migrate(ctx, a, b, silently); err == nil || !strings.Contains(err.Error(), "nothing is ever written over it") {
			t.Errorf("migrated again: %v, want a refusal", err)
		}
		check(t, must[store.Store](t)(store.Open(config(to, 2))).Close())
	})
}

// content is what a source has: a file's bytes; a database's records.
func content(t testing.TB, c store.Config) string {
	t.Helper()
	if path, err := store.Path(c.URL); err == nil {
		b, err := os.ReadFile(path)
		check(t, err)
		return fmt.Sprintf("%x", sha256.Sum256(b))
	}
	return dump(t, c.URL)
}

// interrupted is a destination that fails when it has done so many steps.
type interrupted struct {
	move.Destination
	left *int
}

var errInterrupted = errors.New("planted interruption")

func (d interrupted) step(do func() error) error {
	*d.left--
	switch {
	case *d.left < 0:
		return errors.New("a step after the interruption")
	case *d.left > 0:
		return do()
	}
	return errors.Join(do(), errInterrupted)
}

func (d interrupted) Begin(ctx context.Context, origin string) (at move.Place, err error) {
	return at, d.step(func() error { at, err = d.Destination.Begin(ctx, origin); return err })
}

func (d interrupted) Write(ctx context.Context, k move.Kind, r []move.Record, at move.Place) error {
	return d.step(func() error { return d.Destination.Write(ctx, k, r, at) })
}

func (d interrupted) Index(ctx context.Context) error {
	return d.step(func() error { return d.Destination.Index(ctx) })
}

func (d interrupted) Finish(ctx context.Context, e audit.Event) error {
	return d.step(func() error { return d.Destination.Finish(ctx, e) })
}

// small reads small pages.
type small struct{ move.Source }

func (s small) Read(ctx context.Context, k move.Kind, after string, limit int) ([]move.Record, error) {
	limit = min(limit, 2)
	if k == move.Users {
		limit = 6
	}
	return s.Source.Read(ctx, k, after, limit)
}

// Wherever a move is interrupted, the next call goes on; until the end nothing
// can be opened; and nothing is there twice.
func TestMigrateInterrupted(t *testing.T) {
	for _, way := range [][2]string{{"bolt", "postgres"}, {"postgres", "bolt"}} {
		t.Run(way[0]+" to "+way[1], func(t *testing.T) {
			a := config(places[way[0]](t), 1)
			s := open(t, a)
			want := populate(t, s, 5)
			check(t, s.Close())
			for n := 1; ; n++ {
				b := config(places[way[1]](t), 2)
				left := n
				err := runOnce(a, b, func(d move.Destination) move.Destination { return interrupted{d, &left} })
				if err == nil {
					if n < 16 {
						t.Errorf("only %d steps", n-1)
					}
					return
				}
				wantErr(t, fmt.Sprint("step ", n), err, errInterrupted)
				if !finished(t, b) {
					if store.Remote(b.URL) {
						if _, err := store.Open(b); err == nil || !strings.Contains(err.Error(), "not complete") {
							t.Fatalf("step %d: opened half made: %v", n, err)
						}
					}
					check(t, runOnce(a, b, func(d move.Destination) move.Destination { return d }))
				}
				s := open(t, b)
				verify(t, s, want)
				verifySpent(t, s, want)
				check(t, s.Close())
				if t.Failed() {
					t.Fatalf("after an interruption at step %d", n)
				}
			}
		})
	}
}

// finished tells whether there is a store that opens.
func finished(t testing.TB, c store.Config) bool {
	t.Helper()
	if path, err := store.Path(c.URL); err == nil {
		_, err := os.Stat(path)
		return err == nil
	}
	c.Reg = prometheus.NewRegistry()
	s, err := store.Open(c)
	if err != nil {
		return false
	}
	check(t, s.Close())
	return true
}

// runOnce is Migrate in small steps.
func runOnce(a, b store.Config, wrap func(move.Destination) move.Destination) error {
	from, err := store.OpenSource(ctx, a)
	if err != nil {
		return err
	}
	to, err := store.OpenDestination(ctx, b)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	_, err = move.Run(ctx, small{from}, wrap(to), func() audit.Event {
		return audit.Event{At: later, Type: audit.StoreMigrated, By: audit.Actor{Role: audit.Program}}
	}, silently)
	return errors.Join(err, to.Close(), from.Close())
}

// altering is a destination that stores something else of one kind.
type altering struct {
	move.Destination
	kind  move.Kind
	alter func([]move.Record) []move.Record
}

func (d altering) Write(ctx context.Context, k move.Kind, r []move.Record, at move.Place) error {
	if k == d.kind {
		r = d.alter(r)
	}
	return d.Destination.Write(ctx, k, r, at)
}

// The verification at the end notices a record that is missing, and one that
// differs in a bit, of each kind; then there is no store.
func TestMigrateVerifies(t *testing.T) {
	a := config(places["bolt"](t), 1)
	s := open(t, a)
	populate(t, s, 5)
	check(t, s.Close())
	missing := func(r []move.Record) []move.Record { return r[1:] }
	altered := func(r []move.Record) []move.Record {
		value := []byte(r[0].Value)
		if i := bytes.Index(value, []byte("wx1")); i >= 0 {
			value[i] = 'W' // an AppID, in users and tickets
		} else if i := bytes.LastIndexAny(value, "123456789"); i >= 0 {
			value[i]--
		}
		return append([]move.Record{{Key: r[0].Key, Value: string(value)}}, r[1:]...)
	}
	for to := range places {
		for _, k := range move.Kinds() {
			for name, alter := range map[string]func([]move.Record) []move.Record{"missing": missing, "altered": altered} {
				if k == move.Revoked && name == "altered" {
					continue // it has no value
				}
				b := config(places[to](t), 2)
				err := runOnce(a, b, func(d move.Destination) move.Destination { return altering{d, k, alter} })
				wantErr(t, fmt.Sprintf("%s: one of %s %s", to, k, name), err, move.ErrDiffers)
				if finished(t, b) {
					t.Errorf("%s: one of %s %s: there is a store", to, k, name)
				}
			}
		}
	}
}

// A source that went on after an interruption is not what was moved.
func TestMigrateSourceChanged(t *testing.T) {
	a, b := config(places["bolt"](t), 1), config(places["bolt"](t), 2)
	s := open(t, a)
	populate(t, s, 5)
	check(t, s.Close())
	left := 8
	wantErr(t, "interrupted", runOnce(a, b, func(d move.Destination) move.Destination { return interrupted{d, &left} }), errInterrupted)
	s = open(t, a)
	must[userpool.User](t)(s.UpdateUser(ctx, "a", "u000", func(u *userpool.User) (audit.Event, error) { u.Blocked = true; return audit.Event{}, nil }))
	check(t, s.Close())
	err := runOnce(a, b, func(d move.Destination) move.Destination { return d })
	wantErr(t, "source changed", err, move.ErrDiffers)
}

// Refused in words, and nothing is made.
func TestMigrateRefuses(t *testing.T) {
	eachWay(t, func(t *testing.T, from, to string) {
		a, b := config(from, 1), config(to, 2)
		s := open(t, a)
		populate(t, s, 5)
		refused := func(what string, from, to store.Config, want string) {
			t.Helper()
			if _, err := store.Migrate(ctx, from, to, silently); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want a refusal with %q", what, err, want)
			}
		}
		refused("a server has the source open", a, b, "stop")
		check(t, s.Close())
		refused("wrong key of the source", config(from, 3), b, "the encryption key is not this store's")

		// Half of another store is there.
		other := config(places["bolt"](t), 1)
		s = open(t, other)
		populate(t, s, 5)
		check(t, s.Close())
		left := 3
		wantErr(t, "interrupted", runOnce(other, b, func(d move.Destination) move.Destination { return interrupted{d, &left} }), errInterrupted)
		refused("a part of another store", a, b, "a part of another store")
		refused("wrong key of the destination", other, config(to, 3), "the encryption key is not this store's")
		must[map[move.Kind]move.Sum](t)(store.Migrate(ctx, other, b, silently))
		refused("a store", a, b, "nothing is ever written over it")

		s = open(t, b)
		if store.Remote(to) {
			refused("a server has the destination open", a, b, "stop")
		}
		check(t, s.Close())
	})
}

// take makes a backup of an open store.
func take(t testing.TB, s store.Store, key byte) string {
	t.Helper()
	f := must[*os.File](t)(store.Backup(ctx, s, [32]byte{key}, t0.Add(5*time.Second)))
	defer f.Close()
	path := filepath.Join(t.TempDir(), "backup")
	b, err := io.ReadAll(f)
	check(t, err)
	check(t, os.WriteFile(path, b, 0o600))
	return path
}

func TestBackupRestore(t *testing.T) {
	eachWay(t, func(t *testing.T, from, to string) {
		a, b := config(from, 1), config(to, 1)
		s := open(t, a)
		want := populate(t, s, 12)
		backup := take(t, s, 1)
		// What comes after is not in it.
		must[ticket.Redeemed](t)(s.RedeemTicket(ctx, want.live))
		must[userpool.User](t)(s.UpdateUser(ctx, "p", "u000", func(u *userpool.User) (audit.Event, error) { u.Blocked = true; return audit.Event{}, nil }))
		check(t, s.Close())

		if _, err := store.Open(config("bolt:"+backup, 1)); err == nil || !strings.Contains(err.Error(), "app2wxapp restore") {
			t.Errorf("a backup opened as a store: %v, want a refusal", err)
		}
		must[map[move.Kind]move.Sum](t)(store.Restore(ctx, backup, b, silently))
		s = open(t, b)
		verify(t, s, want)
		for _, r := range []ticket.Redemption{want.live, want.spent, want.repeat, want.replayed} {
			if _, err := s.RedeemTicket(ctx, r); !errors.Is(err, ticket.ErrInvalid) && !errors.Is(err, nil) || err == nil && r.Key != want.repeat.Key {
				t.Errorf("ticket %s: %v, want a refusal", r.JTI, err)
			}
		}
		events, _, err := s.Events(ctx, audit.Query{Type: audit.StoreRestored, Limit: 10})
		if err != nil || len(events) != 1 || events[0].Detail[audit.BackedUp] != "2026-11-20T08:30:05.412Z" || !events[0].At.Equal(later) {
			t.Errorf("event: %+v, %v", events, err)
		}
		check(t, s.Close())
		if _, err := store.Restore(ctx, backup, b, silently); err == nil || !strings.Contains(err.Error(), "nothing is ever written over it") {
			t.Errorf("restored again: %v, want a refusal", err)
		}
	})
}

// Refused in words, and nothing is made.
func TestRestoreRefuses(t *testing.T) {
	a := config(places["bolt"](t), 1)
	s := open(t, a)
	populate(t, s, 12)
	backup := take(t, s, 1)
	check(t, s.Close())
	whole, err := os.ReadFile(backup)
	check(t, err)
	spoiled := func(change func([]byte) []byte) string {
		path := filepath.Join(t.TempDir(), "spoiled")
		check(t, os.WriteFile(path, change(bytes.Clone(whole)), 0o600))
		return path
	}
	open := filepath.Join(t.TempDir(), "open")
	check(t, os.WriteFile(open, whole, 0o644))
	check(t, os.Chmod(open, 0o644))
	for name, row := range map[string]struct {
		file, want string
		key        byte
	}{
		"none":           {filepath.Join(t.TempDir(), "none"), "no such file", 1},
		"wrong key":      {backup, "the encryption key is not this store's", 2},
		"cut off":        {spoiled(func(b []byte) []byte { return b[:len(b)-4096] }), "cut off", 1},
		"empty":          {spoiled(func([]byte) []byte { return nil }), "no store of app2wxapp", 1},
		"not one":        {spoiled(func([]byte) []byte { return []byte("no bbolt file, but long enough to be read") }), "no store of app2wxapp", 1},
		"others read it": {open, "chmod 600", 1},
		// Sealed records are dense in the upper half of the file.
		"damaged": {spoiled(damageRecord(t)), "damaged", 1},
	} {
		b := config(places["bolt"](t), row.key)
		if _, err := store.Restore(ctx, row.file, b, silently); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want a refusal with %q", name, err, row.want)
		}
		path, _ := store.Path(b.URL)
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

// damageRecord flips a bit of the longest record of a pool, which nothing but
// its seal protects.
func damageRecord(t testing.TB) func([]byte) []byte {
	return func(b []byte) []byte {
		i := bytes.Index(b, []byte("a-b\x01\x00\x01")) // key, then the seal's format and key id
		if i < 0 {
			t.Fatal("the pool's record is not where it was")
		}
		b[i+100] ^= 1
		return b
	}
}

// A backup made while users log in is of one moment: each user's logins are the
// tickets that were redeemed, and whatever was live or redeemed cannot be
// redeemed in what is restored from it.
func TestBackupUnderLoad(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			a, b := config(place(t), 1), config(places["bolt"](t), 1)
			s := open(t, a)
			check(t, s.CreatePool(ctx, storetest.Pool("p"), audit.Event{}))
			const users, rounds = 8, 40
			stop := make(chan struct{})
			type client struct {
				all  []ticket.Redemption
				done int
			}
			clients := make([]client, users)
			started, ended := make(chan struct{}, users*rounds), make(chan error, users)
			for i := range clients {
				id := fmt.Sprint("u", i)
				check(t, s.CreateUser(ctx, userpool.User{PoolID: "p", ID: id, SignedUp: t0, UpdatedAt: t0}))
				go func() {
					c := &clients[i]
					for n := range rounds {
						select {
						case <-stop:
							ended <- nil
							return
						default:
						}
						tk := ticket.Ticket{Key: storetest.Key(t0, 1000*i+n), PoolID: "p", UserID: id, ExpiresAt: t0.Add(120 * time.Second)}
						if err := s.CreateTicket(ctx, tk, t0); err != nil {
							ended <- err
							return
						}
						r := redemption(tk, fmt.Sprint(id, "-", n))
						c.all = append(c.all, r)
						if n%2 == 0 {
							if _, err := s.RedeemTicket(ctx, r); err != nil {
								ended <- err
								return
							}
							c.done++
						}
						started <- struct{}{}
					}
					ended <- nil
				}()
			}
			for range users * 3 {
				<-started
			}
			backup := take(t, s, 1)
			close(stop)
			for range users {
				check(t, <-ended)
			}
			check(t, s.Close())
			must[map[move.Kind]move.Sum](t)(store.Restore(ctx, backup, b, silently))
			s = open(t, b)
			total := 0
			for i := range clients {
				n := int(must[userpool.User](t)(s.User(ctx, "p", fmt.Sprint("u", i))).Logins.Count)
				if total += n; n > clients[i].done {
					t.Errorf("user %d: %d logins in the backup, %d ever", i, n, clients[i].done)
				}
				for _, r := range clients[i].all {
					if _, err := s.RedeemTicket(ctx, r); !errors.Is(err, ticket.ErrInvalid) {
						t.Errorf("ticket %s: %v, want a refusal", r.JTI, err)
					}
				}
			}
			if total < users {
				t.Errorf("%d logins in the backup, want %d or more: it is older than its beginning", total, users)
			}
			check(t, s.Close())
		})
	}
}
