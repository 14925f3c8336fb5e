//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// TestMain lets this test be the server under test, as the bench is.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		exit(runChild(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// The whole bench in miniature, accounting and all.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	err := run(config{dir: t.TempDir(), what: []string{"redeem", "issue"}, connections: []int{1, 8}, users: 30, requests: 100, rounds: 1}, &out)
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{"| H | 1 |", "| redeem | 1 |", "| redeem | 8 |", "| issue | 1 |", "| issue | 8 |", "one connection:"} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("the report has no %q", row)
		}
	}
}

// A server that accepts everything must not pass.
func TestAccountingCatches(t *testing.T) {
	ticket := strings.Repeat("t", 51)
	p, err := start(order{Body: fmt.Appendf(nil, `{"ticket":%q}`, ticket)}) // whatever it is asked
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	s := newShots("/oauth/app2wxapp/auth/x", `{"ticket":"%s"}`, []string{ticket})
	if err := replay(p, s, "invalid_ticket"); err == nil || !strings.Contains(err.Error(), "200") {
		t.Errorf("a ticket accepted again: %v", err)
	}
	if err := race(p, s, racers); err == nil || !strings.Contains(err.Error(), "accepted 4 times") {
		t.Errorf("a ticket accepted on every connection: %v", err)
	}
	var tickets [2][]byte
	if _, err := fire(p.Public, 1, s, 2, func(i int, body []byte) { tickets[i] = ticketIn(body) }); err != nil {
		t.Fatal(err)
	}
	if err := distinct(tickets[:]); err == nil {
		t.Error("a ticket given twice was not noticed")
	}
}

// Answers come in pieces, and not every answer is one that the bench can read.
func TestReader(t *testing.T) {
	const head = "HTTP/1.1 400 Bad Request\r\nContent-Type: x\r\nContent-Length: 3\r\n\r\n"
	for _, r := range []struct {
		pieces []string
		ok     bool
	}{
		{[]string{head + "abc"}, true},
		{[]string{head, "abc"}, true},
		{[]string{head[:20], head[20:] + "a", "bc"}, true},
		{[]string{head + "ab"}, false},
		{[]string{head + "abcd"}, false},
		{[]string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"}, false},
		{[]string{strings.Repeat("x", 20<<10)}, false},
	} {
		client, server := net.Pipe()
		go func() {
			for _, piece := range r.pieces {
				server.Write([]byte(piece))
			}
			server.Close()
		}()
		status, body, err := (&reader{conn: client}).next()
		client.Close()
		switch {
		case r.ok && (status != 400 || string(body) != "abc" || err != nil):
			t.Errorf("%q: %d %q %v, want 400 abc", r.pieces, status, body, err)
		case !r.ok && err == nil:
			t.Errorf("%q: %d %q, want an error", r.pieces, status, body)
		}
	}
}
