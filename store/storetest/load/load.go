// Package load puts stores under load whose answers can be checked. It knows no
// store, so that the tests inside a store's package can use it.
package load

import (
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/ticket"
	"app2wxapp/ticket/history"
	"app2wxapp/userpool"
)

// Store is what the load asks of a store.
type Store interface {
	userpool.Store
	ticket.Store
	TokenRevoked(ctx context.Context, jti string, expiresAt time.Time) (bool, error)
	Ready() error
}

var (
	ctx = context.Background()
	t0  = time.Date(2026, 11, 20, 8, 30, 0, 412e6, time.UTC)
)

// History lets many callers at once use a store, or several that are one, until
// they have done so many operations, and checks that each answer is one that a
// ticket served alone would give. The store may fail meanwhile, and must be
// ready again within two minutes. History returns how often each result came.
func History(t *testing.T, operations int, stores ...Store) func(history.Result) int {
	const (
		users   = 8 // at a time
		callers = 8 // for each
		each    = 6
		tickets = 3 // for each user
	)
	h := &historyRun{Recorder: history.NewRecorder(), t: t, stores: stores, pool: "p" + crand.Text()}
	h.clock.Store(t0.UnixMilli())
	for {
		err := stores[0].CreatePool(ctx, userpool.Pool{ID: h.pool, CreatedAt: t0, UpdatedAt: t0}, audit.Event{})
		if err == nil || errors.Is(err, userpool.ErrPoolExists) { // of an attempt whose answer was lost
			break
		}
		if !errors.Is(err, userpool.ErrUnavailable) {
			t.Fatal(err)
		}
		h.awaitStore(0)
	}
	for wave := 0; h.Len() < operations && !t.Failed(); wave++ {
		var own [users][tickets]*heldTicket
		together(users, func(n int) {
			user := fmt.Sprintf("w%d-u%d", wave, n)
			h.createUser(n, user)
			for i := range tickets {
				own[n][i] = h.issue(n, user, i)
			}
		})
		if t.Failed() {
			break
		}
		together(users*callers, func(client int) {
			random := rand.New(rand.NewPCG(uint64(wave), uint64(client))) // #nosec G115 G404 -- counts; and a run is to be repeatable
			for range each {
				h.act(client, random, own[client/callers][random.IntN(tickets)])
			}
		})
	}
	if err := h.Check(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d operations: %d first, %d again, %d replays, %d expired, %d void, %d blocked, %d unknown", h.Len(), h.Count(history.First),
		h.Count(history.Again), h.Count(history.Redeemed), h.Count(history.Expired), h.Count(history.Void), h.Count(history.Blocked), h.Count(history.Unknown))
	for _, r := range []history.Result{history.First, history.Again, history.Redeemed, history.Expired, history.Void, history.Blocked, history.Invalid} {
		if h.Count(r) == 0 {
			t.Errorf("no operation was answered %q: the load proves less than it should", r)
		}
	}
	return h.Count
}

// historyRun is a store under load. The clock is in milliseconds.
type historyRun struct {
	*history.Recorder
	t      *testing.T
	stores []Store
	pool   string // another one each time
	clock  atomic.Int64
}

// store is the one that the client uses.
func (h *historyRun) store(client int) Store { return h.stores[client%len(h.stores)] }

// heldTicket is a ticket and what callers have learned of it.
type heldTicket struct {
	ticket.Ticket
	name  string
	token atomic.Pointer[ticket.Redeemed]
}

// createUser creates the user. One of whom nobody knew may be there already.
func (h *historyRun) createUser(client int, id string) {
	for {
		err := h.store(client).CreateUser(ctx, userpool.User{PoolID: h.pool, ID: id, SignedUp: t0, UpdatedAt: t0})
		switch {
		case err == nil, errors.Is(err, userpool.ErrUserExists):
			return
		case !errors.Is(err, userpool.ErrUnavailable):
			h.t.Error(err)
			return
		}
		h.awaitStore(client)
	}
}

func (h *historyRun) awaitStore(client int) {
	for end := time.Now().Add(2 * time.Minute); h.store(client).Ready() != nil; <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Error("the store is not ready again")
			return
		}
	}
}

// issue issues the user's n-th ticket. One of which nobody knows whether it was
// kept is forgotten.
func (h *historyRun) issue(client int, user string, n int) *heldTicket {
	for try := 0; ; try++ {
		now := h.clock.Add(1)
		held := &heldTicket{name: fmt.Sprintf("%s-t%d.%d", user, n, try)}
		life := []time.Duration{time.Second, 100 * time.Millisecond, 20 * time.Millisecond}[n%3]
		held.Ticket = ticket.Ticket{PoolID: h.pool, UserID: user, AppID: "wx1", ExpiresAt: time.UnixMilli(now).Add(life).UTC()}
		for i := range 6 {
			held.Key[i] = byte(now >> (8 * (5 - i)))
		}
		sum := sha256.Sum256([]byte(h.pool + "/" + held.name))
		copy(held.Key[6:], sum[:])
		out := h.Do(client, history.Op{Verb: history.Issue, User: user, From: now, To: now}, func(*history.Op) history.Out {
			err := h.store(client).CreateTicket(ctx, held.Ticket, time.UnixMilli(now).UTC())
			return h.out(client, err, history.Out{Result: history.OK, Ticket: held.name, At: now, Ends: held.ExpiresAt.UnixMilli()})
		})
		if out.Result == history.OK {
			return held
		}
	}
}

