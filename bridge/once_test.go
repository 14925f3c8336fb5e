package bridge_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"app2wxapp/bridge"
	"app2wxapp/bridge/bridgetest"
)

const (
	onceRounds        = 180 // straight into the handler: the callers are closest there
	onceRoundsNetwork = 20
	onceCallers       = 64
)

// Of any number of redemptions of one ticket at the same time exactly one
// succeeds.
func TestExactlyOnce(t *testing.T) {
	b := bridgetest.New(t, quiet)
	p := b.NewPool()
	network, handler := races(b, p)
	for round := range onceRoundsNetwork + onceRounds {
		race := handler
		if round < onceRoundsNetwork {
			race = network
		}
		body := object(member("ticket", b.Ticket(p, fmt.Sprint("user", round))), member("secret", p.Secret))
		if got := race.run(t, body, nil); got[200] != 1 || got[400] != onceCallers-1 {
			t.Fatalf("round %d: statuses %v, want one 200 and %d times 400", round, got, onceCallers-1)
		}
	}
	if got := login(b, p, "user0").LoginsCount; got != 2 {
		t.Errorf("loginsCount %d after a race and a login, want 2", got)
	}
}

// With one Idempotency-Key all of them get the one answer.
func TestExactlyOnceWithKey(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool()
	_, race := races(b, p)
	for round := range onceRounds / 10 {
		user := fmt.Sprint("user", round)
		body := object(member("ticket", b.Ticket(p, user)), member("secret", p.Secret))
		answers := map[string]bool{}
		var mu sync.Mutex
		got := race.run(t, body, func(answer string) {
			mu.Lock()
			defer mu.Unlock()
			answers[answer] = true
		}, "Idempotency-Key", "one")
		if got[200] != onceCallers || len(answers) != 1 {
			t.Fatalf("round %d: statuses %v, %d different answers; want %d times the same 200", round, got, len(answers), onceCallers)
		}
		if n := login(b, p, user).LoginsCount; n != 2 {
			t.Fatalf("round %d: loginsCount %d after a race and a login, want 2", round, n)
		}
	}
}

// A ticket is redeemed or voided, never both and never neither.
func TestRedeemAgainstSignOut(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool()
	for range onceRounds / 10 {
		b.Clock.Turn(6 * time.Second) // 20 issues a minute are a user's
		u := login(b, p, "alice")
		ticket := b.Ticket(p, "alice")
		var redeem, out bridgetest.Response
		var wg sync.WaitGroup
		wg.Go(func() { redeem = b.Redeem(p, ticket) })
		wg.Go(func() { out = b.Admin("POST", "/admin/v1/pools/"+p.ID+"/users/"+u.ID+"/revoke", "") })
		wg.Wait()
		out.Want(200)
		if redeem.Status == 200 {
			var got redeemed
			redeem.Decode(&got)
			wantToken(t, b, got.Token, 2207) // signed out, whichever came first
		}
		wantInvalid(b.Redeem(p, ticket))
	}
}

// quiet drops the log: thousands of replays are thousands of lines.
func quiet(c *bridge.Config) { c.Log = slog.New(slog.DiscardHandler) }

// race is callers who start together.
type race struct {
	url       string
	transport http.RoundTripper
}

// races returns one over the network, a connection for each caller, and one
// that calls the handler.
func races(b *bridgetest.Bridge, p bridgetest.Pool) (network, handler race) {
	network = race{b.URL + redeemPath(p), &http.Transport{MaxIdleConnsPerHost: onceCallers}}
	handler = race{network.url, direct{b.Server.Public()}}
	return network, handler
}

// direct is a transport into a handler.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	r.RemoteAddr = "127.0.0.1:1"
	answer := httptest.NewRecorder()
	d.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// run posts the body from every caller at once and returns how often each
// status came back.
func (r race) run(t *testing.T, body string, each func(answer string), header ...string) map[int]int {
	t.Helper()
	statuses := map[int]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range onceCallers {
		wg.Go(func() {
			req, err := http.NewRequest("POST", r.url, bytes.NewReader([]byte(body)))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", "application/json")
			for i := 0; i+1 < len(header); i += 2 {
				req.Header.Set(header[i], header[i+1])
			}
			<-start
			res, err := r.transport.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			answer, err := io.ReadAll(res.Body)
			if err != nil {
				t.Error(err)
				return
			}
			if each != nil {
				each(string(answer))
			}
			mu.Lock()
			defer mu.Unlock()
			statuses[res.StatusCode]++
		})
	}
	close(start)
	wg.Wait()
	return statuses
}
