//go:build linux

package main

import (
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// link passes connections on, and can be in trouble. It ends with the test.
type link struct {
	addr string
	// pick is where the next connection goes; "" ends it.
	pick   func() string
	silent atomic.Bool // what is sent is lost, and nobody is told
	closed atomic.Bool // to new connections

	on   net.Listener
	wg   sync.WaitGroup
	mu   sync.Mutex
	open map[net.Conn]bool
}

func newLink(t *testing.T, pick func() string) *link {
	t.Helper()
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{addr: on.Addr().String(), pick: pick, on: on, open: map[net.Conn]bool{}}
	l.wg.Go(func() {
		for {
			c, err := on.Accept()
			if err != nil {
				return // closed
			}
			l.wg.Go(func() { l.carry(c) })
		}
	})
	t.Cleanup(func() {
		on.Close()
		l.cut()
		l.wg.Wait()
	})
	return l
}

// cut ends all connections.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		c.Close()
	}
}

// refuse ends all connections and lets no others in, until it may.
func (l *link) refuse(yes bool) {
	l.closed.Store(yes)
	l.cut()
}

// keep keeps the connection until the returned function closes it.
func (l *link) keep(c net.Conn) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = true
	return func() {
		c.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, c)
	}
}

func (l *link) carry(client net.Conn) {
	defer l.keep(client)()
	to := l.pick()
	if to == "" || l.closed.Load() {
		return
	}
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer l.keep(server)()
	back := make(chan struct{})
	go func() {
		defer close(back)
		l.copy(client, server)
		client.Close()
	}()
	l.copy(server, client)
	// The client has ended its side, or is gone; its last answer may be on its way.
	if tcp, ok := server.(*net.TCPConn); ok {
		tcp.CloseWrite()
	}
	<-back
}

func (l *link) copy(to io.Writer, from io.Reader) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && !l.silent.Load() {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// balancer spreads connections over the replicas that say that they are ready.
// It knows nothing of requests.
type balancer struct {
	*link
	t     *testing.T
	url   string
	ready []atomic.Bool
	next  atomic.Int64
}

// newBalancer starts one that looks at each replica every 100 ms.
func newBalancer(t *testing.T, r []*replica) *balancer {
	t.Helper()
	b := &balancer{t: t, ready: make([]atomic.Bool, len(r))}
	b.link = newLink(t, func() string {
		for range r {
			if n := int(b.next.Add(1)) % len(r); b.ready[n].Load() {
				return r[n].url[len("http://"):]
			}
		}
		return ""
	})
	b.url = "http://" + b.addr
	ended := make(chan struct{})
	var checks sync.WaitGroup
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{}}
	for n := range r {
		checks.Go(func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				b.ready[n].Store(ready(client, r[n].url))
				select {
				case <-ended:
					return
				case <-tick.C:
				}
			}
		})
	}
	t.Cleanup(func() { close(ended); checks.Wait(); client.CloseIdleConnections() })
	return b
}

// awaitReady returns when so many replicas are ready.
func (b *balancer) awaitReady(n int) {
	b.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; <-time.After(5 * time.Millisecond) {
		are := 0
		for i := range b.ready {
			if b.ready[i].Load() {
				are++
			}
		}
		if are == n {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("%d replicas are ready, want %d", are, n)
		}
	}
}
