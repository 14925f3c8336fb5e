package bolt

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"app2wxapp/ticket"
)

// Recent tickets. The records of tickets say what became of them, and what they
// void, and hold logins until these are counted in the users' records of access. Which
// tickets are a user's is kept in memory only, made of the records when the file
// is opened: written down it would cost every login a page of its own, as users
// come in no order. Logins are counted by the sweep, many at a time in the order
// of users, or when the user's record is written anyway.

const (
	// settleBatch is how many users' logins are counted in a transaction, for which
	// redemptions wait, and settleBatches how many transactions that takes at most:
	// where logins share few commits, so many more must be counted in each.
	settleBatch   = 100
	settleBatches = 500
	// lookBatch is how many users, or tickets, are looked through at a time, with the
	// same in mind.
	lookBatch = 1000
	// settleEvery is how long logins are gathered at least, and longer than a read
	// takes.
	settleEvery = 5 * time.Second
)

// recent is the tickets that can be redeemed, and the logins that are not counted.
type recent struct {
	mu     sync.RWMutex
	live   map[userHash][]liveTicket // the first issued first; lists are replaced, never changed
	logins map[string][]login        // by userKey; likewise
	newest uint64                    // highest number of those logins
	// Logins up to this one were counted on disk at that time. They are forgotten
	// when others are: a read that began before finds them here.
	counted uint64
	settled time.Time
}

// userHash is a user in less memory than their key takes.
type userHash [16]byte

type liveTicket struct {
	number uint64 // of ticketRecord
	key    ticket.Key
	end    int64 // milliseconds since 1970
}

// login is a redemption.
type login struct {
	number uint64
	at     int64 // milliseconds since 1970
	addr   netip.Addr
}

func (t ticketRecord) liveTicket() liveTicket {
	return liveTicket{t.number, t.Key, t.ExpiresAt.UnixMilli()}
}

func (t ticketRecord) login() login { return login{t.number, t.redeemedAt.UnixMilli(), t.addr} }

// lists are those of some users, as a transaction leaves them.
type lists struct {
	live   map[userHash][]liveTicket
	logins map[string][]login
}

func hashOf(userKey []byte) userHash {
	sum := sha256.Sum256(userKey)
	return userHash(sum[:16])
}

// begin forgets everything but these.
func (r *recent) begin(l lists) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live, r.logins = l.live, l.logins
	r.newest, r.counted, r.settled = 0, 0, time.Time{}
	for _, list := range l.logins {
		r.newest = max(r.newest, list[len(list)-1].number)
	}
}

func (r *recent) put(l lists) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for who, list := range l.live {
		setList(r.live, who, list)
	}
	for user, list := range l.logins {
		setList(r.logins, user, list)
		r.newest = max(r.newest, list[len(list)-1].number)
	}
}

func setList[K comparable, T any](m map[K][]T, k K, list []T) {
	if len(list) == 0 {
		delete(m, k)
	} else {
		m[k] = list
	}
}

// with returns a copy of the list with v at its end, and no room for more.
func with[T any](list []T, v T) []T {
	return append(append(make([]T, 0, len(list)+1), list...), v)
}

// look calls each for each key of the map, with mu held, of which it lets go in
// between.
func look[K comparable, T any](mu sync.Locker, m map[K]T, each func(K)) {
	mu.Lock()
	defer mu.Unlock()
	n := 0
	for k := range m {
		each(k)
		if n++; n%lookBatch == 0 {
			mu.Unlock()
			mu.Lock()
		}
	}
}

// isDue tells whether the time before is long enough ago.
func (r *recent) isDue(now time.Time) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return now.Before(r.settled) || !now.Before(r.settled.Add(settleEvery))
}

// due forgets the logins that were counted the time before, and returns the users
// with others, in the order of their keys, and the last of these logins.
func (r *recent) due() (users []string, last uint64) {
	r.mu.RLock()
	all, counted, last := r.logins, r.counted, r.newest
	r.mu.RUnlock()
	look(&r.mu, all, func(user string) {
		list := all[user]
		left := slices.IndexFunc(list, func(l login) bool { return l.number > counted })
		if left < 0 {
			left = len(list)
		}
		setList(all, user, list[left:])
		if left < len(list) {
			users = append(users, user)
		}
	})
	slices.Sort(users)
	return users, last
}

// settledUp is told that the logins up to this one are counted on disk.
func (r *recent) settledUp(last uint64, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted, r.settled = max(r.counted, last), now
}

// forget forgets the tickets that ended at that time or before, which may change
// meanwhile.
func (r *recent) forget(at func() int64) {
	over := func(l liveTicket) bool { return l.end <= at() }
	r.mu.Lock()
	all := r.live
	r.mu.Unlock()
	look(&r.mu, all, func(who userHash) {
		if list := all[who]; slices.ContainsFunc(list, over) {
			setList(all, who, slices.DeleteFunc(slices.Clone(list), over))
		}
	})
}

