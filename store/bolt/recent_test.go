package bolt

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"app2wxapp/audit"
	"app2wxapp/store/move"
	"app2wxapp/store/record"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// recentNow returns what the store keeps in memory, without what may be there or
// not: tickets that have ended, and logins that are counted.
func recentNow(t *testing.T, s *Store, now time.Time) lists {
	t.Helper()
	l := lists{map[userHash][]liveTicket{}, map[string][]login{}}
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
		l, _, _, _ = tx.readRecent()
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
		if err := tx.Bucket([]byte(bucketMeta)).Put([]byte(metaSchema), []byte("1")); err != nil {
			return err
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
	b, err := os.ReadFile(path)
	check(t, err)
	s = open(t, copyFile(t, filepath.Join(t.TempDir(), "store.db"), b))
	check(t, second(s.SweepTickets(ctx, t0.Add(time.Hour), 100)))
	if u, err := s.User(ctx, "p", "b"); err != nil || u.Logins.Count != 4 {
		t.Errorf("without the tickets %d logins, %v, want 4", u.Logins.Count, err)
	}
	edit(t, path, func(tx *bbolt.Tx) error {
		if n := string(tx.Bucket([]byte(bucketMeta)).Get([]byte(metaSchema))); n != fmt.Sprint(schema) {
			t.Errorf("schema %s, want that which an earlier version refuses", n)
		}
		return nil
	})
	s = open(t, path)
	check(t, second(s.RedeemTicket(ctx, attempt(testTicket("b", 2), "j-b-2"))))
	check(t, second(s.SweepTickets(ctx, t0.Add(2*time.Second), 100)))
	if u, err := s.User(ctx, "p", "b"); err != nil || u.Logins.Count != 5 {
		t.Errorf("%d logins, %v, want 5", u.Logins.Count, err)
	}
}

// Tickets of one user that live for different times, and those of an earlier version
// of the program, which have no number, are over as all others are.
func TestEndedBetweenOthers(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	check(t, s.CreatePool(ctx, testPool("p"), audit.Event{}))
	check(t, s.CreateUser(ctx, testUser("a")))
	issue := func(n int, life time.Duration, now time.Time) ticket.Ticket {
		t.Helper()
		tk := testTicket("a", n)
		tk.ExpiresAt = t0.Add(life)
		check(t, s.CreateTicket(ctx, tk, now))
		return tk
	}
	long, short := issue(1, 10*time.Minute, t0), issue(2, 10*time.Second, t0)
	next := issue(3, 10*time.Minute, short.ExpiresAt)
	for range 2 {
		_, err := s.RedeemTicket(ctx, attempt(short, "j"))
		wantErr(t, "the one that ended between two that live", err, ticket.ErrVoid)
		closeStore(t, s)
		s = open(t, path)
	}
	sealer := s.sealer
	closeStore(t, s)
	every(t, path, bucketTickets, func(b *bbolt.Bucket, k, v []byte) error {
		plain, err := sealer.Open(nil, bucketTickets, k, v)
		if err != nil {
			return err
		}
		r, err := decodeTicket(ticket.Key(k), string(plain))
		r.number, r.voids = 0, 0
		return errors.Join(err, b.Put(k, sealer.Seal(nil, bucketTickets, k, r.encode(nil))))
	})
	s = open(t, path)
	for i := range ticket.MaxLive - 1 {
		issue(10+i, time.Minute, t0)
	}
	voided := 0
	for _, tk := range []ticket.Ticket{long, next} {
		if err := second(s.RedeemTicket(ctx, attempt(tk, fmt.Sprint(tk.Key)))); errors.Is(err, ticket.ErrVoid) {
			voided++
		}
	}
	if voided != 1 {
		t.Errorf("of six tickets, two without a number, %d are void, want 1 of these", voided)
	}
}

// A ticket that is over stays so when the one that came instead is swept before its
// own end.
func TestVoidingTicketStays(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	check(t, s.CreatePool(ctx, testPool("p"), audit.Event{}))
	check(t, s.CreateUser(ctx, testUser("a")))
	long := testTicket("a", 0)
	long.ExpiresAt = t0.Add(userpool.MaxTicketTTL)
	check(t, s.CreateTicket(ctx, long, t0))
	for i := range ticket.MaxLive {
		tk := testTicket("a", 1+i)
		tk.ExpiresAt = t0.Add(userpool.MinTicketTTL)
		check(t, s.CreateTicket(ctx, tk, t0))
	}
	check(t, second(s.SweepTickets(ctx, t0.Add(userpool.MinTicketTTL+ticket.RetainFor), 100)))
	closeStore(t, s)
	_, err := open(t, path).RedeemTicket(ctx, attempt(long, "j"))
	wantErr(t, "the oldest of six", err, ticket.ErrVoid)
}

// A replay of what was counted long ago beside a login counts nothing, and keeps no
// sweep busy.
func TestReplayBesideLogin(t *testing.T) {
	s, d, _ := onDisk(t, newPath(t))
	check(t, s.CreateUser(ctx, testUser("a")))
	for i := range 2 {
		check(t, s.CreateTicket(ctx, testTicket("a", i), t0))
	}
	check(t, second(s.RedeemTicket(ctx, attempt(testTicket("a", 0), "j0"))))
	sweep := func(n int) { check(t, second(s.SweepTickets(ctx, t0.Add(time.Duration(n)*10*time.Second), 100))) }
	sweep(1)
	check(t, second(s.RedeemTicket(ctx, attempt(testTicket("a", 1), "j1"))))
	_, err := s.RedeemTicket(ctx, attempt(testTicket("a", 0), ""))
	wantErr(t, "a replay", err, ticket.ErrRedeemed)
	sweep(2)
	sweep(3)
	before := d.count()
	sweep(4)
	if n := d.count() - before; n != 0 {
		t.Errorf("%d commits of a sweep that has nothing to do", n)
	}
	if u, err := s.User(ctx, "p", "a"); err != nil || u.Logins.Count != 2 {
		t.Errorf("%d logins, %v, want 2", u.Logins.Count, err)
	}
}

// Of a ticket that does not open nobody knows whose it is. Its user is spoken of as
// damaged only as far as a list names it; nobody else notices.
func TestDamagedTicketAtStart(t *testing.T) {
	path := filled(t)
	s := open(t, path)
	sealer := s.sealer
	closeStore(t, s)
	keys := []ticket.Key{testTicket("b", 1).Key, testTicket("a", 1).Key}
	edit(t, path, func(tx *bbolt.Tx) error {
		k := keys[1]
		return errors.Join(
			tx.Bucket([]byte(bucketTickets)).Put(k[:], []byte("damaged")),
			tx.Bucket([]byte(bucketAccess)).Put([]byte("p/b"), sealer.Seal(nil, bucketAccess, []byte("p/b"), listing(keys...))))
	})
	log := newEvents()
	s, err := Open(config(path, log))
	check(t, err)
	log.await(t, "tickets that do not open")
	_, err = s.User(ctx, "p", "b")
	wantErr(t, "the user whose list names it", err, userpool.ErrUnavailable)
	check(t, second(s.User(ctx, "p", "a")))
	closeStore(t, s)
}

// A sweep by a clock that is ahead takes no ticket for ended that still lives when
// the clock is right again.
func TestSweepAheadOfClock(t *testing.T) {
	now := t0
	c := config(newPath(t), slog.DiscardHandler)
	c.Now = func() time.Time { return now }
	s, err := Open(c)
	check(t, err)
	check(t, s.CreatePool(ctx, testPool("p"), audit.Event{}))
	check(t, s.CreateUser(ctx, testUser("a")))
	for i := range ticket.MaxLive {
		check(t, s.CreateTicket(ctx, testTicket("a", i), t0))
	}
	check(t, second(s.SweepTickets(ctx, t0.Add(5*time.Minute), 100)))
	check(t, s.CreateTicket(ctx, testTicket("a", 9), t0))
	_, err = s.RedeemTicket(ctx, attempt(testTicket("a", 0), "j"))
	wantErr(t, "the oldest of six", err, ticket.ErrVoid)
	check(t, second(s.RedeemTicket(ctx, attempt(testTicket("a", 3), "j3"))))
	closeStore(t, s)
}

// While a look lets go of the lock, the file may be opened again: what it has of
// the old one must not come back.
func TestForgetBesideReopening(t *testing.T) {
	var r recent
	full := func(end int64) lists {
		l := lists{map[userHash][]liveTicket{}, nil}
		for i := range 10 * lookBatch {
			l.live[hashOf(fmt.Append(nil, i))] = []liveTicket{{end: 1}, {end: end}}
		}
		return l
	}
	r.begin(full(10))
	began := make(chan struct{})
	go func() {
		defer close(began)
		r.begin(full(20))
	}()
	first := func() int64 { return 1 }
	r.forget(first)
	<-began
	r.forget(first)
	for _, list := range r.live {
		if len(list) != 1 || list[0].end != 20 {
			t.Fatalf("%+v, want what the file says that was opened last", list)
		}
	}
}

// The sequence of numbers has no checksum. With a lower one no login is lost, and no
// other ticket voided than the oldest.
func TestDamagedSequence(t *testing.T) {
	path := filled(t)
	damage := func() {
		edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketTickets)).SetSequence(1) })
	}
	s := open(t, path)
	for i := range ticket.MaxLive {
		check(t, s.CreateTicket(ctx, testTicket("a", 10+i), t0))
	}
	closeStore(t, s)
	damage()
	s = open(t, path)
	for n := range 2 {
		check(t, s.CreateTicket(ctx, testTicket("a", 20+n), t0))
	}
	_, err := s.RedeemTicket(ctx, attempt(testTicket("a", 11), "j11"))
	wantErr(t, "the second of seven", err, ticket.ErrVoid)
	for _, n := range []int{12, 20, 21} {
		check(t, second(s.RedeemTicket(ctx, attempt(testTicket("a", n), fmt.Sprint("j", n)))))
	}
	logins := func() uint64 {
		t.Helper()
		u, err := s.User(ctx, "p", "a")
		check(t, err)
		return u.Logins.Count
	}
	before := logins()
	check(t, second(s.SweepTickets(ctx, t0.Add(time.Hour), 100)))
	closeStore(t, s)
	damage()
	s = open(t, path)
	check(t, s.CreateTicket(ctx, testTicket("a", 30), t0))
	check(t, second(s.RedeemTicket(ctx, attempt(testTicket("a", 30), "j30"))))
	if n := logins(); n != before+1 {
		t.Errorf("%d logins, want %d", n, before+1)
	}
}

