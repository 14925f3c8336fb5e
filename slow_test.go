package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/wechat/sandbox"
)

// dial opens a connection to one of the server's listeners.
func (p *program) dial(url string) *net.TCPConn {
	p.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// drip writes the text, then a byte again and again, until the server cuts the
// connection, and returns how long that took; limit if it did not.
func drip(c net.Conn, text, more string, limit time.Duration) time.Duration {
	start := time.Now()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		io.Copy(io.Discard, c)
	}()
	io.WriteString(c, text)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for time.Since(start) < limit {
		select {
		case <-answered:
			return time.Since(start)
		case <-tick.C:
			if _, err := io.WriteString(c, more); err != nil {
				return time.Since(start)
			}
		}
	}
	return limit
}

// flood sends requests and reads no answer, until the server cuts the
// connection, and returns how long that took; limit if it did not.
// It asks for the longest answer that there is, so that the system's buffers
// are full soon.
func flood(c *net.TCPConn, limit time.Duration) time.Duration {
	start := time.Now()
	c.SetReadBuffer(4096)
	c.SetWriteDeadline(start.Add(limit))
	requests := strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 1000)
	for {
		if _, err := io.WriteString(c, requests); err != nil {
			return min(time.Since(start), limit)
		}
	}
}

// Who sends or reads slowly is cut off by the time-outs, and nobody else
// notices.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.start()
	pool, secret := p.newPool()
	var tickets []string
	for i := range 60 {
		tickets = append(tickets, p.issue(pool, fmt.Sprint("u", i)))
	}
	path := "/oauth/app2wxapp/auth/" + pool
	var slow sync.WaitGroup
	for _, row := range []struct {
		name     string
		n        int
		at       string
		run      func(c *net.TCPConn) time.Duration
		from, to time.Duration
	}{
		{"a dripping header", 50, p.public, func(c *net.TCPConn) time.Duration {
			return drip(c, "POST "+path+" HTTP/1.1\r\nHost: x\r\nX-Slow: ", "a", 20*time.Second)
		}, 4 * time.Second, 16 * time.Second},
		{"a dripping body", 50, p.public, func(c *net.TCPConn) time.Duration {
			return drip(c, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", " ", 25*time.Second)
		}, 8 * time.Second, 22 * time.Second},
		{"answers that are not read", 2, p.admin, func(c *net.TCPConn) time.Duration { return flood(c, 45*time.Second) }, 10 * time.Second, 40 * time.Second},
	} {
		var first, last atomic.Int64
		first.Store(int64(time.Hour))
		var group sync.WaitGroup
		for range row.n {
			c := p.dial(row.at)
			group.Go(func() {
				took := int64(row.run(c))
				for old := first.Load(); took < old && !first.CompareAndSwap(old, took); old = first.Load() {
				}
				for old := last.Load(); took > old && !last.CompareAndSwap(old, took); old = last.Load() {
				}
			})
		}
		slow.Go(func() {
			group.Wait()
			from, to := time.Duration(first.Load()), time.Duration(last.Load())
			t.Logf("%d with %s: cut after %v to %v", row.n, row.name, from.Round(time.Millisecond), to.Round(time.Millisecond))
			if from < row.from || to > row.to {
				t.Errorf("%s: cut after %v to %v, want %v to %v", row.name, from, to, row.from, row.to)
			}
		})
	}
	var took []time.Duration
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for _, ticket := range tickets {
		<-tick.C
		start := time.Now()
		if status, body, err := p.redeem(pool, secret, ticket); status != http.StatusOK || err != nil {
			t.Errorf("a redemption meanwhile: %d %s %v, want 200", status, body, err)
		}
		took = append(took, time.Since(start))
	}
	t.Logf("meanwhile %d redemptions: p50 %v p99 %v", len(took), quantile(took, .5), quantile(took, .99))
	if q := quantile(took, .9); q > 5*time.Second {
		t.Errorf("redemptions meanwhile: p90 %v, want at most 5 s", q)
	}
	slow.Wait()
}

// Who says that five gigabytes will come is refused before they do.
func TestHugeBodyIsRefusedUnread(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.start()
	pool, _ := p.newPool()
	c := p.dial(p.public)
	c.SetDeadline(time.Now().Add(8 * time.Second)) // less than the server waits for a body
	fmt.Fprintf(c, "POST /oauth/app2wxapp/auth/%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", pool, int64(5)<<30)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Fatalf("5 GB announced, none sent: %v %v, want 413", res, err)
	}
	res.Body.Close()
}

