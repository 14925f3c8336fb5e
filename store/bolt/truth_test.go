//go:build linux

package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
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
	what  string // open, pool, user, ticket, redeem, replay or sweep
	id    string // of the user
	n     int    // of the user's ticket
	acked bool
}

// recovery is how long a store may refuse after the cause of it has ended; the
// same number is in docs/reliability.md.
const recovery = 10 * time.Second

// Each user's ticket 0 was issued oldAge before t0, where all others are: it ended
// so long ago that a sweep may delete it.
const (
	oldTicket = 0
	oldAge    = 15 * time.Minute
)

// workload signs users in as the server does, and notes each step.
type workload struct {
	s    *Store
	note func(any)
	// again, if set, repeats a step that was answered ErrUnavailable until
	// recovery is over: a store must recover by itself.
	again  bool
	sweeps int // so far
	swept  int // what these deleted
}

func (w *workload) step(s step, do func() error) error {
	w.note(s)
	err := do()
	for end := time.Now().Add(recovery); w.again && errors.Is(err, userpool.ErrUnavailable) && time.Now().Before(end); {
		runtime.Gosched()
		err = do()
		if errors.Is(err, userpool.ErrPoolExists) || errors.Is(err, userpool.ErrUserExists) {
			err = nil // the first attempt was carried out, only its answer was lost
		}
	}
	if err != nil {
		return fmt.Errorf("%+v: %w", s, err)
	}
	s.acked = true
	w.note(s)
	return nil
}

func (w *workload) pool() error {
	return w.step(step{what: "pool"}, func() error { return w.s.CreatePool(ctx, testPool("p"), audit.Event{}) })
}

// user creates the user and does what the plan says, in its order: i3 issues the
// user's ticket 3, r3 redeems it, p3 replays that.
func (w *workload) user(id, plan string) error {
	u := testUser(id)
	u.Phone = ""
	err := w.step(step{what: "user", id: id}, func() error { return w.s.CreateUser(ctx, u) })
	if err != nil {
		return err
	}
	return w.tickets(id, plan)
}

// tickets does what the plan says with those of a user.
func (w *workload) tickets(id, plan string) error {
	for _, part := range strings.Fields(plan) {
		n := int(part[1] - '0')
		s, do := step{id: id, n: n}, func() error { return nil }
		switch part[0] {
		case 'i':
			s.what, do = "ticket", func() error { return w.issue(id, n) }
		case 'r':
			s.what, do = "redeem", func() error { return second(w.s.RedeemTicket(ctx, first(id, n))) }
		case 'p':
			s.what, do = "replay", func() error {
				if err := second(w.s.RedeemTicket(ctx, late(id, n, 0))); !errors.Is(err, ticket.ErrRedeemed) {
					return fmt.Errorf("a replay: %w", err)
				}
				return nil
			}
		}
		if err := w.step(s, do); err != nil {
			return err
		}
	}
	return nil
}

// issue issues the ticket, if an attempt that was carried out and not answered has
// not done so: nobody gets a ticket a second time.
func (w *workload) issue(id string, n int) error {
	tk, now := workTicket(id, n)
	err := w.s.view(func(t *tx) error { return second(t.ticket(tk.Key)) })
	if errors.Is(err, ticket.ErrUnknown) {
		return w.s.CreateTicket(ctx, tk, now)
	}
	return err
}

// sweep counts the logins so far, and deletes old tickets. It is late enough after
// the one before, and early enough that no ticket of t0 has ended.
func (w *workload) sweep() error {
	w.sweeps++
	now := t0.Add(time.Duration(w.sweeps) * 2 * settleEvery)
	return w.step(step{what: "sweep"}, func() error {
		n, err := w.s.SweepTickets(ctx, now, 1000)
		w.swept += n
		return err
	})
}

// workTicket is the user's n-th ticket, and when it is issued.
func workTicket(id string, n int) (ticket.Ticket, time.Time) {
	tk, now := testTicket(id, n), t0
	if n == oldTicket {
		now = now.Add(-oldAge)
		tk.ExpiresAt = tk.ExpiresAt.Add(-oldAge)
		copy(tk.Key[:6], binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))[2:])
	}
	return tk, now
}

// late is an attempt to redeem the user's n-th ticket, at the time when that is
// good, by somebody else than the first.
func late(id string, n, i int) ticket.Redemption {
	tk, now := workTicket(id, n)
	r := attempt(tk, fmt.Sprintf("late-%s-%d-%d", id, n, i))
	r.Now = now.Add(time.Second)
	return r
}

// first is the workload's redemption of the user's n-th ticket, which can be
// repeated.
func first(id string, n int) ticket.Redemption {
	r := late(id, n, 0)
	r.JTI = fmt.Sprintf("j-%s-%d", id, n)
	copy(r.Idempotency[:], r.JTI)
	return r
}

// fate is what became of a user's n-th ticket.
type fate struct {
	n  int
	is string
}

const (
	unknown  = "unknown" // not issued, or swept
	live     = "live"
	void     = "void"
	redeemed = "redeemed"
	replayed = "replayed" // and the token that it gave revoked
)

// life is what became of a user's tickets, in the order in which they were issued.
type life []fate

// after returns the life with the step.
func (l life) after(s step) life {
	l = slices.Clone(l)
	at := slices.IndexFunc(l, func(f fate) bool { return f.n == s.n })
	switch s.what {
	case "ticket":
		others := 0 // that live, from the youngest on
		for i := len(l) - 1; i >= 0; i-- {
			switch {
			case l[i].is != live:
			case l[i].n == oldTicket && s.n != oldTicket, others == ticket.MaxLive-1:
				l[i].is = void
			default:
				others++
			}
		}
		l = append(l, fate{s.n, live})
	case "redeem":
		l[at].is = redeemed
	case "replay":
		l[at].is = replayed
	}
	return l
}

