//go:build linux

package main

import (
	"flag"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/ticket/history"
)

var (
	raceTickets     = flag.Int("race.tickets", 200, "tickets of TestReplicasRace, for two and for three replicas")
	replicaKills    = flag.Int("replica.kills", 4, "times that TestReplicasKilled kills a replica")
	postgresCrashes = flag.Int("postgres.crashes", 3, "crashes of PostgreSQL in TestPostgresCrashes")
	rollingRestarts = flag.Int("rolling.restarts", 1, "times that TestRollingRestart restarts every replica")
)

// replica is one of several servers on one PostgreSQL. It is always at the same
// addresses.
type replica struct {
	*program
	url, adminURL string
}

// newReplicas prepares servers on the database at storeURL, with one WeChat,
// and starts them.
func newReplicas(t *testing.T, storeURL string, n int, env ...string) (all []*replica) {
	t.Helper()
	first := newProgram(t)
	// What replicas must have in common: where the data are, and what opens
	// them; the operator's token; and whose tokens they are.
	first.env = append(first.env, "APP2WXAPP_STORE_URL="+storeURL, "APP2WXAPP_PUBLIC_URL=https://login.example.com",
		"APP2WXAPP_ENCRYPTION_KEY=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	first.env = append(first.env, env...)
	for i := range n {
		p := &program{t: t, folder: t.TempDir(), wechat: first.wechat}
		public, admin := freeAddr(t), freeAddr(t)
		p.env = append(slices.Clone(first.env), "APP2WXAPP_LISTEN_PUBLIC="+public, "APP2WXAPP_LISTEN_ADMIN="+admin)
		all = append(all, &replica{p, "http://" + public, "http://" + admin})
		t.Cleanup(func() {
			if p.cmd != nil {
				p.kill()
			}
		})
		all[i].start()
	}
	return all
}

func freeAddr(t *testing.T) string {
	t.Helper()
	port, err := pgtest.Port()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint("127.0.0.1:", port)
}

// Eight callers race for each ticket over all replicas: one of them wins.
func TestReplicasRace(t *testing.T) {
	const racers, atOnce = 8, 32
	for _, n := range []int{2, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newReplicas(t, pgtest.Start(t).URL("postgres"), n)
			l := newFleetLoad(t, r)
			start := time.Now()
			var next, won, refused atomic.Int64
			var lanes sync.WaitGroup
			for range atOnce {
				lanes.Go(func() {
					for i := int(next.Add(1)); i <= *raceTickets; i = int(next.Add(1)) {
						held := l.issue(i, fmt.Sprint("user-", i))
						if held == nil {
							t.Error("a ticket was not issued")
							return
						}
						var wins atomic.Int64
						var race sync.WaitGroup
						gate := make(chan struct{})
						for k := range racers {
							race.Go(func() {
								<-gate
								switch l.redeem(i*racers+k, held, "", l.urls[k%n]).Result {
								case history.OK:
									wins.Add(1)
								case history.Refused:
									refused.Add(1)
								}
							})
						}
						close(gate)
						race.Wait()
						if wins.Load() != 1 {
							t.Errorf("ticket %d: %d winners", i, wins.Load())
						}
						won.Add(wins.Load())
					}
				})
			}
			lanes.Wait()
			want := int64(*raceTickets)
			t.Logf("%d replicas, %d tickets × %d: %d wins, %d refused, in %v", n, want, racers, won.Load(), refused.Load(), time.Since(start))
			if won.Load() != want || refused.Load() != want*(racers-1) {
				t.Errorf("%d wins and %d refusals, want %d and %d", won.Load(), refused.Load(), want, want*(racers-1))
			}
			if err := l.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Who has used up at one replica the wrong secrets that are let pass finds them
// used up at the other, about a second later.
func TestLimitsOfReplicas(t *testing.T) {
	r := newReplicas(t, pgtest.NewOn(t, pgtest.Start(t).URL("postgres")), 2)
	pool, _ := r[0].newPool()
	limited := func(at *replica) bool {
		status, body, err := post(at.url+"/oauth/app2wxapp/auth/"+pool, `{"ticket":"x","secret":"wrong"}`)
		if err != nil || status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
			t.Fatalf("a wrong secret: %d %s %v", status, body, err)
		}
		return status == http.StatusTooManyRequests
	}
	here, there := 0, 0
	for ; !limited(r[0]); here++ {
		if here > 200 {
			t.Fatal("wrong secrets are let pass without end")
		}
	}
	for end := time.Now().Add(20 * time.Second); !limited(r[1]); there++ {
		if time.Now().After(end) {
			t.Fatalf("after %d wrong secrets at one replica the other lets %d pass", here, there)
		}
		time.Sleep(100 * time.Millisecond) // a process tells the others once a second
	}
	t.Logf("%d wrong secrets let pass at one replica, %d at the other", here, there)
	if there >= here {
		t.Errorf("as many again were let pass at the other replica: %d and %d", here, there)
	}
}

// A replica is killed under load, and another one, again and again: what was
// answered by any is true at all.
func TestReplicasKilled(t *testing.T) {
	r := newReplicas(t, pgtest.Start(t).URL("postgres"), 3)
	l := newFleetLoad(t, r)
	l.start(8)
	for n := range *replicaKills {
		l.await(100 + n%7*10) // another moment each time
		victim := r[n%len(r)]
		victim.kill()
		l.await(100)
		victim.program.start()
	}
	l.stop()
	l.wantUnknown()
	l.askAgain()
	l.report(fmt.Sprintf("%d replicas killed", *replicaKills))
}

// PostgreSQL crashes under load and comes back, again and again: what was
// answered is there, and the replicas go on by themselves.
func TestPostgresCrashes(t *testing.T) {
	server := pgtest.Start(t)
	r := newReplicas(t, server.URL("postgres"), 3)
	l := newFleetLoad(t, r)
	l.start(8)
	for n := range *postgresCrashes {
		l.await(100 + n%7*10)
		server.Stop(t)
		server.Restart(t)
	}
	l.await(100)
	l.stop()
	l.wantUnknown()
	// What was answered last has seen no crash yet.
	server.Stop(t)
	server.Restart(t)
	l.askAgain()
	l.report(fmt.Sprintf("%d crashes of PostgreSQL", *postgresCrashes+1))
}

// All replicas are restarted, one after the other, under load behind a balancer
// of connections that looks at /readyz: no request fails.
func TestRollingRestart(t *testing.T) {
	// For a balancer that looks ten times a second, on a machine that is busy
	// with other things.
	r := newReplicas(t, pgtest.Start(t).URL("postgres"), 3, "APP2WXAPP_DRAIN_DELAY=5s") // longer than a busy machine lets a client wait
	b := newBalancer(t, r)
	l := newFleetLoad(t, r)
	l.urls, l.strict = []string{b.url}, true
	l.start(8)
	for range *rollingRestarts {
		for _, one := range r {
			b.awaitReady(len(r))
			l.await(100)
			if err := one.program.stop(syscall.SIGTERM); err != nil {
				t.Errorf("after SIGTERM: %v\n%s", err, one.log)
			}
			l.await(100)
			one.program.start()
		}
	}
	b.awaitReady(len(r))
	l.stop()
	l.askAgain()
	l.report(fmt.Sprintf("%d restarts", *rollingRestarts*len(r)))
}
