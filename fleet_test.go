//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/ticket/history"
)

// fleetLoad is callers of several replicas, and what they were answered.
type fleetLoad struct {
	*history.Recorder
	t            *testing.T
	login        func(user string) string // a code of the user
	pool, secret string
	client       *http.Client
	urls         []string
	strict       bool // every request must be answered

	answered atomic.Int64
	ended    chan struct{}
	wg       sync.WaitGroup
	// What the callers proved when they were done with each ticket.
	spent, live atomic.Int64
	// What askAgain proved at the end of all.
	stillSpent, stillLive atomic.Int64

	mu   sync.Mutex
	held []*ticketHeld // every ticket that was answered
}

// newFleetLoad makes a pool at the first replica.
func newFleetLoad(t *testing.T, r []*replica) *fleetLoad {
	t.Helper()
	l := &fleetLoad{Recorder: history.NewRecorder(), t: t, ended: make(chan struct{}),
		login:  func(user string) string { return r[0].wechat.LoginCode(testAppID, user) },
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512}}}
	l.pool, l.secret = r[0].newPool(`"ticketTTL":600`)
	for _, one := range r {
		l.urls = append(l.urls, one.url)
	}
	t.Cleanup(l.client.CloseIdleConnections)
	return l
}

// ticketHeld is a ticket and what callers have learned of it.
type ticketHeld struct {
	text, user string
	ends       int64 // in milliseconds since 1970
	token      atomic.Pointer[string]
	tried      atomic.Bool // somebody asked to redeem it
	redeemed   atomic.Bool // somebody was told so
}

// start lets so many groups of callers begin. Each signs users in, redeems
// their tickets from several sides at once, and sees that what was answered is
// true.
func (l *fleetLoad) start(groups int) {
	for g := range groups {
		l.wg.Go(func() {
			for n := 0; !l.over(); n++ {
				l.oneUser(g, n)
			}
		})
	}
}

func (l *fleetLoad) over() bool {
	select {
	case <-l.ended:
		return true
	default:
		return l.t.Failed()
	}
}

// stop ends the callers after what they are about.
func (l *fleetLoad) stop() {
	close(l.ended)
	l.wg.Wait()
}

// await returns when callers have been answered so many more times.
func (l *fleetLoad) await(more int) {
	l.t.Helper()
	want := l.answered.Load() + int64(more)
	for end := time.Now().Add(2 * time.Minute); l.answered.Load() < want && !l.t.Failed(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatal("nobody is answered any more")
		}
	}
	if l.t.Failed() {
		l.t.FailNow()
	}
}