func (l life) of(n int) string {
	if at := slices.IndexFunc(l, func(f fate) bool { return f.n == n }); at >= 0 {
		return l[at].is
	}
	return unknown
}

// logins is how many that makes.
func (l life) logins() (n uint64) {
	for _, f := range l {
		if f.is == redeemed || f.is == replayed {
			n++
		}
	}
	return n
}

// shows tells whether a store in which this is the user's life may be seen like
// that: a sweep that has begun may have deleted an old ticket, which leaves its
// login.
func (l life) shows(seen life, logins uint64, swept bool) bool {
	return logins == l.logins() && !slices.ContainsFunc(seen, func(f fate) bool {
		return f.is != l.of(f.n) && !(swept && f.n == oldTicket && f.is == unknown)
	})
}

// owner is a user, of whom each step that was begun and not acknowledged may have
// been carried out, or not.
type owner struct {
	created bool   // which was acknowledged
	lives   []life // that may be the user's
	pending step
}

func (o *owner) heed(s step) {
	switch {
	case !s.acked:
		o.lives, o.pending = o.may(), s
		return
	case s.what == "user":
		o.created = true
	}
	for i, l := range o.lives {
		o.lives[i] = l.after(s)
	}
	o.pending = step{}
}

// may returns the lives that may be the user's, last the one with every step.
func (o *owner) may() []life {
	all := slices.Clone(o.lives)
	if o.pending.what == "" {
		return all
	}
	for _, l := range o.lives {
		all = append(all, l.after(o.pending))
	}
	return all
}

// truth is what a store must have.
type truth struct {
	open, pool bool // which was acknowledged
	swept      bool // which was begun
	users      map[string]*owner
}

func truthOf(log []event) truth {
	all := truth{users: map[string]*owner{}}
	for _, e := range log {
		s, ok := e.note.(step)
		switch {
		case !ok:
		case s.what == "open":
			all.open = all.open || s.acked
		case s.what == "pool":
			all.pool = all.pool || s.acked
		case s.what == "sweep":
			all.swept = true
		default:
			if all.users[s.id] == nil {
				all.users[s.id] = &owner{lives: []life{nil}}
			}
			all.users[s.id].heed(s)
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
	if _, err := s.Pool(ctx, "p"); err != nil && (want.pool || !errors.Is(err, userpool.ErrPoolNotFound)) {
		found = append(found, err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for id, o := range want.users {
		wg.Go(func() {
			err := errors.Join(verifyUser(s, id, o.created), verifyTickets(s, id, o.may(), want.swept))
			mu.Lock()
			defer mu.Unlock()
			found = append(found, err)
		})
	}
	wg.Wait()
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

// verifyTickets redeems the user's tickets, wants what one of the lives says, and
// each login counted once.
func verifyTickets(s *Store, id string, lives []life, swept bool) error {
	before, err := s.User(ctx, "p", id)
	if errors.Is(err, userpool.ErrUserNotFound) {
		return nil // and no ticket was begun
	}
	if err != nil {
		return err
	}
	seen := slices.Clone(lives[len(lives)-1])
	errs := make([]error, len(seen))
	together(len(seen), func(i int) { seen[i].is, errs[i] = verifyTicket(s, id, seen[i].n) })
	if err := errors.Join(errs...); err != nil {
		return err
	}
	count := before.Logins.Count
	if !slices.ContainsFunc(lives, func(l life) bool { return l.shows(seen, count, swept) }) {
		return fmt.Errorf("user %s has %d logins and the tickets %v, want %v", id, count, seen, lives)
	}
	for _, f := range seen {
		if f.is == live {
			count++
		}
	}
	if after, err := s.User(ctx, "p", id); err != nil || after.Logins.Count != count {
		return fmt.Errorf("user %s has %d logins after all tickets were redeemed, %w, want %d", id, after.Logins.Count, err, count)
	}
	return nil
}

// verifyTicket redeems the ticket three times: the first success, if there was
// none yet, is the only one. It returns what had become of the ticket.
func verifyTicket(s *Store, id string, n int) (is string, err error) {
	r := first(id, n)
	revoked, err := s.TokenRevoked(ctx, r.JTI, r.TokenExpiresAt)
	if err != nil {
		return "", err
	}
	var errs [3]error
	for i := range errs {
		again := late(id, n, i)
		again.RevokeOnReplay = false
		errs[i] = second(s.RedeemTicket(ctx, again))
	}
	then := errs[0]
	switch {
	case then == nil:
		is, then = live, ticket.ErrRedeemed
	case errors.Is(then, ticket.ErrRedeemed) && revoked:
		is = replayed
	case errors.Is(then, ticket.ErrRedeemed):
		is = redeemed
	case errors.Is(then, ticket.ErrVoid):
		is = void
	case errors.Is(then, ticket.ErrUnknown):
		is = unknown
	}
	if is == "" || !errors.Is(errs[1], then) || !errors.Is(errs[2], then) || revoked && (is == live || is == void) {
		return "", fmt.Errorf("ticket %d of %s, redeemed three times, its token revoked before: %v: %v", n, id, revoked, errs)
	}
	if is == redeemed || is == replayed {
		if again, err := s.RedeemTicket(ctx, r); err != nil || !again.Repeated || again.JTI != r.JTI {
			return "", fmt.Errorf("ticket %d of %s, its redemption repeated: %+v, %w", n, id, again, err)
		}
	}
	return is, nil
}
