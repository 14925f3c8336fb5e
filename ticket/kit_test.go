package ticket_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/store/move"
	"app2wxapp/store/storetest/place"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
	"app2wxapp/wechat"
	"app2wxapp/wechat/sandbox"
)

const (
	appID     = "wx0123456789abcdef"
	appSecret = "planted-app-secret-0123456789abcdef"
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
)

var (
	ctx   = context.Background()
	t0    = time.Date(2026, 11, 20, 8, 30, 0, 412e6, time.UTC)
	addr  = netip.MustParseAddr("203.0.113.7")
	other = netip.MustParseAddr("198.51.100.9")
)

func TestMain(m *testing.M) { os.Exit(place.Main(m)) }

// rig is tickets and pools on either store, with a simulated WeChat and a clock
// to turn.
type rig struct {
	t       testing.TB
	tickets *ticket.Service
	pools   *userpool.Service
	store   store.Store
	weixin  *sandbox.Server
	client  *wechat.Client
	reg     *prometheus.Registry
	log     *logs
	lies    place.Place  // of the store
	audit   *audit.Tally // of the service that runs now
	time    time.Time
	wrap    func(ticket.Store) ticket.Store // nil for none
}

func newRig(t testing.TB) *rig {
	t.Helper()
	return newRigIn(t, place.New(t))
}

func newRigIn(t testing.TB, lies place.Place) *rig {
	t.Helper()
	r := &rig{t: t, log: &logs{}, lies: lies, time: t0}
	r.weixin = sandbox.New(sandbox.Config{Now: r.now})
	r.weixin.AddApp(sandbox.App{ID: appID, Secret: appSecret, Platform: "platform"})
	server := httptest.NewServer(r.weixin)
	r.client = wechat.New(wechat.Config{BaseURL: server.URL, Now: r.now})
	r.open()
	t.Cleanup(func() {
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return r
}

func (r *rig) now() time.Time       { return r.time }
func (r *rig) turn(d time.Duration) { r.time = r.time.Add(d) }

func (r *rig) open() {
	r.t.Helper()
	log := slog.New(slog.NewJSONHandler(r.log, nil))
	r.reg = prometheus.NewRegistry()
	c := store.Config{URL: r.lies.URL, Key: place.Key, Log: log, Reg: r.reg, Now: r.now}
	if store.Remote(c.URL) {
		c.Now = nil // the tests' clock is not the server's
	}
	var err error
	if r.store, err = store.Open(c); err != nil {
		r.t.Fatal(err)
	}
	r.pools = userpool.New(userpool.Config{
		Store: r.store, WeChat: r.client, Now: r.now, Log: log, WeChatTimeout: 10 * time.Second, Metrics: userpool.NewMetrics(r.reg),
	})
	r.audit = audit.NewTally()
	tickets := ticket.Store(r.store)
	if r.wrap != nil {
		tickets = r.wrap(tickets)
	}
	r.tickets = ticket.NewService(ticket.Config{Store: tickets, Pools: r.pools, Now: r.now, Log: log, Metrics: ticket.NewMetrics(r.reg), Audit: r.audit})
}

// reopen is a restart of the program.
func (r *rig) reopen() {
	r.t.Helper()
	if err := r.store.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// backup copies the store into a file, as the program does.
func (r *rig) backup() string {
	r.t.Helper()
	f, err := store.Backup(ctx, r.store, place.Key, r.now())
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	path := filepath.Join(r.t.TempDir(), "backup")
	b, err := io.ReadAll(f)
	if err := errors.Join(err, os.WriteFile(path, b, 0o600)); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// restore is a restart on a store that is made of a backup.
func (r *rig) restore(backup string) {
	r.t.Helper()
	if err := r.store.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.lies = place.New(r.t)
	_, err := store.Restore(ctx, backup, store.Config{URL: r.lies.URL, Key: place.Key, Now: r.now}, func(move.Progress) {})
	if err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// pool creates a pool and returns it with its secret.
func (r *rig) pool(change ...func(*userpool.Settings)) (userpool.Pool, string) {
	r.t.Helper()
	n := userpool.NewPool{Settings: userpool.Settings{Name: "示例", AppID: appID, AppSecret: appSecret}}
	for _, c := range change {
		c(&n.Settings)
	}
	p, secret, err := r.pools.CreatePool(ctx, n)
	if err != nil {
		r.t.Fatal(err)
	}
	return p, string(secret)
}

func optional(s *userpool.Settings) { s.SecretOptional = true }

// request asks for a ticket for the user.
func (r *rig) request(user string) ticket.Request {
	return ticket.Request{Login: userpool.Login{Code: r.weixin.LoginCode(appID, user)}}
}

// bound is request with a challenge.
func (r *rig) bound(user string) ticket.Request {
	q := r.request(user)
	q.Challenge, q.ChallengeMethod = challenge(verifier), "S256"
	return q
}

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (r *rig) issue(p userpool.Pool, q ticket.Request) ticket.Issued {
	r.t.Helper()
	i, err := r.tickets.Issue(ctx, p, q)
	if err != nil {
		r.t.Fatalf("Issue: %v", err)
	}
	return i
}

// redeem redeems what must succeed.
func (r *rig) redeem(p userpool.Pool, a ticket.Attempt) ticket.Redeemed {
	r.t.Helper()
	done, err := r.tickets.Redeem(ctx, p, a)
	if err != nil {
		r.t.Fatalf("Redeem: got %v, want success", err)
	}
	return done
}

// refused redeems what must be refused.
func (r *rig) refused(name string, p userpool.Pool, a ticket.Attempt, want error) {
	r.t.Helper()
	if _, err := r.tickets.Redeem(ctx, p, a); !errors.Is(err, want) {
		r.t.Errorf("%s: got %v, want %v", name, err, want)
	}
}

// series returns the value of one series of a metric, by its labels' values; of
// a histogram the number of observations.
func (r *rig) series(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			have := []string{}
			for _, l := range m.GetLabel() {
				have = append(have, l.GetValue())
			}
			if f.GetName() == name && strings.Join(have, " ") == strings.Join(labels, " ") {
				return m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}

// logs is what was logged.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
