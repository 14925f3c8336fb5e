package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/audit"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

var overFor = flag.Duration("overload.for", time.Second, "how long TestOverload and TestOverloadOfStore ask for too much")

// Three times what the server can do: it sheds with 503 and Retry-After, goes on
// serving, is as before afterwards, and every ticket was good exactly once.
// That it sheds at once is bridge's TestShed: here the requests wait for the
// processor, which server and test share.
func TestOverload(t *testing.T) {
	const few, many, fewTickets = 64, 3000, 1500
	p := newProgram(t)
	p.start()
	pool, secret := p.newPool()
	prepare := func(tickets int) []string {
		t.Helper()
		if err := p.stop(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		defer p.start()
		return p.prepare(pool, tickets, tickets/4)
	}
	all := prepare(2 * fewTickets)
	o := p.overload(pool, secret)
	before := o.redeem(all[:fewTickets], few, 0, time.Minute)
	t.Logf("%d connections in turn: %v", few, before)
	if before.ok != fewTickets {
		t.Fatalf("%d tickets on %d connections: %v, want all of them 200", fewTickets, few, before)
	}
	supply := prepare(many + int(3*before.rate*overFor.Seconds())) // as many as are asked for
	o = p.overload(pool, secret)
	over := o.redeem(supply, many, 3*before.rate, *overFor)
	t.Logf("three times as many:    %v", over)
	o.wantShed(over)
	// A queue without bounds would let the last wait for all before it.
	if q := quantile(over.okTook, .99); q > 10*time.Second {
		t.Errorf("200 took p99 %v, want at most 10 s", q)
	}
	after := o.redeem(all[fewTickets:2*fewTickets], few, 0, time.Minute)
	t.Logf("in turn afterwards:     %v", after)
	if after.ok != fewTickets {
		t.Errorf("%d tickets on %d connections afterwards: %v, want all of them 200", fewTickets, few, after)
	}
	o.wantSpent(over, few)
}

// Three times what the server can do, where it is PostgreSQL that is slow: there
// is processor enough to ask for exactly that, and to refuse at once. As many as
// before are answered 200 meanwhile, and hardly later.
func TestOverloadOfStore(t *testing.T) {
	const busy, many, each = 500, 2000, 1500 // busy fit inside
	const slow = 600 * time.Millisecond
	url := pgtest.NewOn(t, pgtest.Start(t).URL("postgres"))
	p := newProgramOnFile(t).onPostgres(url)
	p.start()
	pool, secret := p.newPool()
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	perSecond := busy / slow.Seconds()
	tickets := 2*each + many + int(2*perSecond*overFor.Seconds())
	all := p.prepare(pool, tickets, tickets)
	pgtest.Exec(t, url, fmt.Sprintf(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(%f); RETURN NULL; END $$`, slow.Seconds()))
	pgtest.Exec(t, url, `CREATE TRIGGER slow BEFORE UPDATE ON access FOR EACH STATEMENT EXECUTE FUNCTION slow()`)
	p.start()
	o := p.overload(pool, secret)

	before := o.redeem(all[:each], busy, 0, time.Minute)
	t.Logf("%d connections in turn: %v", busy, before)
	if before.ok != each || before.rate > 1.1*perSecond {
		t.Fatalf("%d tickets on %d connections: %v, want all of them 200, at %.0f/s at most", each, busy, before, perSecond)
	}
	over := o.redeem(all[2*each:], many, 3*before.rate, *overFor)
	t.Logf("three times as many:     %v", over)
	o.wantShed(over)
	if len(over.refused) == 0 {
		t.Error("no ticket's last answer was 503")
	}
	if over.rate < 2.5*before.rate {
		t.Errorf("asked at %.0f/s, want three times %.0f/s", over.rate, before.rate)
	}
	if q := quantile(over.okTook, .99); q > 5*slow {
		t.Errorf("200 took p99 %v, want at most %v", q, 5*slow)
	}
	if q := quantile(over.shedTook, .5); q > slow/2 {
		t.Errorf("503 took p50 %v, want them at once", q)
	}
	if over.ok < int(0.6*before.rate*overFor.Seconds()) {
		t.Errorf("%d were answered 200 in %v, at %.0f/s before", over.ok, *overFor, before.rate)
	}
	after := o.redeem(all[each:2*each], busy, 0, time.Minute)
	t.Logf("in turn afterwards:      %v", after)
	if after.ok != each {
		t.Errorf("%d tickets on %d connections afterwards: %v, want all of them 200", each, busy, after)
	}
	o.wantSpent(over, busy)
}

// wantShed fails unless some were served and all others told to come again.
func (o *overload) wantShed(over outcome) {
	o.p.t.Helper()
	if over.ok+over.shed != over.asked || over.ok == 0 {
		o.p.t.Errorf("under overload %v, want all of them 200 or 503", over)
	}
	if over.mute > 0 {
		o.p.t.Errorf("%d answers 503 without Retry-After: 1", over.mute)
	}
}

// wantSpent fails unless what was refused was not used up, and what was redeemed
// was.
func (o *overload) wantSpent(over outcome, connections int) {
	o.p.t.Helper()
	if r := o.redeem(over.refused, connections, 0, time.Minute); r.ok != len(over.refused) {
		o.p.t.Errorf("%d tickets that were answered 503, afterwards: %v, want all of them 200", len(over.refused), r)
	}
	again := over.redeemed[:min(len(over.redeemed), 300)]
	if r := o.redeem(again, connections, 0, time.Minute); r.ok+r.shed > 0 || r.asked != len(again) {
		o.p.t.Errorf("%d redeemed tickets again: %v, want all of them refused", len(again), r)
	}
}

// overload is connections that redeem. It asks as little of the processor as it
// can, which the server needs.
type overload struct {
	p          *program
	head, tail string // of a request, around the ticket
	lanes      []*lane
}

// lane is a connection that redeems one ticket after the other; what was
// answered 503 once more.
type lane struct {
	conn   net.Conn
	in     *bufio.Reader
	ticket string // not settled yet
	outcome
}

// outcome is what came of requests.
type outcome struct {
	asked, ok, shed   int
	mute              int // 503 without Retry-After: 1
	okTook, shedTook  []time.Duration
	redeemed, refused []string // tickets; the latter were never answered 200
	rate              float64  // of requests
}

func (o outcome) String() string {
	return fmt.Sprintf("%d at %.0f/s, %d answered 200 (p50 %v p99 %v), %d 503 (p50 %v p99 %v)", o.asked, o.rate,
		o.ok, quantile(o.okTook, .5), quantile(o.okTook, .99), o.shed, quantile(o.shedTook, .5), quantile(o.shedTook, .99))
}

func (o *outcome) add(more outcome) {
	o.asked, o.ok, o.shed, o.mute = o.asked+more.asked, o.ok+more.ok, o.shed+more.shed, o.mute+more.mute
	o.okTook, o.shedTook = append(o.okTook, more.okTook...), append(o.shedTook, more.shedTook...)
	o.redeemed = append(o.redeemed, more.redeemed...)
}

func (p *program) overload(pool, secret string) *overload {
	o := &overload{p: p, tail: fmt.Sprintf(`","secret":%q}`, secret)}
	o.head = fmt.Sprintf("POST /oauth/app2wxapp/auth/%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %%d\r\n\r\n{\"ticket\":\"", pool)
	return o
}

// redeem redeems on so many connections, rate requests a second whatever was
// answered; with 0 each connection waits for its answer only. It ends with the
// tickets, or when the time is over.
func (o *overload) redeem(tickets []string, connections int, rate float64, d time.Duration) outcome {
	var all outcome
	if len(tickets) == 0 {
		return all
	}
	for len(o.lanes) < connections { // not before: the server closes who says nothing for 5 s
		c := o.p.dial(o.p.public)
		o.lanes = append(o.lanes, &lane{conn: c, in: bufio.NewReader(c)})
	}
	head := fmt.Sprintf(o.head, len(`{"ticket":"`)+len(tickets[0])+len(o.tail))
	var next atomic.Int64
	var clients sync.WaitGroup
	start := time.Now()
	for i, l := range o.lanes[:connections] {
		l.ticket, l.outcome = "", outcome{}
		clients.Go(func() {
			for n := i; time.Since(start) < d; n += connections {
				if rate > 0 {
					due := time.Duration(float64(n) / rate * float64(time.Second))
					if due >= d {
						return
					}
					time.Sleep(time.Until(start.Add(due)))
				}
				if l.ticket == "" {
					k := next.Add(1) - 1
					if k >= int64(len(tickets)) {
						return
					}
					l.ticket = tickets[k]
				}
				l.ask(head + l.ticket + o.tail)
			}
		})
	}
	clients.Wait()
	asking := min(d, time.Since(start)) // the last answers come after the last question
	for _, l := range o.lanes[:connections] {
		all.add(l.outcome)
		if l.ticket != "" {
			all.refused = append(all.refused, l.ticket)
		}
	}
	all.rate = float64(all.asked) / asking.Seconds()
	return all
}

// ask sends the request and counts the answer.
func (l *lane) ask(request string) {
	start := time.Now()
	io.WriteString(l.conn, request)
	status, retry := l.answer()
	took := time.Since(start)
	l.asked++
	switch status {
	case http.StatusServiceUnavailable:
		l.shed, l.shedTook = l.shed+1, append(l.shedTook, took)
		if retry != "1" {
			l.mute++
		}
		return
	case http.StatusOK:
		l.ok, l.okTook = l.ok+1, append(l.okTook, took)
		l.redeemed = append(l.redeemed, l.ticket)
	}
	l.ticket = ""
}

// answer reads an answer as Go's server writes a short one; status 0 is none.
func (l *lane) answer() (status int, retryAfter string) {
	for length := 0; ; {
		line, err := l.in.ReadString('\n')
		if err != nil {
			return 0, ""
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "HTTP/1.1":
			status, _ = strconv.Atoi(value[:3])
		case "Content-Length:":
			length, _ = strconv.Atoi(value)
		case "Retry-After:":
			retryAfter = value
		case "":
			if _, err := l.in.Discard(length); err != nil {
				return 0, ""
			}
			return status, retryAfter
		}
	}
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
	cfg, _, err := parseConfig("", nil, p.env)
	if err != nil {
		p.t.Fatal(err)
	}
	reg, log, ctx := prometheus.NewRegistry(), slog.New(slog.DiscardHandler), context.Background()
	st, _, _, err := openStore(cfg, log, reg)
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

func (oneUser) Finish(context.Context, userpool.Pool, string, userpool.Proof) (userpool.User, userpool.Unfinished, error) {
	return userpool.User{}, userpool.Unfinished{}, errors.New("nobody finishes here")
}

func (oneUser) Authenticate(userpool.Pool, string) (bool, error) {
	return false, errors.New("nobody redeems here")
}
