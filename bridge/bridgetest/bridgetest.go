// Package bridgetest runs a whole bridge for tests: real HTTP on loopback, a
// store of its own, a simulated WeChat, and a clock to turn. What kind of store
// that is says the environment (place.Env), so that the same tests run on each.
package bridgetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/bridge"
	"app2wxapp/sender"
	"app2wxapp/store"
	"app2wxapp/store/move"
	"app2wxapp/store/storetest/place"
	"app2wxapp/userpool"
	"app2wxapp/wechat"
	"app2wxapp/wechat/sandbox"
)

// What every Bridge has.
const (
	AppID      = "wx0123456789abcdef"
	AppSecret  = "planted-app-secret-0123456789abcdef"
	Platform   = "platform"
	AdminToken = "planted-admin-token-0123456789abcdef"
)

// T0 is where the clock begins.
var T0 = time.Date(2026, 11, 20, 8, 30, 0, 412e6, time.UTC)

// Bridge is a running bridge.
type Bridge struct {
	URL, AdminURL string
	WeChat        *sandbox.Server
	Store         store.Store
	Clock         *Clock
	Outbox        *Outbox // of one-time codes
	Log           *Log
	Server        *bridge.Server

	t             testing.TB
	lies          place.Place // of the store
	weixin        string
	options       []Option
	public, admin *handler
}

// handler is the one that answers now.
type handler struct{ atomic.Pointer[http.Handler] }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*h.Load()).ServeHTTP(w, r) }

// Option changes how a Bridge is made.
type Option func(*bridge.Config)

