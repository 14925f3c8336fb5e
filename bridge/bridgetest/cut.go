package bridgetest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// Cut is a way to a server on which answers can get lost.
type Cut struct {
	URL string

	t      testing.TB
	server string
	lose   atomic.Int64
	on     net.Listener
	wg     sync.WaitGroup

	mu   sync.Mutex
	lost []string
}

// NewCut opens a way to the server at that URL. It ends with the test.
func NewCut(t testing.TB, server string) *Cut {
	t.Helper()
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	c := &Cut{URL: "http://" + on.Addr().String(), t: t, on: on, server: to.Host}
	c.wg.Go(c.serve)
	t.Cleanup(func() {
		on.Close()
		c.wg.Wait()
	})
	return c
}

// Lose loses the answers on the next n connections: the server answers in full,
// the caller's connection ends without a byte. One connection carries one
// answer, so callers must not keep theirs.
func (c *Cut) Lose(n int) { c.lose.Add(int64(n)) }

func (c *Cut) serve() {
	for {
		caller, err := c.on.Accept()
		if err != nil {
			return // closed
		}
		c.wg.Go(func() { c.carry(caller, c.loses()) })
	}
}

// loses tells whether the answer on the next connection is one to lose.
func (c *Cut) loses() bool {
	for {
		n := c.lose.Load()
		if n <= 0 {
			return false
		}
		if c.lose.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

func (c *Cut) keep(answer []byte) {
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	if err != nil {
		c.t.Errorf("a lost answer %q: %v", answer, err)
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Errorf("a lost answer %q: %v", answer, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = append(c.lost, string(body))
}

// Lost returns the bodies of the answers that nobody got, the first one first.
func (c *Cut) Lost() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lost)
}

func (c *Cut) carry(caller net.Conn, lost bool) {
	defer caller.Close()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return // as if it had refused the caller
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, caller) // the caller keeps it open while waiting
	}()
	answer, err := io.ReadAll(server) // Connection: close
	if err != nil {
		return
	}
	if lost {
		c.keep(answer)
		return
	}
	_, _ = io.Copy(caller, bytes.NewReader(answer))
}
