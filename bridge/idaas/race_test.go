package idaas_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"app2wxapp/bridge/bridgetest"
)

// Of binds that race for one account, for one WeChat user, for one phone that has
// no account yet, or with one state_token, exactly one wins.
func TestBindsRace(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	racesOver(t, []*bridgetest.Bridge{b}, 8)
}

// At two replicas, too.
func TestBindsRaceOverReplicas(t *testing.T) {
	t.Parallel()
	replicas := bridgetest.NewReplicas(t, 2)
	replicas[0].PutRSAKey()
	racesOver(t, replicas, 8)
}

// racer is one who binds: the user whose state token it is, and the phone.
type racer struct{ user, phone string }

func racesOver(t *testing.T, at []*bridgetest.Bridge, rounds int) {
	p := at[0].NewPool(signupBind)
	for round := range rounds {
		name := func(what string) string { return fmt.Sprint(what, round) }
		account, fresh := fmt.Sprintf("1380013%04d", round), fmt.Sprintf("1390013%04d", round)
		imported(at[0], p, name("account"), account)
		other := func(i int) string { return fmt.Sprintf("1371%d13%04d", i, round) }
		race(t, at, p, name("one account "), []racer{{name("a"), account}, {name("b"), account}, {name("c"), account}, {name("d"), account}}, false, "SDK.WECHAT.0004")
		race(t, at, p, name("one WeChat user "), []racer{{name("e"), other(0)}, {name("e"), other(1)}, {name("e"), other(2)}, {name("e"), other(3)}}, false, "SDK.COMMON.1007")
		race(t, at, p, name("one new phone "), []racer{{name("f"), fresh}, {name("g"), fresh}, {name("h"), fresh}, {name("i"), fresh}}, false, "SDK.WECHAT.0004")
		race(t, at, p, name("one state_token "), []racer{{name("k"), other(4)}, {name("k"), other(5)}, {name("k"), other(6)}, {name("k"), other(7)}}, true, "SDK.COMMON.1005")
	}
}

// race lets all of them bind at once, each with a state token of its own unless
// they share one, and fails the test unless one wins, the others are told code,
// and afterwards the winner alone has an account.
func race(t *testing.T, at []*bridgetest.Bridge, p bridgetest.Pool, name string, racers []racer, shared bool, code string) {
	t.Helper()
	states, codes := make([]string, len(racers)), make([]string, len(racers))
	for i, r := range racers {
		if i == 0 || !shared {
			states[i] = state(at[0], p, r.user)
		} else {
			states[i] = states[0]
		}
		codes[i] = phoneCode(at[0], r.user, r.phone)
	}
	answers := make([]bridgetest.Response, len(racers))
	var running sync.WaitGroup
	gate := make(chan struct{})
	for i := range racers {
		running.Go(func() {
			<-gate
			answers[i] = call(at[i%len(at)], p, registerPath, codes[i], states[i])
		})
	}
	close(gate)
	running.Wait()
	winner, id := "", any(nil)
	for i, r := range answers {
		switch {
		case r.Status == 200 && winner == "" && decoded(r).Status == "SUCCESS":
			winner, id = racers[i].user, claims(t, decoded(r).IDToken)["sub"]
		case r.Status != 400 || !strings.Contains(r.Body, code):
			t.Errorf("%s: %s got %d %s, want one SUCCESS and else %s", name, racers[i].user, r.Status, r.Body, code)
		}
	}
	for _, r := range racers {
		again := login(at[0], p, r.user)
		switch {
		case r.user == winner && (again.Status != "SUCCESS" || claims(t, again.IDToken)["sub"] != id):
			t.Errorf("%s: the winner comes back as %+v", name, again)
		case r.user != winner && again.Status != "USER_REGISTER":
			t.Errorf("%s: one who lost comes back as %+v", name, again)
		}
	}
	if winner == "" {
		t.Errorf("%s: nobody won", name)
	}
}