// TrustProxies lets callers on loopback say who they are in X-Forwarded-For.
func TrustProxies(c *bridge.Config) {
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

// WithStore puts something before the store, to make it fail.
func WithStore(wrap func(bridge.Store) bridge.Store) Option {
	return func(c *bridge.Config) { c.Store = wrap(c.Store) }
}

// Main runs a package's tests, tidies up after them and returns what to exit
// with: func TestMain(m *testing.M) { os.Exit(bridgetest.Main(m)) }.
func Main(m *testing.M) int { return place.Main(m) }

// New starts a bridge that ends with the test.
func New(t testing.TB, options ...Option) *Bridge {
	t.Helper()
	b := newBridge(t, place.New(t), options)
	b.serve()
	return b
}

// NewReplicas starts n bridges that have one store, one WeChat and one clock. The
// store is in PostgreSQL, whatever the environment says.
func NewReplicas(t testing.TB, n int, options ...Option) []*Bridge {
	t.Helper()
	first := newBridge(t, place.NewDatabase(t), options)
	first.serve()
	all := []*Bridge{first}
	for range n - 1 {
		b := *first
		b.Log, b.public, b.admin = &Log{}, &handler{}, &handler{}
		b.serve()
		all = append(all, &b)
	}
	return all
}

// newBridge returns a bridge that does not run yet, and its WeChat, which does.
func newBridge(t testing.TB, lies place.Place, options []Option) *Bridge {
	b := &Bridge{Clock: &Clock{now: T0}, Outbox: newOutbox(t), Log: &Log{}, t: t, lies: lies, options: options, public: &handler{}, admin: &handler{}}
	b.WeChat = sandbox.New(sandbox.Config{Now: b.Clock.Now})
	b.WeChat.AddApp(sandbox.App{ID: AppID, Secret: AppSecret, Platform: Platform})
	weixin := httptest.NewServer(b.WeChat)
	t.Cleanup(weixin.Close)
	b.weixin = weixin.URL
	return b
}

// serve opens the store and answers until the test ends.
func (b *Bridge) serve() {
	b.t.Helper()
	public, admin := httptest.NewUnstartedServer(b.public), httptest.NewUnstartedServer(b.admin)
	b.URL, b.AdminURL = "http://"+public.Listener.Addr().String(), "http://"+admin.Listener.Addr().String()
	b.start()
	public.Start()
	admin.Start()
	b.t.Cleanup(func() {
		public.Close()
		admin.Close()
		if err := b.Store.Close(); err != nil {
			b.t.Error(err)
		}
	})
}

// start opens the store and puts a server in place that knows nothing but what
// is in it.
func (b *Bridge) start() {
	b.t.Helper()
	log := slog.New(slog.NewJSONHandler(b.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	reg := prometheus.NewRegistry()
	st, err := store.Open(store.Config{URL: b.lies.URL, Key: place.Key, Log: log, Reg: reg})
	if err != nil {
		b.t.Fatal(err)
	}
	c := bridge.Config{
		Store:         st,
		WeChat:        wechat.New(wechat.Config{BaseURL: b.weixin, Timeout: 5 * time.Second, Now: b.Clock.Now, Observe: wechat.Metrics(reg)}),
		Senders:       sender.New(sender.Config{Now: b.Clock.Now, Observe: sender.Metrics(reg)}),
		WeChatTimeout: 5 * time.Second, Now: b.Clock.Now, Log: log, Reg: reg, PublicURL: b.URL, AdminToken: AdminToken, Version: "test",
		Backup: func(ctx context.Context) (*os.File, error) { return store.Backup(ctx, st, place.Key, b.Clock.Now()) },
	}
	for _, o := range b.options {
		o(&c)
	}
	b.Store, b.Server = st, bridge.New(c)
	public, admin := b.Server.Public(), b.Server.Admin()
	b.public.Store(&public)
	b.admin.Store(&admin)
}

// Stored returns all that the store keeps, as it keeps it: the bytes of its file
// or the values in its tables.
func (b *Bridge) Stored() string {
	b.t.Helper()
	return string(b.lies.Content(b.t))
}

// Restart is a restart of the program: all that is not in the store is
// forgotten. No request may be under way, and what In returned before is the
// old program.
func (b *Bridge) Restart() {
	b.t.Helper()
	if err := b.Store.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.start()
}

// Restore makes the store anew from a backup, and restarts.
func (b *Bridge) Restore(backup string) {
	b.t.Helper()
	if err := b.Store.Close(); err != nil {
		b.t.Fatal(err)
	}
	file := filepath.Join(b.t.TempDir(), "backup")
	if err := os.WriteFile(file, []byte(backup), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.lies = place.New(b.t)
	_, err := store.Restore(context.Background(), file, store.Config{URL: b.lies.URL, Key: place.Key, Now: b.Clock.Now}, func(move.Progress) {})
	if err != nil {
		b.t.Fatal(err)
	}
	b.start()
}

// In returns the same bridge, of which mistakes are reported to a subtest.
func (b *Bridge) In(t testing.TB) *Bridge {
	in := *b
	in.t = t
	return &in
}

// Pool is a pool of a Bridge and a secret of it.
type Pool struct{ ID, Secret string }

// NewPool creates a pool; settings are JSON members to add, such as
// `"ticketTTL": 10`.
func (b *Bridge) NewPool(settings ...string) Pool {
	b.t.Helper()
	members := append([]string{`"name":"Demo"`, `"appId":"` + AppID + `"`, `"appSecret":"` + AppSecret + `"`}, settings...)
	var out struct {
		Pool   struct{ ID string }
		Secret string
	}
	r := b.Admin("POST", "/admin/v1/pools", "{"+strings.Join(members, ",")+"}")
	r.Want(201).Decode(&out)
	return Pool{out.Pool.ID, out.Secret}
}

// Ticket signs a user in, who has no phone, and returns the ticket. members are
// JSON members to add to the request.
func (b *Bridge) Ticket(p Pool, user string, members ...string) string {
	b.t.Helper()
	var out struct{ Ticket string }
	b.Issue(p, user, members...).Want(200).Decode(&out)
	return out.Ticket
}

// Issue asks for a ticket.
func (b *Bridge) Issue(p Pool, user string, members ...string) Response {
	b.t.Helper()
	members = append([]string{fmt.Sprintf(`"code":%q`, b.WeChat.LoginCode(AppID, user))}, members...)
	return b.Post("/oauth/app2wxapp/ticket/"+p.ID, "{"+strings.Join(members, ",")+"}")
}

// PhoneCode returns a member for Issue: the user lets the phone be known.
func (b *Bridge) PhoneCode(user, phone string) string {
	return fmt.Sprintf(`"phoneCode":%q`, b.WeChat.PhoneCode(AppID, user, phone))
}

// Redeem redeems a ticket with the pool's secret; members are JSON members to
// add.
func (b *Bridge) Redeem(p Pool, ticket string, members ...string) Response {
	b.t.Helper()
	members = append([]string{fmt.Sprintf(`"ticket":%q,"secret":%q`, ticket, p.Secret)}, members...)
	return b.Post("/oauth/app2wxapp/auth/"+p.ID, "{"+strings.Join(members, ",")+"}")
}

// Post posts JSON to the public listener; headers are given as "Name: value".
func (b *Bridge) Post(path, body string, headers ...string) Response {
	b.t.Helper()
	return b.Do("POST", b.URL+path, body, append([]string{"Content-Type: application/json"}, headers...)...)
}

// Admin calls the admin listener with the admin token.
func (b *Bridge) Admin(method, path, body string) Response {
	b.t.Helper()
	return b.Do(method, b.AdminURL+path, body, "Content-Type: application/json", "Authorization: Bearer "+AdminToken)
}

// Do makes a request.
func (b *Bridge) Do(method, url, body string, headers ...string) Response {
	b.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return Response{Status: res.StatusCode, Header: res.Header, Body: string(text), Last: res.Close, t: b.t}
}

// Response is an answer, read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   string
	Last   bool // on its connection, as the server says

	t testing.TB
}

// Want fails the test unless the status is the wanted one.
func (r Response) Want(status int) Response {
	r.t.Helper()
	if r.Status != status {
		r.t.Fatalf("got %d %s, want %d", r.Status, r.Body, status)
	}
	return r
}

// WantError fails the test unless the answer is this error of the contract.
func (r Response) WantError(status, code int, slug string) Response {
	r.t.Helper()
	var got struct {
		Code                      int
		Error, Message, RequestID string
	}
	if err := json.Unmarshal([]byte(r.Body), &got); err != nil {
		r.t.Errorf("got %d %q, want the error %s as JSON", r.Status, r.Body, slug)
		return r
	}
	if r.Status != status || got.Code != code || got.Error != slug {
		r.t.Errorf("got %d %s, want %d %d %s", r.Status, r.Body, status, code, slug)
	}
	if got.Message == "" || got.RequestID == "" || got.RequestID != r.Header.Get("X-Request-Id") {
		r.t.Errorf("error %s: message %q, requestId %q, X-Request-Id %q", slug, got.Message, got.RequestID, r.Header.Get("X-Request-Id"))
	}
	return r
}

// Decode reads the JSON into v.
func (r Response) Decode(v any) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.Body), v); err != nil {
		r.t.Fatalf("decode %q: %v", r.Body, err)
	}
}

// Clock is a clock that stands until it is turned.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Turn moves the clock.
func (c *Clock) Turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Log is what the bridge logged.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var _ userpool.WeChat = (*wechat.Client)(nil)
