package bridge_test

import (
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/wechat/sandbox"
)

// share lets the replicas tell each other what they counted, as they do once a
// second.
func share(t *testing.T, replicas []*bridgetest.Bridge) {
	t.Helper()
	for range 2 { // what the last one tells the first hears the next time
		for _, b := range replicas {
			if err := b.Server.ShareCounts(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A stranger who spreads wrong secrets over all replicas gets no more of them
// through than at one, but for the first moment's, and these are made up for.
func TestReplicasShareFailures(t *testing.T) {
	t.Parallel()
	const minutes = 3
	replicas := bridgetest.NewReplicas(t, 3)
	p := replicas[0].NewPool()
	wrong := bridgetest.Pool{ID: p.ID, Secret: "wrong"}
	guess := func(b *bridgetest.Bridge) (through int) {
		for b.Redeem(wrong, "x").Status != 429 {
			through++
		}
		return through
	}
	total := 0
	for range minutes * 6 {
		for _, b := range replicas {
			total += guess(b)
		}
		share(t, replicas)
		replicas[0].Clock.Turn(10 * time.Second)
	}
	if most := (minutes + 1) * failuresPerMinute; total > most || total < most-failuresPerMinute {
		t.Errorf("%d guesses in %d minutes at 3 replicas, want %d at most and not much less", total, minutes, most)
	}

	// A minute makes up for it at every replica.
	ticket := replicas[1].Ticket(p, "alice")
	replicas[2].Redeem(p, ticket).WantError(429, 4290, "rate_limited")
	replicas[0].Clock.Turn(time.Minute)
	replicas[2].Redeem(p, ticket).Want(200)
}

// Twenty tickets a minute are a user's, wherever they are issued.
func TestReplicasShareIssues(t *testing.T) {
	t.Parallel()
	replicas := bridgetest.NewReplicas(t, 3)
	p := replicas[0].NewPool()
	for i := range 20 {
		replicas[i%3].Issue(p, "alice").Want(200)
		share(t, replicas)
	}
	for _, b := range replicas {
		b.Issue(p, "alice").WantError(429, 4290, "rate_limited")
		b.Issue(p, "bob").Want(200)
	}
}

// So are wrong admin tokens of an address; the right one passes.
func TestReplicasShareAdminFailures(t *testing.T) {
	t.Parallel()
	replicas := bridgetest.NewReplicas(t, 2)
	for range 60 {
		replicas[0].Do("GET", replicas[0].AdminURL+"/admin/v1/pools", "")
	}
	share(t, replicas)
	replicas[1].Do("GET", replicas[1].AdminURL+"/admin/v1/pools", "").WantError(429, 4290, "rate_limited")
	replicas[1].Admin("GET", "/admin/v1/pools", "").Want(200)
}

// A code that one replica has sent to WeChat no other sends.
func TestReplicasShareCodes(t *testing.T) {
	t.Parallel()
	replicas := bridgetest.NewReplicas(t, 2)
	p := replicas[0].NewPool()
	body := object(loginCode(replicas[0], "alice"))
	replicas[0].Post(issuePath(p), body).Want(200)
	replicas[1].Post(issuePath(p), body).WantError(400, 4002, "invalid_code")
	if n := replicas[0].WeChat.Count(sandbox.Login); n != 1 {
		t.Errorf("the code was sent %d times, want once", n)
	}
}
