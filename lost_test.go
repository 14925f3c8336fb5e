package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"app2wxapp/bridge/bridgetest"
)

// A redemption whose answer is lost, and a server that is then killed: with the
// Idempotency-Key the new process gives the answer that nobody got; without one
// it refuses.
func TestLostAnswerAcrossKill(t *testing.T) {
	p := newProgram(t)
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	on.Close()
	// The same port after the restart: it is in the tokens' issuer.
	p.env = append(p.env, "APP2WXAPP_LISTEN_PUBLIC="+on.Addr().String())
	p.start()
	pool, secret := p.newPool()
	cut := bridgetest.NewCut(t, p.public)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	// redeem returns status 0 if the answer got lost.
	redeem := func(ticket, key string) (int, string) {
		body := `{"ticket":"` + ticket + `","secret":"` + secret + `"}`
		req, err := http.NewRequest("POST", cut.URL+"/oauth/app2wxapp/auth/"+pool, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		res, err := client.Do(req)
		if err != nil {
			return 0, ""
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(answer)
	}
	with, without := p.issue(pool, "alice"), p.issue(pool, "bob")
	cut.Lose(2)
	for _, row := range [][2]string{{with, "k"}, {without, ""}} {
		if status, answer := redeem(row[0], row[1]); status != 0 {
			t.Fatalf("got %d %s, want the answer lost", status, answer)
		}
	}
	p.kill()
	p.start()
	status, answer := redeem(with, "k")
	if lost := cut.Lost()[0]; status != 200 || answer != lost {
		t.Errorf("with the key: %d\n%s\nwant 200 and what was lost\n%s", status, answer, lost)
	}
	if status, answer := redeem(without, ""); status != 400 || !strings.Contains(answer, "4001") {
		t.Errorf("without a key: %d %s, want 400 and 4001", status, answer)
	}
}
