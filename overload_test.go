package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// Three times what the server can do: it sheds with 503 and Retry-After, goes on
// serving, is as before afterwards, and every ticket was good exactly once.
func TestOverload(t *testing.T) {
	const tickets, users, measured, overFor = 5000, 1250, 600, 1500 * time.Millisecond
	p := newProgram(t)
	p.start()
	pool, secret := p.newPool()
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	all := p.prepare(pool, tickets, users)
	p.start()

	// What it can do: few clients, one request after the other.
	var next atomic.Int64
	start := time.Now()
	var clients sync.WaitGroup
	for range 32 {
		clients.Go(func() {
			for n := next.Add(1); n <= measured; n = next.Add(1) {
				if status, body, err := p.redeem(pool, secret, all[n-1]); status != http.StatusOK || err != nil {
					t.Errorf("before the overload: %d %s %v, want 200", status, body, err)
				}
			}
		})
	}
	clients.Wait()
	rate := float64(measured) / time.Since(start).Seconds()

	// Three times that, whatever is still under way.
	last := min(tickets, measured+int(3*rate*overFor.Seconds()))
	o := overload{
		p: p, pool: pool, secret: secret, all: all[:last], statuses: make([]int, last), took: make([]time.Duration, last),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: tickets}},
	}
	defer o.client.CloseIdleConnections()
	start = time.Now()
	for n := measured; n < last; n++ {
		if due := start.Add(time.Duration(float64(n-measured) / (3 * rate) * float64(time.Second))); time.Until(due) > time.Millisecond {
			time.Sleep(time.Until(due))
		}
		clients.Go(func() { o.redeem(n) })
	}
	clients.Wait()
	asked, wall := last-measured, time.Since(start)
	ok, shed, none := o.count(http.StatusOK), o.count(http.StatusServiceUnavailable), o.count(0)-measured
	t.Logf("sustained %.0f/s with 32 clients; then %d at %.0f/s: %d answered 200, %d 503, %d not at all, in %v; 200: p50 %v p99 %v; 503: p50 %v p99 %v",
		rate, asked, 3*rate, ok, shed, none, wall.Round(time.Millisecond),
		o.quantile(http.StatusOK, .5), o.quantile(http.StatusOK, .99), o.quantile(http.StatusServiceUnavailable, .5), o.quantile(http.StatusServiceUnavailable, .99))
	if ok+shed != asked || ok == 0 {
		t.Errorf("%d were asked, %d answered 200, %d 503, %d not at all, want all of them 200 or 503", asked, ok, shed, none)
	}
	// A queue without bounds would let the last wait for all before it.
	if q := o.quantile(http.StatusOK, .99); shed == 0 && q > 5*time.Second {
		t.Errorf("nothing was shed, and 200 took p99 %v, want at most 5 s", q)
	}
	if o.badShed.Load() > 0 {
		t.Errorf("%d answers 503 without Retry-After: 1", o.badShed.Load())
	}

	// Normal again, and what was refused was not used up.
	for n := measured; n < last; n++ {
		if n%4 != 0 {
			continue // a share will do
		}
		want := http.StatusOK
		if o.statuses[n] == http.StatusOK {
			want = http.StatusBadRequest
		}
		clients.Go(func() {
			if status, body, err := p.redeem(pool, secret, all[n]); status != want || err != nil {
				t.Errorf("a ticket that was answered %d, afterwards: %d %s %v, want %d", o.statuses[n], status, body, err, want)
			}
		})
		if n%64 == 0 { // 16 at a time
			clients.Wait()
		}
	}
	clients.Wait()
}

// overload is redemptions and what they were answered.
type overload struct {
	p            *program
	pool, secret string
	client       *http.Client
	all          []string
	statuses     []int // 0: no answer
	took         []time.Duration
	badShed      atomic.Int64
}

func (o *overload) redeem(n int) {
	start := time.Now()
	body := fmt.Sprintf(`{"ticket":%q,"secret":%q}`, o.all[n], o.secret)
	res, err := o.client.Post(o.p.public+"/oauth/app2wxapp/auth/"+o.pool, "application/json", strings.NewReader(body))
	if err != nil {
		return
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return
	}
	o.statuses[n], o.took[n] = res.StatusCode, time.Since(start)
	if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != "1" {
		o.badShed.Add(1)
	}
}

func (o *overload) count(status int) (n int) {
	for i := range o.statuses {
		if o.statuses[i] == status {
			n++
		}
	}
	return n
}

func (o *overload) quantile(status int, q float64) time.Duration {
	var took []time.Duration
	for i, s := range o.statuses {
		if s == status {
			took = append(took, o.took[i])
		}
	}
	return quantile(took, q)
}

func quantile(took []time.Duration, q float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[int(q*float64(len(took)-1))].Round(100 * time.Microsecond)
}

// prepare puts tickets of so many users into the store of the stopped server.
func (p *program) prepare(pool string, tickets, users int) []string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.folder, "data", "encryption.key"))
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := decodeKey(strings.TrimSpace(string(text)))
	if err != nil {
		p.t.Fatal(err)
	}
	reg, log, ctx := prometheus.NewRegistry(), slog.New(slog.DiscardHandler), context.Background()
	st, err := store.Open(store.Config{URL: "bolt:" + filepath.Join(p.folder, "data", "app2wxapp.db"), Key: [32]byte(key), Log: log, Reg: reg})
	if err != nil {
		p.t.Fatal(err)
	}
	kept, err := st.Pool(ctx, pool)
	if err != nil {
		p.t.Fatal(err)
	}
	service := ticket.NewService(ticket.Config{Store: st, Pools: oneUser{}, Now: now, Log: log, Metrics: ticket.NewMetrics(reg), Audit: audit.NewTally()})
	all := make([]string, tickets)
	var workers sync.WaitGroup
	for w := range 64 {
		workers.Go(func() {
			for u := w; u < users; u += 64 {
				id := userpool.NewID(now())
				if err := st.CreateUser(ctx, userpool.User{PoolID: pool, ID: id, UnionID: "oU-" + id, SignedUp: now(), UpdatedAt: now()}); err != nil {
					p.t.Error(err)
				}
				for n := u; n < tickets; n += users {
					issued, err := service.Issue(ctx, kept, ticket.Request{Login: userpool.Login{Code: id}})
					if err != nil {
						p.t.Error(err)
					}
					all[n] = issued.Ticket
				}
			}
		})
	}
	workers.Wait()
	if err := st.Close(); err != nil {
		p.t.Fatal(err)
	}
	return all
}

// oneUser signs in whom the code names.
type oneUser struct{}

func (oneUser) SignIn(_ context.Context, pool userpool.Pool, l userpool.Login) (userpool.User, error) {
	return userpool.User{PoolID: pool.ID, ID: l.Code}, nil
}

func (oneUser) Authenticate(userpool.Pool, string) (bool, error) {
	return false, errors.New("nobody redeems here")
}