func (l *fleetLoad) report(what string) {
	l.t.Helper()
	if err := l.Check(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Logf("%s: %d operations, %d answered with the user, %d refused, %d tokens valid, %d invalid, %d unknown; %d answered redemptions were spent, %d tickets that nobody had redeemed were live; in the end %d were spent still, and %d live",
		what, l.Len(), l.Count(history.OK), l.Count(history.Refused), l.Count(history.Valid), l.Count(history.Invalid), l.Count(history.Unknown), l.spent.Load(), l.live.Load(), l.stillSpent.Load(), l.stillLive.Load())
	for _, r := range []history.Result{history.OK, history.Refused, history.Valid, history.Invalid} {
		if l.Count(r) == 0 {
			l.t.Errorf("no operation was answered %q: the load proves less than it should", r)
		}
	}
	if l.spent.Load() == 0 || l.live.Load() == 0 || l.stillSpent.Load() == 0 || l.stillLive.Load() == 0 {
		l.t.Error("the load proved nothing")
	}
}

func (l *fleetLoad) wantUnknown() {
	l.t.Helper()
	if l.Count(history.Unknown) == 0 {
		l.t.Error("every request was answered: the load did not notice")
	}
}

// oneUser takes three tickets; four callers redeem two of them as they like and
// look at the tokens. Then those that were redeemed must be spent, and the third
// must be live: every second user's is left for askAgain.
func (l *fleetLoad) oneUser(group, n int) {
	const callers, each = 4, 5
	user := fmt.Sprintf("g%d-u%d", group, n)
	var own [3]*ticketHeld
	for i := range own {
		if own[i] = l.issue(group*callers, user); own[i] == nil {
			return
		}
		l.mu.Lock()
		l.held = append(l.held, own[i])
		l.mu.Unlock()
	}
	var wg sync.WaitGroup
	for c := range callers {
		client := group*callers + c
		wg.Go(func() {
			for range each {
				held := own[rand.IntN(2)]
				if rand.IntN(4) == 0 {
					l.checkToken(client, held)
				} else {
					l.redeem(client, held, []string{"", "k1", "k2"}[rand.IntN(3)], l.url())
				}
			}
		})
	}
	wg.Wait()
	for i, held := range own {
		if i == 2 && n%2 == 0 {
			// Of an attempt without an answer nobody knows; the key settles it.
			if l.settle(group*callers, held, "settle") != history.OK && !l.t.Failed() {
				l.t.Error("a ticket that was answered and never redeemed does not work")
			}
			l.live.Add(1)
		}
		if held.redeemed.Load() {
			if l.settle(group*callers, held, "") != history.Refused && !l.t.Failed() {
				l.t.Error("a redemption that was answered is not spent")
			}
			l.spent.Add(1)
		}
	}
}

// askAgain redeems every ticket that was answered once more, when all runs again
// after whatever befell it: those that were redeemed must be spent still, and
// those that nobody tried to redeem must be good, once.
func (l *fleetLoad) askAgain() {
	l.t.Helper()
	var next atomic.Int64
	var lanes sync.WaitGroup
	for lane := range 8 {
		lanes.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(l.held) && !l.t.Failed(); i = int(next.Add(1)) - 1 {
				held := l.held[i]
				redeemed, tried := held.redeemed.Load(), held.tried.Load()
				if !redeemed {
					// Of a ticket that ended meanwhile, or whose attempts had no
					// answer, the history tells.
					got := l.settle(lane, held, "again")
					switch good := got == history.OK; {
					case !tried && !good && now().UnixMilli() < held.ends && !l.t.Failed():
						l.t.Error("a ticket that was answered and left alone does not work in the end")
					case !tried && good:
						l.stillLive.Add(1)
					}
				}
				if l.settle(lane, held, "") != history.Refused && !l.t.Failed() {
					l.t.Errorf("a ticket is not spent in the end; redeemed before: %v", redeemed)
				} else if redeemed {
					l.stillSpent.Add(1)
				}
			}
		})
	}
	lanes.Wait()
}

// settle redeems until it is answered.
func (l *fleetLoad) settle(client int, held *ticketHeld, key string) history.Result {
	for {
		if out := l.redeem(client, held, key, l.url()); out.Result != history.Unknown || l.t.Failed() {
			return out.Result
		}
	}
}

// issue signs the user in until there is a ticket. Tickets of which nobody was
// told are forgotten. It returns nil when the test is over.
func (l *fleetLoad) issue(client int, user string) *ticketHeld {
	for !l.over() {
		held := &ticketHeld{user: user}
		l.Do(client, history.Op{Verb: history.Issue, User: user, From: now().UnixMilli()}, func(op *history.Op) history.Out {
			status, body := l.post(l.url()+"/oauth/app2wxapp/ticket/"+l.pool, fmt.Sprintf(`{"code":%q}`, l.login(user)), "")
			op.To = now().UnixMilli()
			if !l.known(status, body, http.StatusOK) {
				return history.Out{}
			}
			var got struct{ Ticket, ExpiresAt string }
			ends := l.decode(body, &got, &got.ExpiresAt)
			held.text, held.ends = got.Ticket, ends
			return history.Out{Result: history.OK, Ticket: got.Ticket, At: ends - 600_000, Ends: ends}
		})
		if held.text != "" {
			return held
		}
	}
	return nil
}