// Logins of more users than are counted in a transaction, some of them while others
// are: each counts once, also when the tickets are gone.
func TestSettleManyUsers(t *testing.T) {
	const users, rounds = 2*settleBatch + settleBatch/2, 3
	path := newPath(t)
	s := open(t, path)
	check(t, s.CreatePool(ctx, testPool("p"), audit.Event{}))
	id := func(i int) string { return fmt.Sprint("u", i) }
	each := func(do func(i int)) {
		const callers = 25 // few enough for none to be refused
		together(callers, func(c int) {
			for i := c; i < users; i += callers {
				do(i)
			}
		})
	}
	counted := func(when string, want uint64) {
		t.Helper()
		for i := range users {
			if u, err := s.User(ctx, "p", id(i)); err != nil || u.Logins.Count != want {
				t.Fatalf("%s: user %d has %d logins, %v, want %d", when, i, u.Logins.Count, err, want)
			}
		}
	}
	each(func(i int) {
		u := testUser(id(i))
		u.Phone = ""
		if err := s.CreateUser(ctx, u); err != nil {
			t.Error(err)
		}
	})
	login := func(round int) {
		each(func(i int) {
			tk := ticket.Ticket{PoolID: "p", UserID: id(i), ExpiresAt: t0.Add(time.Minute)}
			_, tk.Key = userpool.NewOneTime(t0)
			err := s.CreateTicket(ctx, tk, t0)
			if err == nil {
				err = second(s.RedeemTicket(ctx, attempt(tk, fmt.Sprint("j", round, "-", i))))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	login(0) // of all, before the first sweep
	enough, swept := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 1; ; n++ {
			select {
			case <-enough:
				swept <- nil
				return
			default:
				if _, err := s.SweepTickets(ctx, t0.Add(time.Duration(n%2)*settleEvery), 100); err != nil {
					swept <- err
					return
				}
			}
		}
	}()
	for round := 1; round < rounds; round++ {
		login(round)
		counted("beside sweeps", uint64(round)+1)
	}
	close(enough)
	check(t, <-swept)
	for hour := range time.Duration(10) {
		check(t, second(s.SweepTickets(ctx, t0.Add((1+hour)*time.Hour), 100)))
	}
	if n := entries(t, s, bucketTickets); n > 0 {
		t.Errorf("%d tickets are left", n)
	}
	counted("the tickets gone", rounds)
	closeStore(t, s)
	s = open(t, path)
	counted("started again", rounds)
}

// A read that began before logins were counted on disk still finds them in memory.
func TestReadThatBeganBefore(t *testing.T) {
	s := open(t, newPath(t))
	check(t, s.CreatePool(ctx, testPool("p"), audit.Event{}))
	check(t, s.CreateUser(ctx, testUser("a")))
	check(t, s.CreateTicket(ctx, testTicket("a", 1), t0))
	check(t, second(s.RedeemTicket(ctx, attempt(testTicket("a", 1), "j"))))
	check(t, s.view(func(tx *tx) error {
		swept := make(chan error)
		go func() { swept <- second(s.SweepTickets(ctx, t0, 100)) }()
		check(t, <-swept)
		u, err := tx.user("p", "a")
		if u.Logins.Count != 1 {
			t.Errorf("%d logins, want 1", u.Logins.Count)
		}
		return err
	}))
}
