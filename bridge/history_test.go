package bridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/bridge"
	"app2wxapp/bridge/bridgetest"
	"app2wxapp/ticket"
	"app2wxapp/ticket/history"
	"app2wxapp/userpool"
)

var historyOps = flag.Int("history.ops", 2_500, "operations of TestHistory")

// unsure is a store of which every 50th redemption is answered ErrUnavailable;
// every other one of these has taken effect.
type unsure struct {
	bridge.Store
	redemptions, failures atomic.Int64
}

func (u *unsure) RedeemTicket(ctx context.Context, r ticket.Redemption) (ticket.Redeemed, error) {
	if u.redemptions.Add(1)%50 != 0 {
		return u.Store.RedeemTicket(ctx, r)
	}
	planted := fmt.Errorf("%w: planted", userpool.ErrUnavailable)
	if u.failures.Add(1)%2 == 0 {
		_, err := u.Store.RedeemTicket(ctx, r)
		return ticket.Redeemed{}, errors.Join(planted, err)
	}
	return ticket.Redeemed{}, planted
}

// Many callers at once, over the network, where answers get lost and the store
// fails now and then, and a clock that is turned meanwhile: each answer is one
// that a ticket served alone would give.
func TestHistory(t *testing.T) {
	const (
		users   = 4 // at a time
		callers = 8 // for each
		each    = 8
		tickets = 3 // for each user
	)
	b := bridgetest.New(t, quiet, bridgetest.WithStore(func(s bridge.Store) bridge.Store { return &unsure{Store: s} }))
	h := &historyRun{Recorder: history.NewRecorder(), b: b, cut: bridgetest.NewCut(t, b.URL), p: b.NewPool(`"ticketTTL":10`),
		callers: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: users * callers}}}
	for wave := 0; h.Len() < *historyOps; wave++ {
		var own [users][tickets]*heldTicket
		var wg sync.WaitGroup
		for n := range users {
			wg.Go(func() {
				for i := range tickets {
					own[n][i] = h.issue(t, fmt.Sprintf("w%d-u%d", wave, n))
				}
				h.learnID(t, own[n][:])
			})
		}
		wg.Wait()
		for client := range users * callers {
			random := rand.New(rand.NewPCG(uint64(wave), uint64(client)))
			wg.Go(func() {
				for range each {
					h.act(t, client, random, own[client/callers][random.IntN(tickets)])
				}
			})
		}
		wg.Wait()
	}
	checking := time.Now()
	if err := h.Check(); err != nil {
		t.Fatal(err)
	}
	t.Logf("checked in %v", time.Since(checking))
	t.Logf("%d operations: %d answered with the user, %d refused, %d blocked, %d tokens valid, %d invalid, %d unknown", h.Len(),
		h.Count(history.OK), h.Count(history.Refused), h.Count(history.Blocked), h.Count(history.Valid), h.Count(history.Invalid), h.Count(history.Unknown))
	for _, r := range []history.Result{history.OK, history.Refused, history.Blocked, history.Valid, history.Invalid, history.Unknown} {
		if h.Count(r) == 0 {
			t.Errorf("no operation was answered %q: the load proves less than it should", r)
		}
	}
}

// historyRun is a bridge under load.
type historyRun struct {
	*history.Recorder
	b   *bridgetest.Bridge
	p   bridgetest.Pool
	cut *bridgetest.Cut

	callers *http.Client
}

// heldTicket is a ticket and what callers have learned of it.
type heldTicket struct {
	text, user, id string
	token          atomic.Pointer[string]
}

func (h *historyRun) clock() int64 { return h.b.Clock.Now().UnixMilli() }

func (h *historyRun) issue(t *testing.T, user string) *heldTicket {
	held := &heldTicket{user: user}
	h.Do(0, history.Op{Verb: history.Issue, User: user, From: h.clock()}, func(op *history.Op) history.Out {
		var got struct{ Ticket, ExpiresAt string }
		h.b.In(t).Issue(h.p, user).Want(200).Decode(&got)
		held.text = got.Ticket
		op.To = h.clock()
		ends := milliseconds(t, got.ExpiresAt)
		return history.Out{Result: history.OK, Ticket: got.Ticket, At: ends - 10_000, Ends: ends}
	})
	return held
}