func (l *fleetLoad) redeem(client int, held *ticketHeld, key, url string) (out history.Out) {
	held.tried.Store(true)
	op := history.Op{Verb: history.Redeem, User: held.user, Ticket: held.text, Key: key, From: now().UnixMilli()}
	return l.Do(client, op, func(op *history.Op) history.Out {
		status, body := l.post(url+"/oauth/app2wxapp/auth/"+l.pool, fmt.Sprintf(`{"ticket":%q,"secret":%q}`, held.text, l.secret), key)
		op.To = now().UnixMilli()
		switch {
		case !l.known(status, body, http.StatusOK, http.StatusBadRequest):
			return history.Out{}
		case status == http.StatusBadRequest:
			return history.Out{Result: history.Refused}
		}
		var u struct {
			Token, LastLogin string
			LoginsCount      uint64
		}
		at := l.decode(body, &u, &u.LastLogin)
		held.token.Store(&u.Token)
		held.redeemed.Store(true)
		return history.Out{Result: history.OK, Token: u.Token, Count: u.LoginsCount, At: at}
	})
}

func (l *fleetLoad) checkToken(client int, held *ticketHeld) {
	token := held.token.Load()
	if token == nil {
		return // nobody has it yet
	}
	op := history.Op{Verb: history.CheckToken, User: held.user, Ticket: held.text, From: now().UnixMilli()}
	l.Do(client, op, func(op *history.Op) history.Out {
		status, body := l.do(http.MethodGet, l.url()+"/authing/token?access_token="+*token, "", "")
		op.To = now().UnixMilli()
		var got struct{ Code int }
		switch {
		case !l.known(status, body, http.StatusOK):
			return history.Out{}
		case json.Unmarshal([]byte(body), &got) == nil && got.Code == 200:
			return history.Out{Result: history.Valid}
		case got.Code == 2207:
			return history.Out{Result: history.Invalid}
		}
		l.t.Errorf("check of a token: %s", body)
		return history.Out{}
	})
}

// known tells whether the outcome of a request is known: it was answered as one
// of those that may be. Else it waits until a replica is ready.
func (l *fleetLoad) known(status int, body string, may ...int) bool {
	switch {
	case slices.Contains(may, status):
		l.answered.Add(1)
		return true
	case status != 0 && status != http.StatusServiceUnavailable:
		l.t.Errorf("an answer that no operation has: %d %s", status, body)
	case l.strict:
		l.t.Errorf("a request failed: %d %s", status, body)
	}
	someReady := func() bool {
		return slices.ContainsFunc(l.urls, func(url string) bool { return ready(l.client, url) })
	}
	for end := time.Now().Add(2 * time.Minute); !someReady(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Error("no replica is ready again")
			break
		}
	}
	return false
}

// url is that of a replica.
func (l *fleetLoad) url() string { return l.urls[rand.IntN(len(l.urls))] }

func ready(client *http.Client, url string) bool {
	res, err := client.Get(url + "/readyz")
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// decode decodes an answer and returns one of its times in milliseconds.
func (l *fleetLoad) decode(body string, to any, stamp *string) int64 {
	if err := json.Unmarshal([]byte(body), to); err != nil {
		l.t.Error(err)
	}
	at, err := time.Parse(time.RFC3339Nano, *stamp)
	if err != nil {
		l.t.Error(err)
	}
	return at.UnixMilli()
}

func (l *fleetLoad) post(url, body, key string) (status int, answer string) {
	return l.do(http.MethodPost, url, body, key)
}

// do makes a request; status 0 is none that was answered in full.
func (l *fleetLoad) do(method, url, body, key string) (status int, answer string) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		l.t.Error(err)
		return 0, ""
	}
	req.GetBody = nil // nothing is sent a second time unseen
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := l.client.Do(req)
	if err != nil {
		return 0, errors.Unwrap(err).Error() // without the URL, which may have a token in it
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != "1" {
		l.t.Errorf("503 with Retry-After %q, want 1", res.Header.Get("Retry-After"))
	}
	return res.StatusCode, string(b)
}
