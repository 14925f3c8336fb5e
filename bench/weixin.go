//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
)

// weixin serves a handler that answers at once over HTTP/1.1, with as little
// between it and the connection as the load generator has: what a simulated
// WeChat costs is taken from the servers that are measured.
type weixin struct {
	listener net.Listener
	handler  http.Handler
}

// listenWeixin serves the handler on loopback until close.
func listenWeixin(h http.Handler) (*weixin, error) {
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &weixin{on, h}
	go w.accept()
	return w, nil
}

func (w *weixin) url() string { return "http://" + w.listener.Addr().String() }

// close takes no more connections. Those that there are end with their clients.
func (w *weixin) close() error { return w.listener.Close() }

func (w *weixin) accept() {
	for {
		c, err := w.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_ = w.serve(c) // the client's errors tell what is wrong
		}()
	}
}

func (w *weixin) serve(c net.Conn) error {
	in, remote := bufio.NewReader(c), c.RemoteAddr().String()
	a := saying{header: http.Header{}}
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return err
		}
		r.RemoteAddr = remote
		a.reset()
		w.handler.ServeHTTP(&a, r)
		_, rest := io.Copy(io.Discard, r.Body)
		_, sent := c.Write(a.bytes())
		if err := errors.Join(rest, sent); err != nil {
			return err
		}
	}
}

// saying is an answer that is being made.
type saying struct {
	status int
	header http.Header
	body   bytes.Buffer
	out    bytes.Buffer
}

func (a *saying) reset() {
	a.status = http.StatusOK
	clear(a.header)
	a.body.Reset()
}

func (a *saying) Header() http.Header         { return a.header }
func (a *saying) WriteHeader(status int)      { a.status = status }
func (a *saying) Write(b []byte) (int, error) { return a.body.Write(b) }

// bytes returns the answer as it goes out, valid until the next one.
func (a *saying) bytes() []byte {
	a.out.Reset()
	a.out.WriteString("HTTP/1.1 " + strconv.Itoa(a.status) + " " + http.StatusText(a.status) + "\r\n")
	a.header.Set("Content-Length", strconv.Itoa(a.body.Len()))
	_ = a.header.Write(&a.out) // into memory
	a.out.WriteString("\r\n")
	a.body.WriteTo(&a.out)
	return a.out.Bytes()
}
