package wechat_test

import (
	"context"
	"errors"
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

// wantCalls reports other numbers of calls than these.
func wantCalls(t *testing.T, w *world, what string, token, phone int) {
	t.Helper()
	if gt, gp := w.sandbox.Count(sandbox.Token), w.sandbox.Count(sandbox.Phone); gt != token || gp != phone {
		t.Errorf("%s: %d stable_token and %d getuserphonenumber, want %d and %d", what, gt, gp, token, phone)
	}
}

func TestStableTokenRequest(t *testing.T) {
	w := newWorld(t, 0, nil)
	if _, err := w.phone(); err != nil {
		t.Fatal(err)
	}
	got := w.sandbox.Calls(sandbox.Token)[0]
	want := `{"grant_type":"client_credential","appid":"` + app.ID + `","secret":"planted-secret-5f1c\u0026x=1","force_refresh":false}`
	if got.Method != http.MethodPost || got.Body != want || len(got.Query) != 0 {
		t.Errorf("%s %s %s, want POST without query and %s", got.Method, got.Query, got.Body, want)
	}
}

// A token is used until 290 to 230 s before its end, and 10 s at least.
func TestTokenExpiry(t *testing.T) {
	for _, row := range []struct {
		expiresIn string
		life      time.Duration
	}{
		{"7200", 6910 * time.Second},
		{"301", 11 * time.Second},
		{"300", 10 * time.Second},
		{"1", 10 * time.Second},
		{"0", 10 * time.Second},
		{"-9000000000000000000", 10 * time.Second},
		{"9000000000000000000", 6910 * time.Second},
	} {
		t.Run(row.expiresIn, func(t *testing.T) {
			w := newWorld(t, 0, nil)
			w.sandbox.Fail(sandbox.Token, sandbox.Raw(`{"access_token":"t","expires_in":`+row.expiresIn+`}`), -1)
			w.sandbox.Fail(sandbox.Phone, sandbox.ErrCode(-1), -1)
			w.phone()
			w.turn(row.life - time.Millisecond)
			w.phone()
			wantCalls(t, w, "a millisecond before the end", 1, 2)
			w.turn(time.Millisecond + time.Minute)
			w.phone()
			wantCalls(t, w, "a minute after the end", 2, 3)
		})
	}
}

// The life of a token counts from before the request: the answer may have been
// on its way for long.
func TestTokenLifeBeginsBeforeTheRequest(t *testing.T) {
	var w *world
	w = newWorld(t, 0, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(rw, r)
			if strings.HasSuffix(r.URL.Path, "/stable_token") {
				w.turn(4 * time.Second)
			}
		})
	})
	w.phone()
	w.turn(6970*time.Second - 4*time.Second)
	w.phone()
	wantCalls(t, w, "6970 s after the request", 2, 2)
}

func TestTokenGarbage(t *testing.T) {
	for _, body := range []string{`{"expires_in":7200}`, `{"access_token":"","expires_in":7200}`, `{"access_token":7}`, `null`} {
		w := newWorld(t, 0, nil)
		w.sandbox.Fail(sandbox.Token, sandbox.Raw(body), -1)
		_, err := w.phone()
		wantError(t, body, err, userpool.ErrWeChatUnavailable)
		wantCalls(t, w, body, 2, 0)
	}
}

