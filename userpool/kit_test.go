package userpool_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/store"
	"app2wxapp/store/storetest/place"
	"app2wxapp/userpool"
	"app2wxapp/wechat"
	"app2wxapp/wechat/sandbox"
)

// The mini programs that the simulator knows. game and shop are bound to one
// Open Platform account, alone is bound to none.
const (
	game      = "wxgame0000000000"
	shop      = "wxshop0000000000"
	alone     = "wxalone000000000"
	platform  = "platform"
	appSecret = "planted-app-secret-0123456789abcdef"
)

var (
	ctx = context.Background()
	t0  = time.Date(2026, 11, 20, 8, 30, 0, 412e6, time.UTC)
)

func TestMain(m *testing.M) { os.Exit(place.Main(m)) }

// rig is a Service on either store, with a simulated WeChat and a clock to turn.
type rig struct {
	*userpool.Service
	t      *testing.T
	store  store.Store
	client *wechat.Client
	weixin *sandbox.Server
	log    *logs
	lies   place.Place // of the store

	mu          sync.Mutex
	time        time.Time
	reg         *prometheus.Registry // of the Service and store that run now
	timeout     time.Duration        // of a sign-in
	callTimeout time.Duration        // of one call
	wrap        func(userpool.WeChat) userpool.WeChat
	post        *post // what sends codes
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.time
}

func (r *rig) turn(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.time = r.time.Add(d)
}

func newRig(t *testing.T, options ...func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, log: &logs{}, lies: place.New(t), post: &post{}, time: t0, timeout: 10 * time.Second, callTimeout: 10 * time.Second}
	r.weixin = sandbox.New(sandbox.Config{Now: r.now})
	r.weixin.AddApp(sandbox.App{ID: game, Secret: appSecret, Platform: platform})
	r.weixin.AddApp(sandbox.App{ID: shop, Secret: appSecret, Platform: platform})
	r.weixin.AddApp(sandbox.App{ID: alone, Secret: appSecret})
	server := httptest.NewServer(r.weixin)
	for _, o := range options {
		o(r)
	}
	r.client = wechat.New(wechat.Config{BaseURL: server.URL, Timeout: r.callTimeout, Now: r.now})
	r.open()
	t.Cleanup(func() {
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
		if stray := r.weixin.Unknown(); len(stray) > 0 {
			t.Errorf("WeChat was asked for what it does not have: %v", stray)
		}
	})
	return r
}

func (r *rig) open() {
	r.t.Helper()
	log := slog.New(slog.NewJSONHandler(r.log, nil))
	r.reg = prometheus.NewRegistry()
	st, err := store.Open(store.Config{URL: r.lies.URL, Key: place.Key, Log: log, Reg: r.reg})
	if err != nil {
		r.t.Fatal(err)
	}
	r.store = st
	r.Service = r.over(st)
}

// over returns a Service on this store.
func (r *rig) over(st userpool.Store) *userpool.Service {
	var w userpool.WeChat = r.client
	if r.wrap != nil {
		w = r.wrap(w)
	}
	reg := prometheus.NewRegistry()
	if st == userpool.Store(r.store) {
		reg = r.reg
	}
	return userpool.New(userpool.Config{
		Store: st, WeChat: w, Now: r.now, Log: slog.New(slog.NewJSONHandler(r.log, nil)),
		WeChatTimeout: r.timeout, Metrics: userpool.NewMetrics(reg), Senders: r.post,
	})
}

// reopen is a restart of the program.
func (r *rig) reopen() {
	r.t.Helper()
	if err := r.store.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// settings returns settings that are valid.
func settings(appID string) userpool.Settings {
	return userpool.Settings{Name: "示例", AppID: appID, AppSecret: appSecret}
}

// pool creates a pool of the mini program.
func (r *rig) pool(appID string, change ...func(*userpool.Settings)) userpool.Pool {
	r.t.Helper()
	n := userpool.NewPool{Settings: settings(appID)}
	for _, c := range change {
		c(&n.Settings)
	}
	p, _, err := r.CreatePool(ctx, n)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// login returns what the user's phone sends from the pool's mini program; no
// phone number if phone is "".
func (r *rig) login(p userpool.Pool, user, phone string) userpool.Login {
	l := userpool.Login{Code: r.weixin.LoginCode(p.AppID, user)}
	if phone != "" {
		l.PhoneCode = r.weixin.PhoneCode(p.AppID, user, phone)
	}
	return l
}

// signIn signs a user in who must get in.
func (r *rig) signIn(p userpool.Pool, user, phone string) userpool.User {
	r.t.Helper()
	u, err := r.SignIn(ctx, p, r.login(p, user, phone))
	if err != nil {
		r.t.Fatalf("SignIn(%s, %q): %v", user, phone, err)
	}
	return u
}

// refused signs a user in who must not get in.
func (r *rig) refused(p userpool.Pool, user, phone string, want error) {
	r.t.Helper()
	u, err := r.SignIn(ctx, p, r.login(p, user, phone))
	if !errors.Is(err, want) {
		r.t.Errorf("SignIn(%s, %q): got user %q and %v, want %v", user, phone, u.ID, err, want)
	}
}

// stored returns the user as stored.
func (r *rig) stored(u userpool.User) userpool.User {
	r.t.Helper()
	got, err := r.User(ctx, u.PoolID, u.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// nobody fails the test if the keys find a user of the pool.
func (r *rig) nobody(p userpool.Pool, k userpool.Keys) {
	r.t.Helper()
	m, err := r.store.FindUsers(ctx, p.ID, k)
	if err != nil || m.ByUnionID != nil || m.ByIdentity != nil || len(m.ByPhone) > 0 {
		r.t.Errorf("FindUsers: got %+v, %v, want nobody", m, err)
	}
}

func identity(appID, user string) userpool.Identity {
	return userpool.Identity{AppID: appID, OpenID: sandbox.OpenID(appID, user)}
}

// series returns a counter's value, or a histogram's number of observations.
func (r *rig) series(name string) (n float64) {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			n += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return n
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

// take returns the lines since the last call.
func (l *logs) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

// noted fails the test unless exactly these things were logged since the last
// call, without any of the secrets.
func (r *rig) noted(secrets []string, want ...string) {
	r.t.Helper()
	text := r.log.take()
	if got := strings.Count(text, "\n"); got != len(want) {
		r.t.Errorf("logged %d lines, want %d: %s", got, len(want), text)
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			r.t.Errorf("not logged: %q in %s", w, text)
		}
	}
	for _, s := range secrets {
		if strings.Contains(text, s) {
			r.t.Errorf("the log holds %q: %s", s, text)
		}
	}
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
