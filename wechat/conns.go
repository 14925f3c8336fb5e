package wechat

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"
)

// transport is conns, but in a test.
type transport interface {
	// roundTrip makes the call, once, and returns its HTTP status, and with
	// status 200 the body, of which it reads no more than a byte beyond maxBody.
	// Redirects are not followed.
	roundTrip(ctx context.Context, req *http.Request) (status int, body []byte, err error)
}

// conns are the connections to WeChat that wait for their next call.
//
// They stand in the place of net/http's Transport, which makes a GET again by
// itself when a connection dies that was used before, although jscode2session
// is a GET that spends a code; and which takes two goroutines for each
// connection, half of what a call costs. Here a request is written once, to one
// connection. What is written and read is net/http's.
//
// There is no proxy from the environment, which would be told URLs with the
// AppSecret where BaseURL is plain http.
type conns struct {
	keep  time.Duration  // how long one may wait
	roots *x509.CertPool // nil for the system's

	mu      sync.Mutex
	idle    []*conn // the longest idle first
	reaping bool    // a call of reap is due
}

// conn is a connection. It is one call's at a time.
type conn struct {
	tcp     net.Conn
	raw     syscall.RawConn
	bounded io.LimitedReader // what is read, by way of TLS if that is spoken
	r       *bufio.Reader
	w       *bufio.Writer
	since   time.Time // idle
}

// roundTrip implements transport.
func (p *conns) roundTrip(ctx context.Context, req *http.Request) (status int, body []byte, err error) {
	k, err := p.take(ctx, req.URL)
	if err != nil {
		return 0, nil, err
	}
	stop := context.AfterFunc(ctx, k.interrupt)
	status, body, whole, err := k.exchange(req)
	if stop() && whole {
		p.put(k)
		return status, body, err
	}
	k.tcp.Close()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return status, body, err
}

// interrupt ends what the connection is doing.
func (k *conn) interrupt() { k.tcp.SetDeadline(time.Unix(1, 0)) }

// exchange is roundTrip on this connection. whole tells that the answer was
// read to its end, and that another one may follow.
func (k *conn) exchange(req *http.Request) (status int, body []byte, whole bool, err error) {
	k.bounded.N = maxBody
	if err := errors.Join(req.Write(k.w), k.w.Flush()); err != nil {
		return 0, nil, false, err
	}
	resp, err := http.ReadResponse(k.r, req)
	for err == nil && resp.StatusCode < http.StatusOK { // another one follows: RFC 9110 §15.2
		resp, err = http.ReadResponse(k.r, req)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		if err == nil {
			status = resp.StatusCode
		}
		return status, nil, false, err
	}
	k.bounded.N = 4 * maxBody // chunks have heads, too
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	whole = err == nil && len(body) <= maxBody && !resp.Close && k.r.Buffered() == 0
	return resp.StatusCode, body, whole, err
}

// take returns a connection that is open: the one that waits shortest, or a new
// one.
func (p *conns) take(ctx context.Context, u *url.URL) (*conn, error) {
	for k := p.latest(); k != nil; k = p.latest() {
		if time.Since(k.since) < p.keep && k.quiet() {
			return k, nil
		}
		k.tcp.Close()
	}
	return p.dial(ctx, u)
}

// latest takes the connection that waits shortest, nil if there is none.
func (p *conns) latest() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	k := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	return k
}

// quiet tells whether nothing came on the idle connection. What comes there is
// its end, or nothing that an answer could begin with.
func (k *conn) quiet() bool {
	quiet := false
	err := k.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, err := syscall.Read(int(fd), b[:]) // #nosec G115 -- a file descriptor
		quiet = errors.Is(err, syscall.EAGAIN)
		return true // it does not wait
	})
	return err == nil && quiet
}

// put keeps the connection for another call.
func (p *conns) put(k *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) >= maxInFlight {
		k.tcp.Close()
		return
	}
	k.since = time.Now()
	p.idle = append(p.idle, k)
	if !p.reaping {
		p.reaping = true
		time.AfterFunc(p.keep, p.reap)
	}
}

// reap closes what has been idle for too long, and comes back for the next.
func (p *conns) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := 0
	for old < len(p.idle) && time.Since(p.idle[old].since) >= p.keep {
		p.idle[old].tcp.Close()
		old++
	}
	p.idle = slices.Delete(p.idle, 0, old)
	if p.reaping = len(p.idle) > 0; p.reaping {
		time.AfterFunc(p.keep-time.Since(p.idle[0].since), p.reap)
	}
}

// dial returns a new connection, with TLS for https.
func (p *conns) dial(ctx context.Context, u *url.URL) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	port := u.Port()
	if port == "" {
		port = u.Scheme
	}
	tcp, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	k, err := p.open(ctx, tcp, u)
	if err != nil {
		tcp.Close()
	}
	return k, err
}

// open speaks TLS where it is to be spoken.
func (p *conns) open(ctx context.Context, tcp net.Conn, u *url.URL) (*conn, error) {
	k := &conn{tcp: tcp}
	var err error
	if k.raw, err = tcp.(*net.TCPConn).SyscallConn(); err != nil {
		return nil, err
	}
	var rw io.ReadWriter = tcp
	if u.Scheme == "https" {
		t := tls.Client(tcp, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname(), RootCAs: p.roots})
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		rw = t
	}
	k.bounded.R = rw
	k.r, k.w = bufio.NewReader(&k.bounded), bufio.NewWriter(rw)
	return k, nil
}
