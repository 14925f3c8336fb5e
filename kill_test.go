package main

import (
	"flag"
	"fmt"
	"net/http"
	"sync"
	"testing"
)

var killRounds = flag.Int("kill.rounds", 4, "rounds of TestKill")

// A server that is killed under load, again and again, forgets nothing that it
// answered: a redemption answered 200 is spent, and a ticket that was answered
// and not redeemed works.
func TestKill(t *testing.T) {
	const clients = 16
	p := newProgram(t)
	p.start()
	pool, secret := p.newPool()
	redeemed, unredeemed := 0, 0
	for round := range *killRounds {
		load := make([]clientLoad, clients)
		begun := make(chan struct{}, clients*1000)
		var wg sync.WaitGroup
		for i := range load {
			wg.Go(func() { load[i].run(p, pool, secret, fmt.Sprintf("r%d-c%d", round, i), begun) })
		}
		gone := make(chan struct{})
		go func() {
			wg.Wait()
			close(gone)
		}()
		for range clients * (2 + round%7) { // kill at another moment each time
			select {
			case <-begun:
			case <-gone:
				t.Fatalf("round %d: every client was refused before the kill", round)
			}
		}
		p.kill()
		<-gone
		p.start()
		for _, l := range load {
			for _, ticket := range l.redeemed {
				if status, body, err := p.redeem(pool, secret, ticket); status != http.StatusBadRequest || err != nil {
					t.Fatalf("round %d: a redeemed ticket again: %d %s %v, want 400", round, status, body, err)
				}
			}
			for _, ticket := range l.unredeemed {
				if status, body, err := p.redeem(pool, secret, ticket); status != http.StatusOK || err != nil {
					t.Fatalf("round %d: a live ticket: %d %s %v, want 200", round, status, body, err)
				}
			}
			redeemed, unredeemed = redeemed+len(l.redeemed), unredeemed+len(l.unredeemed)
		}
	}
	t.Logf("%d rounds: %d answered redemptions stayed spent, %d answered tickets stayed live", *killRounds, redeemed, unredeemed)
	if redeemed == 0 || unredeemed == 0 {
		t.Error("the load proved nothing")
	}
}

// clientLoad is one client and what it was answered.
type clientLoad struct {
	redeemed, unredeemed []string
}

// run signs users in, and redeems every second ticket, until the server is gone.
func (l *clientLoad) run(p *program, pool, secret, name string, begun chan<- struct{}) {
	for i := 0; ; i++ {
		ticket := p.issue(pool, fmt.Sprintf("%s-%d", name, i))
		if ticket == "" {
			return
		}
		select {
		case begun <- struct{}{}:
		default:
		}
		if i%2 == 0 {
			l.unredeemed = append(l.unredeemed, ticket)
			continue
		}
		// After this the ticket's fate is unknown, unless it is answered.
		status, _, err := p.redeem(pool, secret, ticket)
		if err != nil {
			return
		}
		if status == http.StatusOK {
			l.redeemed = append(l.redeemed, ticket)
		}
	}
}
