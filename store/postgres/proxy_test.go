//go:build linux

package postgres_test

import (
	"bytes"
	"errors"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// proxy stands before a PostgreSQL. It cuts the connection over which something
// is sent: before it arrives, or after, when the server has answered.
type proxy struct {
	url    string
	server string

	mu      sync.Mutex
	what    []byte // nil for nothing
	arrives bool
	cuts    int
	wg      sync.WaitGroup
}

func newProxy(t *testing.T, database string) *proxy {
	t.Helper()
	u, err := url.Parse(database)
	check(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	p := &proxy{server: u.Host}
	u.Host = l.Addr().String()
	p.url = u.String()
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() { check(t, l.Close()); p.wg.Wait() })
	return p
}

// cut makes the proxy cut, once.
func (p *proxy) cut(what []byte, arrives bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.arrives = what, arrives
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		client.Close()
		return
	}
	defer server.Close()
	var last atomic.Bool // no answer is passed on any more
	p.wg.Go(func() {
		defer client.Close()
		b := make([]byte, 64<<10)
		for {
			n, err := server.Read(b)
			if err != nil || last.Load() {
				return // with the answer in hand
			}
			if _, err := client.Write(b[:n]); err != nil {
				return
			}
		}
	})
	b := make([]byte, 64<<10)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		if hit, arrives := p.hit(b[:n]); hit {
			if !arrives {
				return
			}
			last.Store(true)
		}
		if _, err := server.Write(b[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) hit(sent []byte) (hit, arrives bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.what == nil || !bytes.Contains(sent, p.what) {
		return false, false
	}
	p.what = nil
	p.cuts++
	return true, p.arrives
}

// The answer to a redemption is lost: who redeemed is looked up, and never
// guessed.
func TestLostAnswer(t *testing.T) {
	p := newProxy(t, pgtest.New(t))
	s := open(t, p.url)
	seed(t, s)
	for n, row := range []struct {
		name    string
		arrives bool
		want    error
	}{{"before it arrived", false, userpool.ErrUnavailable}, {"after it was carried out", true, nil}} {
		tk := issue(t, s, "u", 10*n)
		p.cut(tk.Key[:], row.arrives)
		a := attempt(tk, "j"+name(n))
		a.Idempotency = [32]byte{1}
		done, err := s.RedeemTicket(ctx, a)
		wantErr(t, row.name, err, row.want)
		if p.cuts != n+1 {
			t.Fatalf("%s: nothing was cut", row.name)
		}
		if err == nil && (done.Repeated || done.JTI != a.JTI || done.User.Logins.Count != uint64(n+1) || !done.At.Equal(a.Now)) {
			t.Errorf("%s: %+v", row.name, done)
		}
		// A repeat settles it, whatever it was.
		again, err := s.RedeemTicket(ctx, a)
		check(t, err)
		if again.Repeated != row.arrives || again.User.Logins.Count != uint64(n+1) {
			t.Errorf("%s, and repeated: %+v", row.name, again)
		}
	}

	// A ticket whose creation was carried out is there.
	tk := newTicket("u", 99)
	p.cut(tk.Key[:], true)
	check(t, s.CreateTicket(ctx, tk, t0))
	check(t, second(s.RedeemTicket(ctx, attempt(tk, "j99"))))
	tk = newTicket("u", 98)
	p.cut(tk.Key[:], false)
	wantErr(t, "a creation that did not arrive", s.CreateTicket(ctx, tk, t0), userpool.ErrUnavailable)
	wantErr(t, "its ticket", second(s.RedeemTicket(ctx, attempt(tk, "j98"))), ticket.ErrUnknown)
}

// A statement that waits for a lock is given up, and the others are not.
func TestTimeout(t *testing.T) {
	database := pgtest.New(t)
	s := open(t, database+"&lock_timeout=200")
	seed(t, s)
	check(t, s.CreateUser(ctx, userpool.User{PoolID: "p", ID: "v", SignedUp: t0, UpdatedAt: t0}))
	u, v := issue(t, s, "u", 1), issue(t, s, "v", 2)
	c, err := pgx.Connect(ctx, database)
	check(t, err)
	defer c.Close(ctx)
	tx, err := c.Begin(ctx)
	check(t, err)
	check(t, second(tx.Exec(ctx, `SELECT 1 FROM access WHERE user_id = 'u' FOR UPDATE`)))
	start := time.Now()
	wantErr(t, "a locked user", second(s.RedeemTicket(ctx, attempt(u, "j1"))), userpool.ErrUnavailable)
	if took := time.Since(start); took > 2*time.Minute {
		t.Errorf("given up after %v", took)
	}
	check(t, second(s.RedeemTicket(ctx, attempt(v, "j2"))))
	check(t, tx.Rollback(ctx))
	check(t, second(s.RedeemTicket(ctx, attempt(u, "j3"))))
}

// What one caller brings must not fail those who share its statement.
func TestBadCallerInGroup(t *testing.T) {
	s := open(t, pgtest.New(t))
	seed(t, s)
	const n = 40
	for i := range n {
		check(t, s.CreateUser(ctx, userpool.User{PoolID: "p", ID: name(i), SignedUp: t0, UpdatedAt: t0}))
	}
	together(n, func(i int) {
		tk := newTicket(name(i), i)
		if i%4 == 0 {
			tk.SourceApp = "a\x00b" // PostgreSQL has no such text
		}
		if err := s.CreateTicket(ctx, tk, t0); (err != nil) != (i%4 == 0) {
			t.Errorf("ticket %d: %v", i, err)
		}
	})
	together(n, func(i int) {
		a := attempt(newTicket("", i), name(i))
		if i%4 == 1 {
			a.JTI = "\x00"
		}
		_, err := s.RedeemTicket(ctx, a)
		switch {
		case i%4 == 0 && !errors.Is(err, ticket.ErrUnknown), i%4 == 1 && err == nil, i%4 > 1 && err != nil:
			t.Errorf("redemption %d: %v", i, err)
		}
	})
}
