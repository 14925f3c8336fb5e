package bridge_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"app2wxapp/bridge/bridgetest"
)

// once is a client that keeps no connection. Go repeats a request that has an
// Idempotency-Key by itself where a kept one breaks.
var once = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func postOnce(t *testing.T, url, body string, headers ...string) (status int, answer string) {
	t.Helper()
	return post(t, once, url, body, headers...)
}

// post posts a body and returns status 0 if the answer got lost.
func post(t *testing.T, client *http.Client, url, body string, headers ...string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	req.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, ""
	}
	return res.StatusCode, string(b)
}

// Who lost the answer and has an Idempotency-Key asks again and has it, as often
// as it takes, also when the program was started anew meanwhile. Who has none
// is refused, and as this looks like theft the token that was lost ends.
func TestLostAnswer(t *testing.T) {
	for _, row := range []struct {
		name    string
		lost    int // answers in a row
		restart bool
		format  string
	}{
		{"once", 1, false, "user"},
		{"three times", 3, false, "user"},
		{"once, and a restart", 1, true, "user"},
		{"in the envelope", 1, true, "envelope"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := bridgetest.New(t)
			cut := bridgetest.NewCut(t, b.URL)
			p := b.NewPool(member("responseFormat", row.format))
			url := cut.URL + redeemPath(p)
			lose := func(body string, headers ...string) {
				t.Helper()
				for range row.lost {
					cut.Lose(1)
					if status, answer := postOnce(t, url, body, headers...); status != 0 {
						t.Fatalf("got %d %s, want the answer lost", status, answer)
					}
					if row.restart {
						b.Restart()
					}
				}
			}

			with := object(member("ticket", b.Ticket(p, "alice")), member("secret", p.Secret))
			lose(with, key)
			status, first := postOnce(t, url, with, key)
			if status != 200 || !strings.Contains(first, "token") {
				t.Fatalf("with the key: %d %s, want 200 and a token", status, first)
			}
			if status, again := postOnce(t, url, with, key); status != 200 || again != first {
				t.Errorf("with the key once more: %d\n%s\nwant the same as\n%s", status, again, first)
			}
			u := answered(t, first)
			wantToken(t, b, u.Token, 200)
			if u.LoginsCount != 1 {
				t.Errorf("loginsCount %d, want 1", u.LoginsCount)
			}

			before := len(cut.Lost())
			without := object(member("ticket", b.Ticket(p, "alice")), member("secret", p.Secret))
			lose(without)
			status, answer := postOnce(t, url, without)
			if got := codeOf(t, answer); got != 4001 {
				t.Errorf("without a key: %d %s, want 4001", status, answer)
			}
			wantToken(t, b, answered(t, cut.Lost()[before]).Token, 2207)
			wantToken(t, b, u.Token, 200) // only that ticket's token
		})
	}
}
