//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"app2wxapp/store"
	"app2wxapp/userpool"
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
	c := config{
		dir: t.TempDir(), seeded: filepath.Join(t.TempDir(), "seed.db"), what: []string{"redeem", "issue", "casdoor", "growth"}, alg: "ES256",
		connections: []int{1, 8, 64}, users: 30, requests: 100, rounds: 1, logins: 800, rate: 1,
	}
	rows := []string{
		"| H | 1 |", "| redeem | 1 |", "| redeem | 8 |", "| issue | 1 |", "| issue | 8 |", "| casdoor | 1 |", "| casdoor | 8 |",
		"| redeem, 30 users, c=1, p50 |", "| redeem, 30 users, c=64, p99 |", "| redeem, 30 users, c=64, memory |",
		"tickets kept at the end: 720, of 12m0s: 720", "| store file after 800 logins of 30 users |",
	}
	if _, err := exec.LookPath("redis-server"); err == nil {
		c.what = append(c.what, "redis")
		rows = append(rows, "| redeem against echo + Redis, c=64 |", "| redeem against echo + Redis, helped, Lua, c=64 |")
	}
	var out bytes.Buffer
	err := run(c, &out)
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if !strings.Contains(out.String(), row) {
			t.Errorf("the report has no %q", row)
		}
	}
}

// A seed made of several files has every user under every key, and is kept.
func TestSeed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seed.db")
	const users = 50
	s, err := makeSeed(path, users, 8)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := openStore(path, now, func(st store.Store) error {
		if _, err := st.Pool(ctx, s.PoolID); err != nil {
			return err
		}
		for i := range users {
			want := user(s.PoolID, i)
			m, err := st.FindUsers(ctx, s.PoolID, userpool.Keys{UnionID: want.UnionID, Identity: want.Identities[0], Phone: want.Phone})
			if err != nil {
				return err
			}
			if m.ByUnionID == nil || m.ByIdentity == nil || len(m.ByPhone) != 1 {
				t.Fatalf("user %d: found %+v, want the user under each key", i, m)
			}
			if got := m.ByUnionID; !reflect.DeepEqual(*got, want) || m.ByIdentity.ID != want.ID || m.ByPhone[0].ID != want.ID {
				t.Errorf("user %d: found %+v, want %+v", i, m, want)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if again, err := seedStore(path, users, io.Discard); err != nil || again != s {
		t.Errorf("once more: %+v %v, want %+v", again, err, s)
	}
	if _, err := seedStore(path, users+1, io.Discard); err == nil || !strings.Contains(err.Error(), "-users 50") {
		t.Errorf("with another number of users: %v", err)
	}
}

// Half a seed is not taken for one.
func TestHalfSeed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seed.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := seedStore(path, 10, io.Discard); err == nil {
		t.Error("a file without its .json was taken")
	}
}

// What is met, and which floor is the run's.
func TestRows(t *testing.T) {
	r := newReport(1_000_000)
	r.commit = []time.Duration{time.Millisecond}
	r.add("H", 64, figures{rate: 1000, p99: 10 * time.Millisecond})
	r.add("redeem", 64, figures{rate: 300, ratio: .3, p99: 17 * time.Millisecond, rest: 9, peak: 129})
	r.add("echo + Redis", 64, figures{rate: 200, ratio: .2})
	var out bytes.Buffer
	printRows(&out, r.rows()...)
	for _, row := range []string{
		"| redeem, 1000000 users, c=64 | 0.30 × H | 0.20 × H | met | 0.35 × H | not met |",
		"| redeem, 1000000 users, c=64, p99 | 17.00 ms | 17.00 ms | met | 11.00 ms | not met |",
		"| redeem, 1000000 users, c=64, memory | 129.0 MiB | 128.0 MiB | not met | 64.0 MiB | not met |",
		"| redeem against echo + Redis, c=64 | 1.50 × | 1.30 × | met | 2.00 × | not met |",
	} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("no %q in\n%s", row, out.String())
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
	if _, err := fire(p.Public, 1, s, 2, func(i int, body []byte) { tickets[i] = textAfter(`"ticket":"`, body) }); err != nil {
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