// stable_token spends nothing: it is repeated once if it was not answered, and
// not at all if it was refused.
func TestTokenRetry(t *testing.T) {
	for _, row := range []struct {
		failure       sandbox.Failure
		times         int
		token, phones int
		want          error
	}{
		{sandbox.Reset, 1, 2, 1, nil},
		{sandbox.Status(502), 1, 2, 1, nil},
		{sandbox.GarbageTruncated, 1, 2, 1, nil},
		{sandbox.Reset, -1, 2, 0, userpool.ErrWeChatUnavailable},
		{sandbox.ErrCode(40125), 1, 1, 0, userpool.ErrWeChatSetup},
		{sandbox.ErrCode(-1), 1, 1, 0, userpool.ErrWeChatUnavailable},
		{sandbox.Hang, 1, 1, 0, userpool.ErrWeChatUnavailable}, // no time is left
	} {
		t.Run(string(row.failure), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 300*time.Millisecond, nil)
			w.sandbox.Fail(sandbox.Token, row.failure, row.times)
			_, err := w.phone()
			wantError(t, "Phone", err, row.want)
			wantCalls(t, w, "calls", row.token, row.phones)
			// A failure is not kept.
			w.sandbox.Fail(sandbox.Token, row.failure, 0)
			if _, err := w.phone(); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// All who need a token at once share one refresh.
func TestOneRefreshInFlight(t *testing.T) {
	w := newWorld(t, 0, nil)
	w.sandbox.Fail(sandbox.Token, sandbox.Slow(50*time.Millisecond), 1)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := w.phone(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantCalls(t, w, "50 callers", 1, 50)
}

// gate stops the first request to a path until it is opened, after the handler
// behind has made its answer.
type gate struct {
	path          string
	once          sync.Once
	arrived, open chan struct{}
}

func newGate(path string) *gate {
	return &gate{path: path, arrived: make(chan struct{}), open: make(chan struct{})}
}

func (g *gate) around(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		first := false
		if r.URL.Path == g.path {
			g.once.Do(func() { first = true })
		}
		if !first {
			h.ServeHTTP(rw, r)
			return
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		close(g.arrived)
		<-g.open
		rw.Write(rec.Body.Bytes())
	})
}

// The caller who began the refresh gives up; the others still get its token.
func TestCanceledCallerFailsNoOther(t *testing.T) {
	g := newGate("/cgi-bin/stable_token")
	w := newWorld(t, time.Minute, g.around)
	ctx, cancel := context.WithCancel(context.Background())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := w.client.Phone(ctx, app, "o1", "code")
		first <- err
	}()
	<-g.arrived
	go func() {
		_, err := w.phone()
		second <- err
	}()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) || !errors.Is(err, userpool.ErrWeChatUnavailable) {
		t.Errorf("the first caller: %v, want context.Canceled", err)
	}
	close(g.open)
	if err := <-second; err != nil {
		t.Errorf("the second caller: %v, want a phone number", err)
	}
	wantCalls(t, w, "both", 1, 1)
}

// Another party killed the token: the call is repeated with the new one.
func TestKilledToken(t *testing.T) {
	w := newWorld(t, 0, nil)
	w.phone()
	w.sandbox.KillToken(app.ID)
	w.observed()
	got, err := w.phone()
	if err != nil || got != "+8613800138000" {
		t.Errorf("%s, %v; want +8613800138000", string(got), err)
	}
	wantCalls(t, w, "killed", 2, 3)
	want := []string{"getuserphonenumber token", "stable_token ok", "getuserphonenumber ok"}
	if got := w.observed(); !slices.Equal(got, want) {
		t.Errorf("observed %q, want %q", got, want)
	}
}

// Each of the errcodes for a bad token counts as one.
func TestRejectedToken(t *testing.T) {
	for _, code := range []int{40001, 40014, 42001} {
		w := newWorld(t, 0, nil)
		w.phone()

		w.sandbox.KillToken(app.ID)
		w.sandbox.Fail(sandbox.Phone, sandbox.ErrCode(code), 1)
		if _, err := w.phone(); err != nil {
			t.Errorf("%d and a new token: %v, want success", code, err)
		}
		wantCalls(t, w, "a new token", 2, 3)

		w.sandbox.Fail(sandbox.Phone, sandbox.ErrCode(code), -1)
		_, err := w.phone()
		wantError(t, "the same token again", err, userpool.ErrWeChatUnavailable)
		wantCalls(t, w, "the same token again: not repeated", 3, 4)

		w.phone()
		wantCalls(t, w, "within a second: not asked for again", 3, 5)
		w.turn(time.Second)

		w.sandbox.KillToken(app.ID)
		_, err = w.phone()
		wantError(t, "rejected twice", err, userpool.ErrWeChatUnavailable)
		var e *wechat.Error
		if !errors.As(err, &e) || e.Code != code {
			t.Errorf("rejected twice: %v, want errcode %d", err, code)
		}
		wantCalls(t, w, "rejected twice: repeated once", 4, 7)
	}
}

// The new token is not to be had: that is the error, and the code is not sent
// again.
func TestRefreshAfterRejectionFails(t *testing.T) {
	w := newWorld(t, 0, nil)
	w.phone()
	w.sandbox.KillToken(app.ID)
	w.sandbox.Fail(sandbox.Token, sandbox.ErrCode(40164), -1)
	_, err := w.phone()
	wantError(t, "refresh refused", err, userpool.ErrWeChatSetup)
	wantCalls(t, w, "refresh refused", 2, 2)
}