// act does one thing. The clock is the callers' own: each tells the store the
// time at which it asks, and some arrive late.
func (h *historyRun) act(client int, random *rand.Rand, held *heldTicket) {
	now := h.clock.Load()
	op := history.Op{User: held.UserID, Ticket: held.name, From: now, To: now}
	switch n := random.IntN(100); {
	case n < 66:
		op.Verb, op.Key = history.Redeem, []string{"", "k1", "k2"}[random.IntN(3)]
		h.redeem(client, op, held)
	case n < 82:
		h.checkToken(client, op, held)
	case n < 94:
		h.clock.Add(int64(random.IntN(4)))
	default:
		op.Ticket, op.Verb = "", []history.Verb{history.SignOut, history.Block, history.Unblock, history.Unblock}[random.IntN(4)]
		h.change(client, op)
	}
}

func (h *historyRun) redeem(client int, op history.Op, held *heldTicket) {
	now := time.UnixMilli(op.From).UTC()
	r := ticket.Redemption{
		PoolID: h.pool, Key: held.Key, Addr: netip.MustParseAddr("203.0.113.7"), Now: now, JTI: userpool.NewID(now),
		TokenExpiresAt: now.Truncate(time.Second).Add(time.Hour), RevokeOnReplay: true,
	}
	if op.Key != "" {
		r.Idempotency = sha256.Sum256([]byte(op.Key))
	}
	h.Do(client, op, func(*history.Op) history.Out {
		done, err := h.store(client).RedeemTicket(ctx, r)
		if err == nil {
			held.token.Store(&done)
		}
		out := history.Out{Result: history.First, Token: done.JTI, Count: done.User.Logins.Count}
		if err != nil {
			out = history.Out{Revoked: done.Revoked, Told: errors.Is(err, ticket.ErrRedeemed)}
		} else if out.At = done.At.UnixMilli(); done.Repeated {
			out.Result = history.Again
		}
		return h.out(client, err, out)
	})
}

func (h *historyRun) checkToken(client int, op history.Op, held *heldTicket) {
	done := held.token.Load()
	if done == nil {
		return // nobody has it yet
	}
	op.Verb = history.CheckToken
	h.Do(client, op, func(*history.Op) history.Out {
		revoked, err := h.store(client).TokenRevoked(ctx, done.JTI, done.TokenExpiresAt)
		if err != nil {
			return h.out(client, err, history.Out{})
		}
		u, err := h.store(client).User(ctx, h.pool, op.User)
		out := history.Out{Result: history.Valid}
		if revoked || u.Blocked || !done.At.After(u.NotBefore) {
			out.Result = history.Invalid
		}
		return h.out(client, err, out)
	})
}

func (h *historyRun) change(client int, op history.Op) {
	h.Do(client, op, func(*history.Op) history.Out {
		u, err := h.store(client).UpdateUser(ctx, h.pool, op.User, func(u *userpool.User) (audit.Event, error) {
			u.Blocked = op.Verb == history.Block || op.Verb == history.SignOut && u.Blocked
			if now := time.UnixMilli(op.From).UTC(); op.Verb != history.Unblock && now.After(u.NotBefore) {
				u.NotBefore = now
			}
			return audit.Event{}, nil
		})
		return h.out(client, err, history.Out{Result: history.OK, At: u.NotBefore.UnixMilli()})
	})
}

// out returns the answer that was meant, or what the error says.
func (h *historyRun) out(client int, err error, out history.Out) history.Out {
	switch {
	case err == nil:
	case errors.Is(err, userpool.ErrUnavailable):
		h.awaitStore(client)
		return history.Out{}
	case errors.Is(err, ticket.ErrRedeemed):
		out.Result = history.Redeemed
	case errors.Is(err, ticket.ErrExpired):
		out.Result = history.Expired
	case errors.Is(err, ticket.ErrVoid):
		out.Result = history.Void
	case errors.Is(err, userpool.ErrBlocked):
		out.Result = history.Blocked
	default:
		h.t.Errorf("an answer that no operation has: %v", err)
	}
	return out
}

// together runs do n times at once.
func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-gate; do(i) })
	}
	close(gate)
	wg.Wait()
}