// learnID redeems one more ticket of the user: only a redemption tells the id.
func (h *historyRun) learnID(t *testing.T, own []*heldTicket) {
	b := h.b.In(t)
	extra := h.issue(t, own[0].user)
	for own[0].id == "" {
		h.redeem(t, 0, history.Op{User: extra.user, Ticket: extra.text, Key: "k"}, extra, b.URL)
		own[0].id = extra.id
	}
	h.checkToken(t, 0, history.Op{User: extra.user, Ticket: extra.text}, extra)
	for _, held := range own {
		held.id = extra.id
	}
}

// act does one thing.
func (h *historyRun) act(t *testing.T, client int, random *rand.Rand, held *heldTicket) {
	op := history.Op{User: held.user, Ticket: held.text}
	switch n := random.IntN(200); {
	case n < 140:
		op.Key = []string{"", "k1", "k2"}[random.IntN(3)]
		url := h.b.URL
		if random.IntN(12) == 0 {
			url = h.cut.URL
			h.cut.Lose(random.IntN(2))
		}
		h.redeem(t, client, op, held, url)
	case n < 180:
		h.checkToken(t, client, op, held)
	case n < 190:
		h.b.Clock.Turn(time.Duration(random.IntN(500)) * time.Millisecond)
	default:
		op.Ticket, op.Verb = "", []history.Verb{history.SignOut, history.Block, history.Unblock, history.Unblock}[random.IntN(4)]
		h.change(t, client, op, held.id)
	}
}

func (h *historyRun) redeem(t *testing.T, client int, op history.Op, held *heldTicket, url string) {
	op.Verb, op.From = history.Redeem, h.clock()
	var headers []string
	if op.Key != "" {
		headers = append(headers, "Idempotency-Key: "+op.Key)
	}
	h.Do(client, op, func(op *history.Op) (out history.Out) {
		client := h.callers
		if url == h.cut.URL {
			client = once
		}
		status, body := post(t, client, url+redeemPath(h.p), object(member("ticket", held.text), member("secret", h.p.Secret)), headers...)
		op.To = h.clock()
		switch {
		case status == 0, status == 503:
		case status == 200:
			var u struct {
				ID, Token, LastLogin string
				LoginsCount          uint64
			}
			if err := json.Unmarshal([]byte(body), &u); err != nil {
				t.Error(err)
			}
			held.token.Store(&u.Token)
			if held.id == "" {
				held.id = u.ID
			}
			return history.Out{Result: history.OK, Token: u.Token, Count: u.LoginsCount, At: milliseconds(t, u.LastLogin)}
		case status == 400 && strings.Contains(body, "4001"):
			return history.Out{Result: history.Refused}
		case status == 403 && strings.Contains(body, "2005"):
			return history.Out{Result: history.Blocked}
		default:
			t.Errorf("an answer that no operation has: %d %s", status, body)
		}
		return out
	})
}

func (h *historyRun) checkToken(t *testing.T, client int, op history.Op, held *heldTicket) {
	token := held.token.Load()
	if token == nil {
		return // nobody has it yet
	}
	op.Verb = history.CheckToken
	h.Do(client, op, func(*history.Op) history.Out {
		switch code := tokenState(h.b.In(t), *token); code {
		case 200:
			return history.Out{Result: history.Valid}
		case 2207:
			return history.Out{Result: history.Invalid}
		default:
			t.Errorf("GET /authing/token: code %d", code)
		}
		return history.Out{}
	})
}

func (h *historyRun) change(t *testing.T, client int, op history.Op, id string) {
	path := "/admin/v1/pools/" + h.p.ID + "/users/" + id
	h.Do(client, op, func(*history.Op) history.Out {
		var u struct{ SignedOutAt *string }
		switch op.Verb {
		case history.SignOut:
			h.b.In(t).Admin("POST", path+"/revoke", "").Want(200).Decode(&u)
		default:
			h.b.In(t).Admin("PATCH", path, fmt.Sprintf(`{"blocked":%v}`, op.Verb == history.Block)).Want(200).Decode(&u)
		}
		out := history.Out{Result: history.OK}
		if u.SignedOutAt != nil {
			out.At = milliseconds(t, *u.SignedOutAt)
		}
		return out
	})
}

func milliseconds(t *testing.T, stamp string) int64 {
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		t.Error(err)
	}
	return at.UnixMilli()
}