// A late rejection of an old token must not drop the token that has replaced
// it.
func TestLateRejectionKeepsNewToken(t *testing.T) {
	g := newGate("/wxa/business/getuserphonenumber")
	w := newWorld(t, time.Minute, g.around)
	late := make(chan error, 1)
	w.sandbox.Fail(sandbox.Phone, sandbox.ErrCode(40001), 1)
	go func() {
		_, err := w.phone()
		late <- err
	}()
	<-g.arrived // and is rejected already
	w.sandbox.KillToken(app.ID)
	if _, err := w.phone(); err != nil { // finds the token killed and refreshes
		t.Fatal(err)
	}
	wantCalls(t, w, "before", 2, 3)
	close(g.open)
	if err := <-late; err != nil {
		t.Errorf("the late caller: %v, want success with the new token", err)
	}
	wantCalls(t, w, "after", 2, 4)
}

// Tokens belong to an AppID and to the secret that earned them.
func TestTokenBelongsToSecret(t *testing.T) {
	w := newWorld(t, 0, nil)
	ctx, id := context.Background(), sandbox.OpenID(app.ID, "alice")
	ask := func(a userpool.App) error {
		_, err := w.client.Phone(ctx, a, id, w.sandbox.PhoneCode(app.ID, "alice", "13800138000"))
		return err
	}
	if err := ask(app); err != nil {
		t.Fatal(err)
	}
	wrong := userpool.App{ID: app.ID, Secret: "wrong"}
	wantError(t, "wrong secret, token cached", ask(wrong), userpool.ErrWeChatSetup)
	wantCalls(t, w, "wrong secret", 2, 1)

	w.sandbox.AddApp(sandbox.App{ID: app.ID, Secret: "new"})
	if err := ask(userpool.App{ID: app.ID, Secret: "new"}); err != nil {
		t.Errorf("changed secret: %v", err)
	}
	wantCalls(t, w, "changed secret", 3, 2)

	other := userpool.App{ID: "wxunbound", Secret: "unbound-secret"}
	code := w.sandbox.PhoneCode(other.ID, "alice", "13800138000")
	if _, err := w.client.Phone(ctx, other, sandbox.OpenID(other.ID, "alice"), code); err != nil {
		t.Errorf("another mini program: %v", err)
	}
	wantCalls(t, w, "another mini program", 4, 3)
}

// Tokens may have 512 characters.
func TestLongToken(t *testing.T) {
	sb := sandbox.New(sandbox.Config{LongTokens: true})
	sb.AddApp(sandbox.App{ID: app.ID, Secret: string(app.Secret)})
	srv := httptest.NewServer(sb)
	defer srv.Close()
	c := wechat.New(wechat.Config{BaseURL: srv.URL + "/"})
	_, err := c.Phone(context.Background(), app, sandbox.OpenID(app.ID, "bob"), sb.PhoneCode(app.ID, "bob", "13800138000"))
	if n := len(sb.Calls(sandbox.Phone)[0].Query.Get("access_token")); err != nil || n != 512 {
		t.Errorf("token of %d characters: %v", n, err)
	}
}

// Replicas do not kill each other's tokens: whatever happens, nobody asks WeChat
// to replace a living one (20 a day), each asks once, and not all in the same
// moment.
func TestReplicasOfClient(t *testing.T) {
	const replicas, callers = 30, 8
	w := newWorld(t, 0, nil)
	var clients []*wechat.Client
	for range replicas {
		clients = append(clients, wechat.New(wechat.Config{BaseURL: w.url, Now: w.Now}))
	}
	all := func() {
		var wg sync.WaitGroup
		for i := range replicas * callers {
			wg.Go(func() {
				code := w.sandbox.PhoneCode(app.ID, "alice", "13800138000")
				if _, err := clients[i%replicas].Phone(context.Background(), app, sandbox.OpenID(app.ID, "alice"), code); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	all()
	if n := w.sandbox.Count(sandbox.Token); n != replicas {
		t.Errorf("at the start: asked %d times, want %d", n, replicas)
	}
	w.sandbox.KillToken(app.ID)
	all()
	if n := w.sandbox.Count(sandbox.Token); n != 2*replicas {
		t.Errorf("after the token was killed: asked %d times in all, want %d", n, 2*replicas)
	}
	w.turn(6940 * time.Second) // half of the minute in which they change
	all()
	if n := w.sandbox.Count(sandbox.Token) - 2*replicas; n == 0 || n == replicas {
		t.Errorf("near the token's end %d of %d asked for the next one in the same moment", n, replicas)
	}
	w.turn(30 * time.Second)
	all()
	if n := w.sandbox.Count(sandbox.Token); n != 3*replicas {
		t.Errorf("after it: asked %d times in all, want %d", n, 3*replicas)
	}
	for _, call := range w.sandbox.Calls(sandbox.Token) {
		if !strings.Contains(call.Body, `"force_refresh":false`) {
			t.Errorf("asked with %s", call.Body)
		}
	}
}
