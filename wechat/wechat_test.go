package wechat_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"app2wxapp/userpool"
	"app2wxapp/wechat"
	"app2wxapp/wechat/sandbox"
)

// The mini program of the tests. Its secret is planted to be looked for where
// it must not be.
var app = userpool.App{ID: "wx0123456789abcdef", Secret: "planted-secret-5f1c&x=1"}

const platform = "our-account"

// clock is a clock that a test turns.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a sandbox behind a real server, and a client of it.
type world struct {
	*clock
	sandbox *sandbox.Server
	client  *wechat.Client
	url     string

	seen    sync.Mutex
	results []string // "api result", as observed
}

// newWorld makes a world whose calls end after timeout. Around, if not nil,
// goes around the sandbox.
func newWorld(t *testing.T, timeout time.Duration, around func(http.Handler) http.Handler) *world {
	t.Helper()
	w := &world{clock: &clock{now: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)}}
	w.sandbox = sandbox.New(sandbox.Config{Now: w.Now})
	w.sandbox.AddApp(sandbox.App{ID: app.ID, Secret: string(app.Secret), Platform: platform})
	w.sandbox.AddApp(sandbox.App{ID: "wxunbound", Secret: "unbound-secret"})
	var h http.Handler = w.sandbox
	if around != nil {
		h = around(h)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	w.url = srv.URL
	w.client = wechat.New(wechat.Config{BaseURL: srv.URL, Timeout: timeout, Now: w.Now, Observe: w.observe})
	t.Cleanup(func() {
		if u := w.sandbox.Unknown(); len(u) > 0 {
			t.Errorf("requests for what WeChat does not have: %q", u)
		}
	})
	return w
}

func (w *world) observe(api, result string, _ time.Duration) {
	w.seen.Lock()
	defer w.seen.Unlock()
	w.results = append(w.results, api+" "+result)
}

// observed returns what was observed and forgets it.
func (w *world) observed() []string {
	w.seen.Lock()
	defer w.seen.Unlock()
	r := w.results
	w.results = nil
	return r
}

// phone asks for the number that alice granted.
func (w *world) phone() (userpool.Phone, error) {
	code := w.sandbox.PhoneCode(app.ID, "alice", "13800138000")
	return w.client.Phone(context.Background(), app, sandbox.OpenID(app.ID, "alice"), code)
}

func TestCode2Session(t *testing.T) {
	w := newWorld(t, 0, nil)
	ctx := context.Background()

	got, err := w.client.Code2Session(ctx, app, w.sandbox.LoginCode(app.ID, "alice"))
	want := userpool.Session{OpenID: sandbox.OpenID(app.ID, "alice"), UnionID: sandbox.UnionID(platform, "alice")}
	if err != nil || got != want {
		t.Errorf("Code2Session: %+v, %v; want %+v", got, err, want)
	}
	unbound := userpool.App{ID: "wxunbound", Secret: "unbound-secret"}
	got, err = w.client.Code2Session(ctx, unbound, w.sandbox.LoginCode(unbound.ID, "alice"))
	want = userpool.Session{OpenID: sandbox.OpenID(unbound.ID, "alice")}
	if err != nil || got != want {
		t.Errorf("Code2Session of an unbound mini program: %+v, %v; want %+v", got, err, want)
	}
	if got, want := w.observed(), []string{"jscode2session ok", "jscode2session ok"}; !slices.Equal(got, want) {
		t.Errorf("observed %q, want %q", got, want)
	}
}

// A code comes from outside: it must not add parameters of its own.
func TestCodeIsEscaped(t *testing.T) {
	w := newWorld(t, 0, nil)
	const code = "x&appid=evil#%zz +?"
	w.client.Code2Session(context.Background(), app, code)
	q := w.sandbox.Calls(sandbox.Login)[0].Query
	if !slices.Equal(q["js_code"], []string{code}) || !slices.Equal(q["appid"], []string{app.ID}) ||
		!slices.Equal(q["secret"], []string{string(app.Secret)}) || len(q) != 4 {
		t.Errorf("query %q, want the code as one parameter of four", q)
	}
}

func TestSessionAnswers(t *testing.T) {
	w := newWorld(t, 0, nil)
	for _, row := range []struct {
		body string
		ok   bool
	}{
		{`{"openid":"oSample_0123456789abcdefgh-j"}`, true},
		{`{"errcode":0,"errmsg":"ok","openid":"o1","unionid":"u1"}`, true},
		{`{"errcode":null,"openid":"o1","session_key":17}`, true},
		{`{"openid":""}`, false},
		{`{"openid":"o 1"}`, false},
		{`{"openid":"o1\u0000"}`, false},
		{`{"openid":"` + strings.Repeat("o", 129) + `"}`, false},
		{`{"openid":17}`, false},
		{`{"openid":"o1","unionid":"../u1"}`, false},
		{`{"errcode":"0","openid":"o1"}`, false},
		{`{"openid":"o1"}{"openid":"o2"}`, false},
		{`["o1"]`, false},
		{`"o1"`, false},
	} {
		w.sandbox.Fail(sandbox.Login, sandbox.Raw(row.body), 1)
		s, err := w.client.Code2Session(context.Background(), app, "some-code")
		if row.ok && (err != nil || s.OpenID == "") {
			t.Errorf("answer %.60s: %+v, %v; want a session", row.body, s, err)
		}
		if !row.ok {
			wantError(t, row.body, err, userpool.ErrWeChatUnavailable)
			if s != (userpool.Session{}) {
				t.Errorf("answer %.60s: session %+v with an error", row.body, s)
			}
		}
		want := "jscode2session garbage"
		if row.ok {
			want = "jscode2session ok"
		}
		if got := w.observed(); !slices.Equal(got, []string{want}) {
			t.Errorf("answer %.60s: observed %q, want %q", row.body, got, want)
		}
	}
}

// What cannot be a code, or an app that is not set up, is not worth a call.
func TestNoCallForNothing(t *testing.T) {
	w := newWorld(t, 0, nil)
	ctx := context.Background()
	for _, row := range []struct {
		app  userpool.App
		code string
		want error
	}{
		{app, "", userpool.ErrCode},
		{app, strings.Repeat("x", 513), userpool.ErrCode},
		{app, "code\n", userpool.ErrCode},
		{app, "code\x7f", userpool.ErrCode},
		{app, "代码", userpool.ErrCode},
		{userpool.App{Secret: "s"}, "code", userpool.ErrWeChatSetup},
		{userpool.App{ID: "wx"}, "code", userpool.ErrWeChatSetup},
	} {
		_, err := w.client.Code2Session(ctx, row.app, row.code)
		wantError(t, fmt.Sprintf("Code2Session of %.9q", row.code), err, row.want)
		_, err = w.client.Phone(ctx, row.app, "o1", row.code)
		wantError(t, fmt.Sprintf("Phone of %.9q", row.code), err, row.want)
	}
	_, err := w.client.Phone(ctx, app, "", "code")
	wantError(t, "Phone without openid", err, userpool.ErrCode)

	if n := w.sandbox.Count(sandbox.Login) + w.sandbox.Count(sandbox.Token) + w.sandbox.Count(sandbox.Phone); n != 0 {
		t.Errorf("%d calls were made, want none", n)
	}
	if got := w.observed(); got != nil {
		t.Errorf("observed %q of no calls", got)
	}
	if _, err := w.client.Code2Session(ctx, app, strings.Repeat("x", 512)); w.sandbox.Count(sandbox.Login) != 1 {
		t.Errorf("a code of 512 bytes: %v, want a call", err)
	}
}
