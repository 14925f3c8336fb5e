package bolt

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"app2wxapp/store/move"
	"app2wxapp/store/record"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// recentNow returns what the store keeps in memory, without what may be there or
// not: tickets that have ended, and logins that are counted.
func recentNow(t *testing.T, s *Store, now time.Time) lists {
	t.Helper()
	l := lists{map[person][]liveTicket{}, map[string][]login{}}
	s.recent.mu.RLock()
	defer s.recent.mu.RUnlock()
	check(t, s.view(func(tx *tx) error {
		for who, list := range s.recent.live {
			setList(l.live, who, slices.DeleteFunc(slices.Clone(list), func(t liveTicket) bool { return t.end <= now.UnixMilli() }))
		}
		for user, list := range s.recent.logins {
			a, err := tx.writtenAccess(splitUserKey(user))
			if err != nil {
				return err
			}
			setList(l.logins, user, slices.DeleteFunc(slices.Clone(list), func(l login) bool { return l.number <= a.counted }))
		}
		return nil
	}))
	return l
}

// recentOnDisk is recentNow of what the records say.
func recentOnDisk(t *testing.T, s *Store, now time.Time) (l lists) {
	t.Helper()
	check(t, s.view(func(tx *tx) error {
		l, _, _ = tx.readRecent()
		for who, list := range l.live {
			setList(l.live, who, slices.DeleteFunc(list, func(t liveTicket) bool { return t.end <= now.UnixMilli() }))
		}
		return nil
	}))
	return l
}

// What is in memory is what the records say, whatever was done, failed or was
// started again; and each login counts once.
func TestRecentFollowsRecords(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		path := newPath(t)
		s, d, log := onDisk(t, path)
		users := []string{"a", "b", "c"}
		for _, id := range users {
			u := testUser(id)
			u.Phone = ""
			check(t, s.CreateUser(ctx, u))
		}
		now, issued := t0, 0
		logins := map[string]uint64{}
		var tickets []ticket.Ticket
		user := rapid.SampledFrom(users)
		pick := func(rt *rapid.T) ticket.Ticket {
			if len(tickets) == 0 {
				rt.Skip("no ticket yet")
			}
			return rapid.SampledFrom(tickets[max(0, len(tickets)-8):]).Draw(rt, "ticket")
		}
		redeem := func(tk ticket.Ticket) error {
			r := attempt(tk, fmt.Sprint("j", issued))
			r.Now = now
			return second(s.RedeemTicket(ctx, r))
		}
		rt.Repeat(map[string]func(*rapid.T){
			"issue": func(rt *rapid.T) {
				issued++
				tk := ticket.Ticket{PoolID: "p", UserID: user.Draw(rt, "user"), ExpiresAt: now.Add(time.Minute)}
				_, tk.Key = userpool.NewOneTime(now) // of any order within the millisecond
				check(t, s.CreateTicket(ctx, tk, now))
				tickets = append(tickets, tk)
			},
			"redeem": func(rt *rapid.T) {
				if tk := pick(rt); redeem(tk) == nil {
					logins[tk.UserID]++
				}
			},
			"a commit fails": func(rt *rapid.T) {
				tk := pick(rt)
				id := tk.UserID
				d.fail, d.late = 1, rapid.Bool().Draw(rt, "late")
				err := redeem(tk)
				if d.fail = 0; !errors.Is(err, errDisk) {
					return // refused before it came to that
				}
				log.await(t, "store: opened again")
				u, err := s.User(ctx, "p", id)
				check(t, err)
				if d.late && u.Logins.Count == logins[id]+1 {
					logins[id]++
				}
			},
			"count a login elsewhere": func(rt *rapid.T) {
				id := user.Draw(rt, "user")
				check(t, second(s.UpdateUser(ctx, "p", id, silent(func(u *userpool.User) error {
					u.Logins = userpool.Logins{Count: u.Logins.Count + 1, Last: now, Addr: netip.MustParseAddr("203.0.113.8")}
					return nil
				}))))
				logins[id]++
			},
			"sweep":   func(*rapid.T) { check(t, second(s.SweepTickets(ctx, now, 100))) },
			"restart": func(*rapid.T) { closeStore(t, s); s, d, log = onDisk(t, path) },
			"turn the clock": func(rt *rapid.T) {
				now = now.Add(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 50 * time.Second, 13 * time.Minute}).Draw(rt, "by"))
			},
			"": func(*rapid.T) {
				if got, want := recentNow(t, s, now), recentOnDisk(t, s, now); !reflect.DeepEqual(got, want) {
					t.Fatalf("in memory %+v, on disk %+v", got, want)
				}
				for _, id := range users {
					if u, err := s.User(ctx, "p", id); err != nil || u.Logins.Count != logins[id] {
						t.Fatalf("user %s: %d logins, %v, want %d", id, u.Logins.Count, err, logins[id])
					}
				}
			},
		})
		closeStore(t, s)
	})
}

// A store of an earlier version lists a user's tickets with the user. The logins
// among them are counted, once, and those that live are worth a login.
func TestListedTickets(t *testing.T) {
	path := filled(t)
	s := open(t, path)
	check(t, s.CreateTicket(ctx, testTicket("b", 2), t0))
	sealer := s.sealer
	closeStore(t, s)
	keys := []ticket.Key{testTicket("b", 1).Key, testTicket("b", 2).Key, testTicket("gone", 1).Key}
	edit(t, path, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketTickets))
		for _, k := range keys[:2] {
			plain, err := sealer.Open(nil, bucketTickets, k[:], b.Get(k[:]))
			if err != nil {
				return err
			}
			r, err := decodeTicket(k, string(plain))
			r.number = 0
			if err := errors.Join(err, b.Put(k[:], sealer.Seal(nil, bucketTickets, k[:], r.encode(nil)))); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte(bucketAccess)).Put([]byte("p/b"), sealer.Seal(nil, bucketAccess, []byte("p/b"), listing(keys...)))
	})
	src, err := OpenSource(path, testKey)
	check(t, err)
	users, err := src.Read(ctx, move.Users, "p/a", 1)
	check(t, err)
	if u, err := record.DecodeWholeUser("p", "b", users[0].Value); err != nil || u.Logins.Count != 4 {
		t.Errorf("moved with %d logins, %v, want the 3 counted and the one redeemed", u.Logins.Count, err)
	}
	check(t, src.Close())
	for range 2 {
		s = open(t, path)
		if u, err := s.User(ctx, "p", "b"); err != nil || u.Logins.Count != 4 {
			t.Errorf("%d logins, %v, want the 3 counted and the one redeemed", u.Logins.Count, err)
		}
		closeStore(t, s)
	}
	s = open(t, path)
	check(t, second(s.RedeemTicket(ctx, attempt(testTicket("b", 2), "j-b-2"))))
	check(t, second(s.SweepTickets(ctx, t0.Add(2*time.Second), 100)))
	if u, err := s.User(ctx, "p", "b"); err != nil || u.Logins.Count != 5 {
		t.Errorf("%d logins, %v, want 5", u.Logins.Count, err)
	}
}