// settle counts the logins that are not counted yet, and forgets tickets that
// nobody's clock can take for live: a clock that falls behind its mark ends all of
// them. A user whose record does not open holds up nobody.
func (s *Store) settle(ctx context.Context, now time.Time) error {
	if !s.recent.isDue(now) {
		return nil
	}
	s.recent.forget(func() int64 {
		seen := now.UnixMilli()
		if s.clock.now != nil {
			seen = min(seen, s.clock.mark.Load())
		}
		return seen - maxStepBack.Milliseconds()
	})

	users, last := s.recent.due()
	for batch := range slices.Chunk(users, max(settleBatch, len(users)/settleBatches)) {
		err := s.updateLater(func(t *tx) error {
			for _, user := range batch {
				poolID, id := splitUserKey(user)
				a, err := t.access(poolID, id)
				if err != nil {
					continue
				}
				if err := t.putAccess(poolID, id, a); err != nil {
					return err
				}
			}
			return nil
		})
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	s.recent.settledUp(last, now)
	return nil
}

// liveOf returns the user's tickets that can be redeemed, or have expired a moment
// ago, the first issued first.
func (t *tx) liveOf(who userHash) []liveTicket {
	if list, changed := t.changed.live[who]; changed {
		return list
	}
	t.s.recent.mu.RLock()
	defer t.s.recent.mu.RUnlock()
	return t.s.recent.live[who]
}

// loginsOf returns the user's logins that may not be counted, in their order.
func (t *tx) loginsOf(userKey []byte) []login {
	if list, changed := t.changed.logins[string(userKey)]; changed {
		return list
	}
	t.s.recent.mu.RLock()
	defer t.s.recent.mu.RUnlock()
	return t.s.recent.logins[string(userKey)]
}

// note keeps the recent tickets in step with a record that is put. Other
// transactions see it when this one is committed.
func (t *tx) note(r ticketRecord) {
	if t.changed.live == nil {
		t.changed = lists{map[userHash][]liveTicket{}, map[string][]login{}}
		t.OnCommit(func() { t.s.recent.put(t.changed) })
	}
	user := t.userKey(r.PoolID, r.UserID)
	who := hashOf(user)
	live := slices.DeleteFunc(slices.Clone(t.liveOf(who)), func(l liveTicket) bool {
		return l.key == r.Key || r.voids > 0 && l.number <= r.voids
	})
	if r.lives(t.s.epoch) {
		live = with(live, r.liveTicket())
	}
	t.changed.live[who] = live
	if r.counts() && !r.revoked { // a replay puts it again
		t.changed.logins[string(user)] = with(t.loginsOf(user), r.login())
	}
}

// isLive tells whether the ticket is one of its user's that live.
func (t *tx) isLive(r ticketRecord) bool {
	list := t.liveOf(hashOf(t.userKey(r.PoolID, r.UserID)))
	return slices.ContainsFunc(list, func(l liveTicket) bool { return l.key == r.Key })
}

// lives tells whether the record says nothing that ends the ticket before its time.
func (t ticketRecord) lives(epoch string) bool {
	return t.redeemedAt.IsZero() && !t.void && t.epoch == epoch
}

// counts tells whether the ticket is one of its user's logins here.
func (t ticketRecord) counts() bool { return !t.redeemedAt.IsZero() && t.number > 0 }

// readRecent makes the lists of the records, and returns the users whose access
// still lists tickets that were redeemed, as that of an earlier version does.
// newest is the highest number, damaged how many records do not open.
func (t *tx) readRecent() (l lists, listed []string, newest uint64, damaged int) {
	l = lists{map[userHash][]liveTicket{}, map[string][]login{}}
	voids := map[userHash]uint64{}
	c := t.Bucket([]byte(bucketTickets)).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if len(k) != len(ticket.Key{}) {
			damaged++
			continue
		}
		r, err := t.ticket(ticket.Key(k))
		if err != nil {
			damaged++
			continue
		}
		newest = max(newest, r.number)
		user := t.userKey(r.PoolID, r.UserID)
		who := hashOf(user)
		if r.lives(t.s.epoch) {
			l.live[who] = with(l.live[who], r.liveTicket())
		}
		if r.voids > 0 {
			voids[who] = max(voids[who], r.voids)
		}
		if r.redeemedAt.IsZero() {
			continue
		}
		a, err := t.writtenAccess(r.PoolID, r.UserID)
		if err == nil && r.number > a.counted {
			l.logins[string(user)] = with(l.logins[string(user)], r.login())
		}
		if slices.Contains(a.listed, r.Key) {
			listed = append(listed, string(user))
		}
	}
	for who, live := range l.live {
		live = slices.DeleteFunc(live, func(l liveTicket) bool { return l.number <= voids[who] && voids[who] > 0 })
		setList(l.live, who, live)
		slices.SortFunc(live, func(a, b liveTicket) int { return cmp.Compare(a.number, b.number) })
	}
	for _, logins := range l.logins {
		slices.SortFunc(logins, func(a, b login) int { return cmp.Compare(a.number, b.number) })
	}
	return l, listed, newest, damaged
}

// beginRecent begins with the file that was opened.
func (t *tx) beginRecent() error {
	l, listed, newest, damaged := t.readRecent()
	t.s.recent.begin(l)
	if err := t.numberAbove(newest); err != nil {
		return err
	}
	if damaged > 0 {
		t.s.log.Error("store: tickets that do not open; those of them that were redeemed are not counted as logins, and those that they voided live", "tickets", damaged)
	}
	for _, user := range listed {
		poolID, id := splitUserKey(user)
		a, err := t.access(poolID, id)
		if err != nil {
			continue // one of the damaged
		}
		if err := t.putAccess(poolID, id, a); err != nil {
			return err
		}
	}
	return nil
}

// nextNumber returns the number of a ticket, or a redemption, that is about to be
// put.
func (t *tx) nextNumber() (uint64, error) {
	return t.Bucket([]byte(bucketTickets)).NextSequence()
}

// numberAbove lets further numbers be higher than that one: the sequence has no
// checksum.
func (t *tx) numberAbove(n uint64) error {
	b := t.Bucket([]byte(bucketTickets))
	if b.Sequence() >= n {
		return nil
	}
	return b.SetSequence(n)
}
