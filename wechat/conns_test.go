package wechat

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/userpool"
)

var testApp = userpool.App{ID: "wx1", Secret: "s"}

// counted is a server that counts its connections, and closes them when they
// have been idle for so long; 0 for never.
func counted(t *testing.T, idle time.Duration) (srv *httptest.Server, opened, closed *atomic.Int64) {
	t.Helper()
	opened, closed = new(atomic.Int64), new(atomic.Int64)
	srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"openid":"o1"}`) }))
	srv.Config.IdleTimeout = idle
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv, opened, closed
}

func login(c *Client) error {
	_, err := c.Code2Session(context.Background(), testApp, "code")
	return err
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// A connection serves one call after another, however the answer is framed, and
// no further one after an answer that says so, or that has more behind it.
func TestConnectionIsUsedAgain(t *testing.T) {
	for name, row := range map[string]struct {
		answer string
		again  bool
	}{
		"length":            {"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"openid\":\"o1\"}", true},
		"chunks":            {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{\"openid\"\r\n6\r\n:\"o1\"}\r\n0\r\nX-Trailer: 1\r\n\r\n", true},
		"hints before":      {"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"openid\":\"o1\"}", true},
		"connection: close": {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 15\r\n\r\n{\"openid\":\"o1\"}", false},
		"HTTP/1.0":          {"HTTP/1.0 200 OK\r\nContent-Length: 15\r\n\r\n{\"openid\":\"o1\"}", false},
		"more behind":       {"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"openid\":\"o1\"}HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"openid\":\"o2\"}", false},
		"until the end":     {"HTTP/1.1 200 OK\r\n\r\n{\"openid\":\"o1\"}", false},
	} {
		t.Run(name, func(t *testing.T) {
			var opened atomic.Int64
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					opened.Add(1)
					go func() {
						defer c.Close()
						var b [4 << 10]byte
						for {
							if _, err := c.Read(b[:]); err != nil {
								return
							}
							io.WriteString(c, row.answer)
							if name == "until the end" {
								return
							}
						}
					}()
				}
			}()
			c := New(Config{BaseURL: "http://" + l.Addr().String()})
			for range 3 {
				s, err := c.Code2Session(context.Background(), testApp, "code")
				if err != nil || s.OpenID != "o1" {
					t.Fatalf("%+v, %v, want o1", s, err)
				}
			}
			want := int64(3)
			if row.again {
				want = 1
			}
			if got := opened.Load(); got != want {
				t.Errorf("%d connections for 3 calls, want %d", got, want)
			}
		})
	}
}

// A connection that WeChat closed meanwhile is not used: the call would fail,
// and is not made again.
func TestClosedConnectionIsNotUsed(t *testing.T) {
	srv, opened, closed := counted(t, time.Millisecond)
	c := New(Config{BaseURL: srv.URL})
	for i := range int64(3) {
		if err := login(c); err != nil {
			t.Errorf("call %d: %v", i+1, err)
		}
		eventually(t, "the server has closed it", func() bool { return closed.Load() == i+1 })
	}
	if got := opened.Load(); got != 3 {
		t.Errorf("%d connections, want 3", got)
	}
}

// Nothing stays open behind the last call.
func TestIdleConnectionsAreClosed(t *testing.T) {
	srv, opened, closed := counted(t, 0)
	c := New(Config{BaseURL: srv.URL})
	c.http = &conns{keep: 20 * time.Millisecond}
	done := make(chan error)
	for range 8 {
		go func() { done <- login(c) }()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	eventually(t, "all closed", func() bool { return opened.Load() > 0 && closed.Load() == opened.Load() })
}

// A certificate of nobody whom the system trusts is refused before anything is
// sent.
func TestCertificateIsChecked(t *testing.T) {
	var requests atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	err := login(New(Config{BaseURL: srv.URL}))
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) || requests.Load() != 0 {
		t.Errorf("%v after %d requests, want an unknown authority and none", err, requests.Load())
	}
}

// TLS carries the same calls, again on one connection.
func TestTLS(t *testing.T) {
	var opened atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"openid":"o%d"}`, r.TLS.Version)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	c := New(Config{BaseURL: srv.URL})
	c.http = &conns{keep: time.Minute, roots: roots}
	for range 3 {
		s, err := c.Code2Session(context.Background(), testApp, "code")
		if want := fmt.Sprint("o", tls.VersionTLS13); err != nil || s.OpenID != want {
			t.Errorf("%+v, %v, want %s", s, err, want)
		}
	}
	if got := opened.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

// A header without end is not read to the end.
func TestEndlessHeader(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for err == nil {
			_, err = io.WriteString(c, "X-Header: "+strings.Repeat("x", 1000)+"\r\n")
		}
	}()
	if err := login(New(Config{BaseURL: "http://" + l.Addr().String(), Timeout: time.Minute})); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v, want an end at 64 KiB", err)
	}
}
