package bolt

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"app2wxapp/audit"
	"app2wxapp/ticket"
	"app2wxapp/ticket/history"
	"app2wxapp/userpool"
)

var historyOps = flag.Int("history.ops", 10_000, "operations of TestHistory")

// Many callers at once, on a disk where commits fail now and then, with and
// without effect: each answer is one that a ticket served alone would give.
func TestHistory(t *testing.T) {
	const (
		users   = 8 // at a time
		callers = 8 // for each
		each    = 6
		tickets = 3 // for each user
	)
	h := newHistory(t)
	for wave := 0; h.Len() < *historyOps; wave++ {
		var own [users][tickets]*heldTicket
		together(users, func(n int) {
			user := fmt.Sprintf("w%d-u%d", wave, n)
			h.createUser(user)
			for i := range tickets {
				own[n][i] = h.issue(user, i)
			}
		})
		together(users*callers, func(client int) {
			random := rand.New(rand.NewPCG(uint64(wave), uint64(client)))
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
	for _, r := range []history.Result{history.First, history.Again, history.Redeemed, history.Expired, history.Void, history.Blocked, history.Unknown, history.Invalid} {
		if h.Count(r) == 0 {
			t.Errorf("no operation was answered %q: the load proves less than it should", r)
		}
	}
}

// historyRun is a store under load. The clock is in milliseconds.
type historyRun struct {
	*history.Recorder
	t     *testing.T
	store *Store
	clock atomic.Int64
	disk  *unsureDisk
}

func newHistory(t *testing.T) *historyRun {
	s, err := Open(config(newPath(t), slog.DiscardHandler))
	check(t, err)
	t.Cleanup(func() { closeStore(t, s) })
	check(t, s.CreatePool(ctx, testPool("p"), audit.Event{}))
	h := &historyRun{Recorder: history.NewRecorder(), t: t, store: s, disk: &unsureDisk{}}
	h.clock.Store(t0.UnixMilli())
	s.commit = h.disk.commit
	return h
}

// unsureDisk fails some commits. Of those every other one was carried out.
type unsureDisk struct{ commits, failures atomic.Int64 }

func (d *unsureDisk) commit(tx *bbolt.Tx) error {
	if d.commits.Add(1)%50 != 0 {
		return tx.Commit()
	}
	if d.failures.Add(1)%2 == 0 {
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return errors.New("planted: nobody knows")
}

// heldTicket is a ticket and what callers have learned of it.
type heldTicket struct {
	ticket.Ticket
	name  string
	token atomic.Pointer[ticket.Redeemed]
}

// createUser creates the user. One of whom nobody knew may be there already.
func (h *historyRun) createUser(id string) {
	for {
		err := h.store.CreateUser(ctx, userpool.User{PoolID: "p", ID: id, SignedUp: t0, UpdatedAt: t0})
		switch {
		case err == nil, errors.Is(err, userpool.ErrUserExists):
			return
		case !errors.Is(err, userpool.ErrUnavailable):
			h.t.Error(err)
			return
		}
		h.awaitStore()
	}
}

func (h *historyRun) awaitStore() {
	for end := time.Now().Add(10 * time.Second); h.store.Ready() != nil; runtime.Gosched() {
		if time.Now().After(end) {
			h.t.Error("the store was not opened again")
			return
		}
	}
}

// issue issues the user's n-th ticket. One of which nobody knows whether it was
// kept is forgotten.
func (h *historyRun) issue(user string, n int) *heldTicket {
	for try := 0; ; try++ {
		now := h.clock.Add(1)
		held := &heldTicket{name: fmt.Sprintf("%s-t%d.%d", user, n, try)}
		life := []time.Duration{time.Second, 100 * time.Millisecond, 20 * time.Millisecond}[n%3]
		held.Ticket = ticket.Ticket{PoolID: "p", UserID: user, AppID: "wx1", ExpiresAt: time.UnixMilli(now).Add(life).UTC()}
		for i := range 6 {
			held.Key[i] = byte(now >> (8 * (5 - i)))
		}
		sum := sha256.Sum256([]byte(held.name))
		copy(held.Key[6:], sum[:])
		out := h.Do(0, history.Op{Verb: history.Issue, User: user, From: now, To: now}, func(*history.Op) history.Out {
			err := h.store.CreateTicket(ctx, held.Ticket, time.UnixMilli(now).UTC())
			return h.out(err, history.Out{Result: history.OK, Ticket: held.name, At: now, Ends: held.ExpiresAt.UnixMilli()})
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
		PoolID: "p", Key: held.Key, Addr: netip.MustParseAddr("203.0.113.7"), Now: now, JTI: userpool.NewID(now),
		TokenExpiresAt: now.Truncate(time.Second).Add(time.Hour), RevokeOnReplay: true,
	}
	if op.Key != "" {
		r.Idempotency = sha256.Sum256([]byte(op.Key))
	}
	h.Do(client, op, func(*history.Op) history.Out {
		done, err := h.store.RedeemTicket(ctx, r)
		if err == nil {
			held.token.Store(&done)
		}
		out := history.Out{Result: history.First, Token: done.JTI, Count: done.User.Logins.Count}
		if err != nil {
			out = history.Out{Revoked: done.Revoked, Told: errors.Is(err, ticket.ErrRedeemed)}
		} else if out.At = done.At.UnixMilli(); done.Repeated {
			out.Result = history.Again
		}
		return h.out(err, out)
	})
}

func (h *historyRun) checkToken(client int, op history.Op, held *heldTicket) {
	done := held.token.Load()
	if done == nil {
		return // nobody has it yet
	}
	op.Verb = history.CheckToken
	h.Do(client, op, func(*history.Op) history.Out {
		revoked, err := h.store.TokenRevoked(ctx, done.JTI, done.TokenExpiresAt)
		if err != nil {
			return h.out(err, history.Out{})
		}
		u, err := h.store.User(ctx, "p", op.User)
		out := history.Out{Result: history.Valid}
		if revoked || u.Blocked || !done.At.After(u.NotBefore) {
			out.Result = history.Invalid
		}
		return h.out(err, out)
	})
}

func (h *historyRun) change(client int, op history.Op) {
	h.Do(client, op, func(*history.Op) history.Out {
		u, err := h.store.UpdateUser(ctx, "p", op.User, silent(func(u *userpool.User) error {
			u.Blocked = op.Verb == history.Block || op.Verb == history.SignOut && u.Blocked
			if now := time.UnixMilli(op.From).UTC(); op.Verb != history.Unblock && now.After(u.NotBefore) {
				u.NotBefore = now
			}
			return nil
		}))
		return h.out(err, history.Out{Result: history.OK, At: u.NotBefore.UnixMilli()})
	})
}

// out returns the answer that was meant, or what the error says.
func (h *historyRun) out(err error, out history.Out) history.Out {
	switch {
	case err == nil:
	case errors.Is(err, userpool.ErrUnavailable):
		h.awaitStore()
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
