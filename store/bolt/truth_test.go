//go:build linux

package bolt

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	bbolt "go.etcd.io/bbolt"

	"app2wxapp/audit"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// step is what a workload did: a note of its beginning, and one of its
// acknowledgement.
type step struct {
	what  string // open, pool, user, ticket, redeem or revoke
	id    string // of the user, who has one ticket
	acked bool
}

// recovery is how long a store may refuse after the cause of it has ended; the
// same number is in docs/reliability.md.
const recovery = 10 * time.Second

// workload signs users in as the server does, and notes each step.
type workload struct {
	s    *Store
	note func(any)
	// again, if set, repeats a step that was answered ErrUnavailable until
	// recovery is over: a store must recover by itself.
	again bool
}

func (w *workload) step(what, id string, do func() error) error {
	w.note(step{what, id, false})
	err := do()
	for end := time.Now().Add(recovery); w.again && errors.Is(err, userpool.ErrUnavailable) && time.Now().Before(end); {
		runtime.Gosched()
		err = do()
		if errors.Is(err, userpool.ErrPoolExists) || errors.Is(err, userpool.ErrUserExists) {
			err = nil // the first attempt was carried out, only its answer was lost
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, id, err)
	}
	w.note(step{what, id, true})
	return nil
}

func (w *workload) pool() error {
	return w.step("pool", "p", func() error { return w.s.CreatePool(ctx, testPool("p"), audit.Event{}) })
}

func idempotent(id string) ticket.Redemption {
	r := attempt(testTicket(id, 1), "j-"+id)
	copy(r.Idempotency[:], id)
	return r
}

// login creates the user and a ticket, and redeems and replays that if asked.
func (w *workload) login(id string, redeem, replay bool) error {
	u := testUser(id)
	u.Phone = ""
	err := w.step("user", id, func() error { return w.s.CreateUser(ctx, u) })
	if err == nil {
		err = w.step("ticket", id, func() error { return w.s.CreateTicket(ctx, testTicket(id, 1), t0) })
	}
	if err == nil && redeem {
		err = w.step("redeem", id, func() error { return second(w.s.RedeemTicket(ctx, idempotent(id))) })
	}
	if err == nil && replay {
		err = w.step("revoke", id, func() error {
			if _, err := w.s.RedeemTicket(ctx, attempt(testTicket(id, 1), "")); !errors.Is(err, ticket.ErrRedeemed) {
				return fmt.Errorf("a replay: %w", err)
			}
			return nil
		})
	}
	return err
}

// truth is what a store must have, by step and id: true for what was
// acknowledged, false for what was under way, and may be there or not.
type truth map[string]map[string]bool

func truthOf(log []event) truth {
	all := truth{"open": {}, "pool": {}, "user": {}, "ticket": {}, "redeem": {}, "revoke": {}}
	for _, e := range log {
		if n, ok := e.note.(step); ok {
			all[n.what][n.id] = all[n.what][n.id] || n.acked
		}
	}
	return all
}

// verify opens the store at path and returns what is wrong with it.
func (want truth) verify(path string) (err error) {
	s, err := Open(config(path, slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var found []error
	if err := s.db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			found = append(found, fmt.Errorf("bbolt's check: %w", err))
		}
		return nil
	}); err != nil {
		return err
	}
	if _, err := s.Pool(ctx, "p"); err != nil && (want["pool"]["p"] || !errors.Is(err, userpool.ErrPoolNotFound)) {
		found = append(found, err)
	}
	for id, acked := range want["user"] {
		found = append(found, verifyUser(s, id, acked))
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for id, acked := range want["ticket"] {
		wg.Go(func() {
			redeemed, begun := want["redeem"][id]
			err := verifyTicket(s, id, acked, begun, redeemed)
			mu.Lock()
			defer mu.Unlock()
			found = append(found, err)
		})
	}
	wg.Wait()
	for id, acked := range want["revoke"] {
		r := idempotent(id)
		if revoked, err := s.TokenRevoked(ctx, r.JTI, r.TokenExpiresAt); err != nil || acked && !revoked {
			found = append(found, fmt.Errorf("token of %s is revoked: %v, %w", id, revoked, err))
		}
	}
	return errors.Join(found...)
}

func verifyUser(s *Store, id string, acked bool) error {
	u, err := s.User(ctx, "p", id)
	gone := errors.Is(err, userpool.ErrUserNotFound)
	if err != nil && (acked || !gone) {
		return fmt.Errorf("user %s: %w", id, err)
	}
	k := keysOf(id)
	m, err := s.FindUsers(ctx, "p", userpool.Keys{UnionID: k.UnionID, Identity: k.Identity})
	if err != nil || (m.ByUnionID == nil) != gone || (m.ByIdentity == nil) != gone {
		return fmt.Errorf("user %s is gone: %v; by the indexes: %+v, %w", id, gone, m, err)
	}
	if want := testUser(id); !gone && (u.UnionID != want.UnionID || u.Profile != want.Profile || m.ByUnionID.ID != id || m.ByIdentity.ID != id) {
		return fmt.Errorf("user %s is %+v", id, u)
	}
	return nil
}

// verifyTicket redeems the ticket three times: the first success, if there was
// none yet, is the only one.
func verifyTicket(s *Store, id string, issued, begun, redeemed bool) error {
	ok := 0
	for i := range 3 {
		_, err := s.RedeemTicket(ctx, attempt(testTicket(id, 1), fmt.Sprint("late-", i)))
		switch {
		case err == nil:
			ok++
		case errors.Is(err, ticket.ErrUnknown) && !issued:
		case !errors.Is(err, ticket.ErrRedeemed):
			return fmt.Errorf("ticket of %s: %w", id, err)
		}
	}
	if ok > 1 || redeemed && ok > 0 || issued && !begun && ok == 0 {
		return fmt.Errorf("ticket of %s, redeemed before: %v (begun: %v): redeemed %d times more", id, redeemed, begun, ok)
	}
	if again, err := s.RedeemTicket(ctx, idempotent(id)); redeemed && (err != nil || !again.Repeated || again.JTI != "j-"+id) {
		return fmt.Errorf("ticket of %s, its redemption repeated: %+v, %w", id, again, err)
	}
	return nil
}
