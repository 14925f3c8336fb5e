//go:build linux

package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/audit"
	"app2wxapp/store/postgres"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/storetest"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

var (
	ctx = context.Background()
	t0  = storetest.T0
)

func config(url string) postgres.Config {
	return postgres.Config{URL: url, Key: [32]byte{1}, Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry()}
}

// patient is for a machine that is busy with other things, or stops us for a
// while.
const patient = "&statement_timeout=600000&connect_timeout=600"

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// open opens the store at url until the test ends.
func open(t testing.TB, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(config(url + patient))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, s.Close()) })
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func second[T any](_ T, err error) error { return err }

// seed makes pool p and user u.
func seed(t testing.TB, s *postgres.Store) {
	t.Helper()
	check(t, s.CreatePool(ctx, storetest.Pool("p"), audit.Event{}))
	check(t, s.CreateUser(ctx, userpool.User{PoolID: "p", ID: "u", SignedUp: t0, UpdatedAt: t0}))
}

// newTicket is the n-th ticket of the user, issued at t0 for two minutes.
func newTicket(user string, n int) ticket.Ticket {
	return ticket.Ticket{Key: storetest.Key(t0, n), PoolID: "p", UserID: user, AppID: "wx1", ExpiresAt: t0.Add(120 * time.Second)}
}

func issue(t testing.TB, s *postgres.Store, user string, n int) ticket.Ticket {
	t.Helper()
	tk := newTicket(user, n)
	check(t, s.CreateTicket(ctx, tk, t0))
	return tk
}

func attempt(tk ticket.Ticket, jti string) ticket.Redemption {
	now := t0.Add(time.Second)
	return ticket.Redemption{
		PoolID: "p", Key: tk.Key, Addr: netip.MustParseAddr("203.0.113.7"), Now: now,
		JTI: jti, TokenExpiresAt: now.Truncate(time.Second).Add(time.Hour), RevokeOnReplay: true,
	}
}

// eventually waits until ok is true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within two minutes: %s", what)
		}
	}
}

// together runs do n times at once.
func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-gate; do(i) })
	}
	close(gate)
	wg.Wait()
}

// lines is a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func name(i int) string { return fmt.Sprint("u", i) }
