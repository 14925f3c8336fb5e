package bridge_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/bridge"
	"app2wxapp/bridge/bridgetest"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// most is how many requests may be inside.
const most = 512

// gate holds as many as it is told to.
type gate struct {
	free    atomic.Int64  // places
	came    chan struct{} // one for each that is held
	opened  chan struct{}
	once    sync.Once
	callers sync.WaitGroup
}

func newGate() *gate { return &gate{came: make(chan struct{}), opened: make(chan struct{})} }

// pass tells whether the caller was held.
func (g *gate) pass() bool {
	if g.free.Add(-1) < 0 {
		return false
	}
	select {
	case g.came <- struct{}{}:
	case <-g.opened:
	}
	<-g.opened
	return true
}

// fill makes n calls and returns when each is held.
func (g *gate) fill(t *testing.T, n int, call func()) {
	t.Helper()
	g.free.Store(int64(n))
	for range n {
		g.callers.Go(call)
	}
	for i := range n {
		select {
		case <-g.came:
		case <-time.After(30 * time.Second):
			t.Fatalf("%d of %d calls came through", i, n)
		}
	}
}

// open lets all go and waits until they are answered.
func (g *gate) open() {
	g.once.Do(func() { close(g.opened) })
	g.callers.Wait()
}

// heldStore is a store whose redemptions the gate holds, and then does not do.
type heldStore struct {
	bridge.Store
	gate *gate
}

func (s heldStore) RedeemTicket(ctx context.Context, r ticket.Redemption) (ticket.Redeemed, error) {
	if s.gate.pass() {
		return ticket.Redeemed{}, fmt.Errorf("%w: held", userpool.ErrUnavailable)
	}
	return s.Store.RedeemTicket(ctx, r)
}

// Where 512 are inside the next is told at once to come back, before its body is
// read; health is told to anybody, and afterwards all is as before.
func TestShed(t *testing.T) {
	t.Parallel()
	g := newGate()
	b := bridgetest.New(t, bridgetest.WithStore(func(s bridge.Store) bridge.Store { return heldStore{s, g} }))
	t.Cleanup(g.open) // also when it fails
	p := b.NewPool()
	token := login(b, p, "alice").Token
	ticket := b.Ticket(p, "alice")
	body := object(member("ticket", ticket), member("secret", p.Secret))
	late := announce(t, b, redeemPath(p), len(body))

	g.fill(t, most-1, func() { b.Redeem(p, ticket).WantError(503, 5030, "unavailable") })
	wantToken(t, b, token, 200) // there is room for one
	g.fill(t, 1, func() { b.Redeem(p, ticket) })
	early := header(t, b, redeemPath(p), len(body), expect)
	if res, err := http.ReadResponse(bufio.NewReader(early), nil); err != nil || res.StatusCode != 503 {
		t.Errorf("a body that is announced: %v %v, want 503 before it is asked for", res, err)
	}
	for call, r := range map[string]bridgetest.Response{
		"redeem":      b.Redeem(p, ticket),
		"issue":       b.Issue(p, "alice"),
		"check token": b.Do("GET", b.URL+"/authing/token?access_token="+token, ""),
	} {
		r.WantError(503, 5030, "unavailable")
		wantHeaders(t, r)
		if got := r.Header.Get("Retry-After"); got != "1" || !errorShape.MatchString(r.Body) {
			t.Errorf("%s: Retry-After %q, %s, want 1 and the four members of an error", call, got, r.Body)
		}
	}
	// Who was let in to wait for its body finds no room with it either.
	io.WriteString(late, body)
	if res, err := http.ReadResponse(bufio.NewReader(late), nil); err != nil || res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" {
		t.Errorf("a body that comes later: %v %v, want 503 with Retry-After: 1", res, err)
	}
	if got := b.Log.String(); strings.Count(got, `"level":"ERROR"`)+strings.Count(got, `"level":"INFO"`) > 0 {
		t.Errorf("what was shed is logged above debug:\n%s", got)
	}
	for _, path := range []string{"/healthz", "/readyz", "/.well-known/jwks.json"} {
		b.Do("GET", b.URL+path, "").Want(200)
	}
	if got := b.Do("GET", b.AdminURL+"/metrics", "").Want(200).Body; !strings.Contains(got, "\napp2wxapp_requests_shed_total 5\n") {
		t.Error("want app2wxapp_requests_shed_total 5")
	}
	g.open()
	wantUsable(t, b, p, ticket)
	wantToken(t, b, token, 200)
}

// heldWeChat is a WeChat that hangs while the gate is shut.
type heldWeChat struct {
	userpool.WeChat
	gate *gate
}

func (w heldWeChat) Code2Session(ctx context.Context, app userpool.App, code string) (userpool.Session, error) {
	if w.gate.pass() {
		return userpool.Session{}, userpool.ErrWeChatUnavailable
	}
	return w.WeChat.Code2Session(ctx, app, code)
}

func (w heldWeChat) Phone(ctx context.Context, app userpool.App, openID, code string) (userpool.Phone, error) {
	if w.gate.pass() {
		return "", userpool.ErrWeChatUnavailable
	}
	return w.WeChat.Phone(ctx, app, openID, code)
}

// Who waits for WeChat, or for a caller who is slow to send, keeps nobody out;
// nor do they when they have come back.
func TestWaitingKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	g := newGate()
	b := bridgetest.New(t, func(c *bridge.Config) { c.WeChat = heldWeChat{c.WeChat, g} })
	t.Cleanup(g.open) // also when it fails
	p := b.NewPool()
	ticket := b.Ticket(p, "alice")
	for range most + 1 {
		announce(t, b, redeemPath(p), 100)
	}
	var n atomic.Int64
	g.fill(t, most+1, func() { b.Issue(p, fmt.Sprint("u", n.Add(1))).WantError(502, 5020, "wechat_unavailable") })
	wantUsable(t, b, p, ticket)
	g.open()
	b.Issue(p, "alice").Want(200)
}

// announce sends the header of a request and returns when the server waits for
// the body.
func announce(t *testing.T, b *bridgetest.Bridge, path string, length int) net.Conn {
	t.Helper()
	c := header(t, b, path, length, expect)
	const goOn = "HTTP/1.1 100 Continue\r\n\r\n"
	got := make([]byte, len(goOn))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != goOn {
		t.Fatalf("a body is announced: %q %v, want %q", got, err, goOn)
	}
	return c
}

// expect asks the server to say when it wants the body.
const expect = "Expect: 100-continue\r\n"

// header connects and sends the header of a request.
func header(t *testing.T, b *bridgetest.Bridge, path string, length int, more string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(b.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n", path, length, more)
	return c
}
