package bolt

import (
	"cmp"
	"context"
	"crypto/sha256"
	"net/netip"
	"slices"
	"sync"
	"time"

	"app2wxapp/ticket"
)

// Recent tickets. A ticket's record alone decides whether it can be redeemed, and
// holds its login until that is counted in the user's record of access. Which
// tickets are a user's is kept in memory only, made of the records when the file
// is opened: written down it would cost every login a page of its own, as users
// come in no order. Logins are counted by the sweep, many at a time in the order
// of users, or when the user's record is written anyway.

const (
	// settleBatch is how many users' logins are counted in a transaction:
	// redemptions wait for it.
	settleBatch = 100
	// forgetBatch is how many users are looked through at a time, with the same
	// in mind.
	forgetBatch = 1000
)

// recent is the tickets that can be redeemed, and the logins that are not counted.
type recent struct {
	mu     sync.RWMutex
	live   map[person][]liveTicket // the first issued first; lists are replaced, never changed
	logins map[string][]login      // by userKey; likewise
	// Those up to this login are counted on disk. They are forgotten one sweep
	// later: a read that began before finds them here.
	counted uint64
}

// person is a user in less memory than their key takes.
type person [16]byte

type liveTicket struct {
	number uint64 // of ticketRecord
	key    ticket.Key
	end    int64 // milliseconds since 1970
}

// login is a redemption.
type login struct {
	number uint64
	at     time.Time
	addr   netip.Addr
}

// lists are those of some users, as a transaction leaves them.
type lists struct {
	live   map[person][]liveTicket
	logins map[string][]login
}

func personOf(userKey []byte) person {
	sum := sha256.Sum256(userKey)
	return person(sum[:16])
}

// begin forgets everything but these.
func (r *recent) begin(l lists) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live, r.logins, r.counted = l.live, l.logins, 0
}

func (r *recent) put(l lists) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for who, list := range l.live {
		setList(r.live, who, list)
	}
	for user, list := range l.logins {
		setList(r.logins, user, list)
	}
}

func setList[K comparable, T any](m map[K][]T, k K, list []T) {
	if len(list) == 0 {
		delete(m, k)
	} else {
		m[k] = list
	}
}

// due returns the users with logins that are to be counted, in the order of their
// keys, and the last of these logins.
func (r *recent) due() (users []string, last uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for user, list := range r.logins {
		list = slices.DeleteFunc(slices.Clone(list), func(l login) bool { return l.number <= r.counted })
		setList(r.logins, user, list)
		if len(list) > 0 {
			users = append(users, user)
		}
		for _, l := range list {
			last = max(last, l.number)
		}
	}
	slices.Sort(users)
	return users, last
}

// settled is told that the logins up to this one are counted on disk.
func (r *recent) settled(last uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted = max(r.counted, last)
}

// forget forgets tickets that no clock takes for live any more.
func (r *recent) forget(now time.Time) {
	ended := now.Add(-maxStepBack - markEvery).UnixMilli()
	over := func(l liveTicket) bool { return l.end <= ended }
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for who, list := range r.live {
		if slices.ContainsFunc(list, over) {
			setList(r.live, who, slices.DeleteFunc(slices.Clone(list), over))
		}
		if n++; n%forgetBatch == 0 {
			r.mu.Unlock()
			r.mu.Lock()
		}
	}
}

// settle counts the logins that are not counted yet. A user whose record does not
// open holds up nobody, and theirs are lost.
func (s *Store) settle(ctx context.Context) error {
	users, last := s.recent.due()
	for batch := range slices.Chunk(users, settleBatch) {
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
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	s.recent.settled(last)
	return nil
}

// liveOf returns the user's tickets that can be redeemed, or have expired a moment
// ago, the first issued first.
func (t *tx) liveOf(who person) []liveTicket {
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
		t.changed = lists{map[person][]liveTicket{}, map[string][]login{}}
		t.OnCommit(func() { t.s.recent.put(t.changed) })
	}
	user := t.userKey(r.PoolID, r.UserID)
	who := personOf(user)
	live := t.liveOf(who)
	i := slices.IndexFunc(live, func(l liveTicket) bool { return l.key == r.Key })
	switch lives := r.lives(t.s.epoch); {
	case lives && i < 0:
		t.changed.live[who] = append(slices.Clip(live), liveTicket{r.number, r.Key, r.ExpiresAt.UnixMilli()})
	case !lives && i >= 0:
		t.changed.live[who] = slices.Delete(slices.Clone(live), i, i+1)
	}
	logins := t.loginsOf(user)
	if r.counts() && !slices.ContainsFunc(logins, func(l login) bool { return l.number == r.number }) {
		t.changed.logins[string(user)] = append(slices.Clip(logins), login{r.number, r.redeemedAt, r.addr})
	}
}

// lives tells whether there was nothing yet that ends the ticket before its time.
func (t ticketRecord) lives(epoch string) bool {
	return t.redeemedAt.IsZero() && !t.void && !t.ended && t.epoch == epoch
}

// counts tells whether the ticket is one of its user's logins here.
func (t ticketRecord) counts() bool { return !t.redeemedAt.IsZero() && t.number > 0 }

// readRecent makes the lists of the records, and returns the users whose access
// still lists tickets that were redeemed, as that of an earlier version does.
// damaged is how many records do not open.
func (t *tx) readRecent() (l lists, listed []string, damaged int) {
	l = lists{map[person][]liveTicket{}, map[string][]login{}}
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
		user := t.userKey(r.PoolID, r.UserID)
		if r.lives(t.s.epoch) {
			l.live[personOf(user)] = append(l.live[personOf(user)], liveTicket{r.number, r.Key, r.ExpiresAt.UnixMilli()})
		}
		if r.redeemedAt.IsZero() {
			continue
		}
		a, err := t.writtenAccess(r.PoolID, r.UserID)
		if err == nil && r.number > a.counted {
			l.logins[string(user)] = append(l.logins[string(user)], login{r.number, r.redeemedAt, r.addr})
		}
		if slices.Contains(a.listed, r.Key) {
			listed = append(listed, string(user))
		}
	}
	for _, live := range l.live {
		slices.SortFunc(live, func(a, b liveTicket) int { return cmp.Compare(a.number, b.number) })
	}
	for _, logins := range l.logins {
		slices.SortFunc(logins, func(a, b login) int { return cmp.Compare(a.number, b.number) })
	}
	return l, listed, damaged
}

// beginRecent begins with the file that was opened.
func (t *tx) beginRecent() error {
	l, listed, damaged := t.readRecent()
	t.s.recent.begin(l)
	if damaged > 0 {
		t.s.log.Error("store: tickets that do not open; those of them that were redeemed are not counted as logins", "tickets", damaged)
	}
	for _, user := range listed {
		poolID, id := splitUserKey(user)
		a, err := t.access(poolID, id)
		if err == nil {
			err = t.putAccess(poolID, id, a)
		}
		if err != nil {
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