// Ten thousand connections that do nothing are in nobody's way.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	const n = 10_000
	const files = n + 2000 // what else the server, and the tests beside this one, have open
	if most := maxFiles(); most < files {
		t.Fatalf("the system allows %d open files, and this test takes %d: raise the hard limit (ulimit -Hn)", most, files)
	}
	p := newProgram(t)
	p.start()
	pool, secret := p.newPool()
	var tickets []string
	for i := range 100 {
		tickets = append(tickets, p.issue(pool, fmt.Sprint("u", i)))
	}
	// One request makes a connection an idle one.
	idle, begun := make([]net.Conn, n), time.Now()
	ask := func(some []net.Conn) {
		for _, c := range some {
			io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		}
		for i, c := range some {
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			res, err := http.ReadResponse(bufio.NewReaderSize(c, 1024), nil)
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("connection %d of %d: %v %v", i, len(some), res, err)
			}
			res.Body.Close()
		}
	}
	for from := 0; from < n; from += 100 {
		some := idle[from:min(from+100, n)]
		for i := range some {
			some[i] = p.dial(p.public)
		}
		ask(some)
	}
	var took []time.Duration
	for _, ticket := range tickets {
		start := time.Now()
		if status, body, err := p.redeem(pool, secret, ticket); status != http.StatusOK || err != nil {
			t.Errorf("a redemption meanwhile: %d %s %v, want 200", status, body, err)
		}
		took = append(took, time.Since(start))
	}
	t.Logf("beside %d idle connections %d redemptions: p50 %v p99 %v", n, len(took), quantile(took, .5), quantile(took, .99))
	if q := quantile(took, .9); q > 5*time.Second {
		t.Errorf("redemptions meanwhile: p90 %v, want at most 5 s", q)
	}
	ask(idle[n-100:]) // they still work
	if time.Since(begun) < 50*time.Second {
		ask(idle[:100]) // and so do the first, if they have not been idle too long
	}
}

var hangs = flag.Duration("wechat.hangs", 0, "how long WeChat hangs in TestWeChatHangs, ten minutes at most; once for its time-out at least")

// When WeChat hangs, sign-ins end in time with 502, those past 256 at once, and
// redemptions do not notice, however long it lasts.
func TestWeChatHangs(t *testing.T) {
	t.Parallel()
	const signIns, inFlight, timeout = 300, 256, 8 * time.Second // within which even a busy machine sends them all
	waves := max(1, int(*hangs/timeout))
	p := newProgram(t)
	p.env = append(p.env, "APP2WXAPP_WECHAT_TIMEOUT="+timeout.String())
	p.start()
	pool, secret := p.newPool(`"ticketTTL":600`)
	var tickets []string
	for i := range 60 * (1 + waves) {
		tickets = append(tickets, p.issue(pool, fmt.Sprint("u", i)))
	}
	redeem := func(tickets []string) (took []time.Duration) {
		for _, ticket := range tickets {
			start := time.Now()
			if status, body, err := p.redeem(pool, secret, ticket); status != http.StatusOK || err != nil {
				t.Errorf("a redemption: %d %s %v, want 200", status, body, err)
			}
			took = append(took, time.Since(start))
		}
		return took
	}
	before := redeem(tickets[:60])
	p.wechat.Fail(sandbox.Login, sandbox.Hang, -1)
	hang := func(tickets []string) {
		base := p.wechat.Count(sandbox.Login)
		var calls sync.WaitGroup
		var early, late atomic.Int64
		for i := range signIns {
			calls.Go(func() {
				start := time.Now()
				status, body, err := post(p.public+"/oauth/app2wxapp/ticket/"+pool, fmt.Sprintf(`{"code":%q}`, p.wechat.LoginCode(testAppID, fmt.Sprint("h", i))))
				took := time.Since(start)
				if status != http.StatusBadGateway || err != nil || took > timeout+10*time.Second {
					t.Errorf("a sign-in: %d %s %v after %v, want 502 within %v", status, body, err, took, timeout)
				}
				if took < timeout-500*time.Millisecond {
					early.Add(1)
				} else {
					late.Add(1)
				}
			})
		}
		for end := time.Now().Add(timeout); p.wechat.Count(sandbox.Login)-base < inFlight && time.Now().Before(end); {
			time.Sleep(time.Millisecond) // another process's progress has no clock to turn
		}
		during := redeem(tickets)
		t.Logf("redemptions p50 %v p99 %v; while %d sign-ins hang p50 %v p99 %v", quantile(before, .5), quantile(before, .99),
			inFlight, quantile(during, .5), quantile(during, .99))
		if got, most := quantile(during, .5), 3*quantile(before, .5)+50*time.Millisecond; got > most {
			t.Errorf("redemptions while WeChat hangs: p50 %v, want at most %v", got, most)
		}
		calls.Wait()
		t.Logf("%d sign-ins: %d answered at once, %d when the time was over", signIns, early.Load(), late.Load())
		if sent := p.wechat.Count(sandbox.Login) - base; sent != inFlight {
			t.Errorf("%d calls reached WeChat, want %d", sent, inFlight)
		}
		// One of them may seem to have waited, to a busy machine.
		if got := early.Load(); got > signIns-inFlight || got < (signIns-inFlight)*3/4 {
			t.Errorf("%d sign-ins were answered at once, want %d", got, signIns-inFlight)
		}
	}
	for wave := range waves {
		hang(tickets[60*(1+wave) : 60*(2+wave)])
	}
	p.wechat.Fail(sandbox.Login, sandbox.Hang, 0)
	if p.issue(pool, "afterwards") == "" {
		t.Error("a sign-in afterwards failed")
	}
}
