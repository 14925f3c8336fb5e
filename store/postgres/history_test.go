//go:build linux

package postgres_test

import (
	"errors"
	"flag"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/audit"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/storetest"
	"app2wxapp/store/storetest/load"
	"app2wxapp/ticket"
	"app2wxapp/ticket/history"
	"app2wxapp/userpool"
)

var (
	historyOps = flag.Int("history.ops", 3_000, "operations of each TestHistory")
	crashes    = flag.Int64("crashes", 3, "crashes of PostgreSQL in TestHistoryCrashes")
)

// disturb does something again and again, with pauses, until it is stopped.
func disturb(pause time.Duration, do func()) (stop func()) {
	ended := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(pause):
				do()
			}
		}
	})
	return func() { close(ended); wg.Wait() }
}

// Many callers at once in three processes, as it were, on one database.
func TestHistory(t *testing.T) {
	url := pgtest.New(t)
	load.History(t, *historyOps, open(t, url), open(t, url), open(t, url))
}

// Connections are cut by the server, in the middle of whatever they do.
func TestHistoryConnectionsLost(t *testing.T) {
	url := pgtest.New(t)
	a, b := open(t, url), open(t, url)
	cut := 0
	stop := disturb(200*time.Millisecond, func() {
		cut++
		pgtest.Exec(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'app2wxapp'`)
	})
	count := load.History(t, *historyOps, a, b)
	stop()
	t.Logf("all connections cut %d times, %d outcomes unknown", cut, count(history.Unknown))
	if cut == 0 {
		t.Error("no connection was cut: the load proves nothing")
	}
}

// PostgreSQL crashes under load and comes back: whatever was answered is there.
func TestHistoryCrashes(t *testing.T) {
	server := pgtest.Start(t)
	url := pgtest.NewOn(t, server.URL("postgres"))
	a, b := open(t, url), open(t, url)
	unknown := 0
	var n atomic.Int64
	stop := disturb(time.Second, func() {
		n.Add(1)
		server.Stop(t)
		server.Restart(t)
	})
	for n.Load() < *crashes && !t.Failed() {
		unknown += load.History(t, *historyOps/2, a, b)(history.Unknown)
	}
	stop()
	t.Logf("%d crashes, %d outcomes unknown", n.Load(), unknown)
}

// Three processes race for each ticket: one of all wins.
func TestRace(t *testing.T) {
	url := pgtest.New(t)
	race(t, 200, []load.Store{open(t, url), open(t, url), open(t, url)})
}

// race lets eight callers at once, of all stores in turn, redeem each of so many
// tickets: one of them wins, and it is one login.
func race(t *testing.T, tickets int, stores []load.Store) {
	t.Helper()
	const racers = 8
	at := func(i int) load.Store { return stores[i%len(stores)] }
	check(t, at(0).CreatePool(ctx, storetest.Pool("p"), audit.Event{}))
	together(tickets, func(i int) {
		err := at(i).CreateUser(ctx, userpool.User{PoolID: "p", ID: name(i), SignedUp: t0, UpdatedAt: t0})
		if err := errors.Join(err, at(i).CreateTicket(ctx, newTicket(name(i), i), t0)); err != nil {
			t.Error(err)
		}
	})
	won := make([]atomic.Int32, tickets)
	together(tickets*racers, func(i int) {
		_, err := at(i).RedeemTicket(ctx, attempt(newTicket("", i%tickets), name(i)))
		if err == nil {
			won[i%tickets].Add(1)
		} else if !errors.Is(err, ticket.ErrRedeemed) {
			t.Error(err)
		}
	})
	for i := range won {
		if n := won[i].Load(); n != 1 {
			t.Errorf("ticket %d was redeemed %d times", i, n)
		}
		u, err := at(i).User(ctx, "p", name(i))
		check(t, err)
		if u.Logins.Count != 1 {
			t.Errorf("user %d has %d logins, want 1", i, u.Logins.Count)
		}
	}
}

// Two processes issue tickets of one user at once: five stay, the youngest.
func TestSixthVoidsOldestInAnyProcess(t *testing.T) {
	url := pgtest.New(t)
	a, b := open(t, url), open(t, url)
	seed(t, a)
	const n = 40
	together(n, func(i int) {
		s := a
		if i%2 == 0 {
			s = b
		}
		if err := s.CreateTicket(ctx, newTicket("u", i), t0); err != nil {
			t.Error(err)
		}
	})
	live := 0
	for i := range n {
		switch err := second(a.RedeemTicket(ctx, attempt(newTicket("u", i), name(i)))); {
		case err == nil:
			live++
		case !errors.Is(err, ticket.ErrVoid):
			t.Error(err)
		}
	}
	if live != ticket.MaxLive {
		t.Errorf("of %d tickets issued at once %d are live, want %d", n, live, ticket.MaxLive)
	}
}

// A statement redeems one ticket of a user at a time: those who share it with
// others of the same user go again until all have their answer.
func TestOneUsersTickets(t *testing.T) {
	s := open(t, pgtest.New(t))
	seed(t, s)
	const n = 40
	for i := range n {
		issue(t, s, "u", i)
	}
	var won, void atomic.Int64
	var counts sync.Map
	together(n, func(i int) {
		r, err := s.RedeemTicket(ctx, attempt(newTicket("u", i), name(i)))
		switch {
		case err == nil:
			won.Add(1)
			counts.Store(r.User.Logins.Count, i)
		case errors.Is(err, ticket.ErrVoid):
			void.Add(1)
		default:
			t.Errorf("ticket %d: %v", i, err)
		}
	})
	if won.Load() != ticket.MaxLive || void.Load() != n-ticket.MaxLive {
		t.Errorf("%d redeemed and %d void, want %d and %d", won.Load(), void.Load(), ticket.MaxLive, n-ticket.MaxLive)
	}
	for i := range uint64(ticket.MaxLive) {
		if _, ok := counts.Load(i + 1); !ok {
			t.Errorf("no redemption was login %d", i+1)
		}
	}
}

// The numbers of live tickets and their ends stay in step: one that is redeemed
// leaves its place, which the next ticket issued closes, also in rows where a
// place was closed by the redemption itself.
func TestLiveListStaysInStep(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	seed(t, s)
	list := func(what, want string) {
		t.Helper()
		if got := asked(t, url, `SELECT live_no::text || ' ' || cardinality(live_until) FROM access`); got[0] != want {
			t.Errorf("%s: %s, want %s", what, got[0], want)
		}
	}
	var issued []ticket.Ticket
	for i := range 3 {
		issued = append(issued, issue(t, s, "u", i))
	}
	check(t, second(s.RedeemTicket(ctx, attempt(issued[1], "b"))))
	list("one redeemed", "{1,0,3} 3")
	issue(t, s, "u", 3)
	list("one more", "{1,3,4} 3")
	pgtest.Exec(t, url, `UPDATE access SET live_no = '{3,4}', live_until = live_until[2:]`)
	check(t, second(s.RedeemTicket(ctx, attempt(issued[2], "c"))))
	issue(t, s, "u", 4)
	list("after an older version", "{4,5} 2")
}

// What is counted is marked: a ticket that its user's row lists and that cannot
// be marked is no login, and leaves those of others alone.
func TestUnmarkedIsNotCounted(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	seed(t, s)
	check(t, s.CreateUser(ctx, userpool.User{PoolID: "p", ID: "v", SignedUp: t0, UpdatedAt: t0}))
	pgtest.Exec(t, url, `CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
	pgtest.Exec(t, url, `CREATE TRIGGER keep BEFORE UPDATE ON tickets FOR EACH ROW WHEN (OLD.user_id = 'u') EXECUTE FUNCTION keep()`)
	issued := []ticket.Ticket{issue(t, s, "u", 0)}
	for i := range ticket.MaxLive {
		issued = append(issued, issue(t, s, "v", 1+i))
	}
	together(len(issued), func(i int) {
		var want error
		if i == 0 {
			want = userpool.ErrUnavailable
		}
		wantErr(t, "the ticket of "+issued[i].UserID, second(s.RedeemTicket(ctx, attempt(issued[i], name(i)))), want)
	})
	logins := func(user string) uint64 {
		u, err := s.User(ctx, "p", user)
		check(t, err)
		return u.Logins.Count
	}
	if got := logins("u"); got != 0 {
		t.Errorf("a ticket that was not marked counts %d logins", got)
	}
	if got := logins("v"); got != ticket.MaxLive {
		t.Errorf("the other user has %d logins, want %d", got, ticket.MaxLive)
	}
	pgtest.Exec(t, url, `DROP TRIGGER keep ON tickets`)
	check(t, second(s.RedeemTicket(ctx, attempt(issued[0], "j"))))
}

// Whoever is blocked, or signed out, while the redeeming statement waits for
// their row does not come in.
func TestRefusedWhileWaiting(t *testing.T) {
	for _, row := range []struct {
		what, change string
		want         error
	}{
		{"blocked", `blocked = true`, userpool.ErrBlocked},
		{"signed out", `not_before = '2100-01-01'`, ticket.ErrVoid},
		{"five younger tickets", `tickets = 6, void_to = 1, live_no = '{2,3,4,5,6}', live_until = array_fill(live_until[1], '{5}')`, ticket.ErrVoid},
		{"redeemed", `logins = logins + 1, live_no = '{}', live_until = '{}'`, ticket.ErrExpired},
	} {
		t.Run(row.what, func(t *testing.T) {
			url := pgtest.New(t)
			s := open(t, url)
			seed(t, s)
			tk := issue(t, s, "u", 1)
			conn, err := pgx.Connect(ctx, url)
			check(t, err)
			defer func() { check(t, conn.Close(ctx)) }()
			tx, err := conn.Begin(ctx)
			check(t, err)
			check(t, second(tx.Exec(ctx, `UPDATE access SET `+row.change)))
			got := make(chan error)
			go func() { got <- second(s.RedeemTicket(ctx, attempt(tk, "j"))) }()
			eventually(t, "the redemption waits", func() bool {
				var waits bool
				check(t, conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted
					AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database()))`).Scan(&waits))
				return waits
			})
			check(t, tx.Commit(ctx))
			wantErr(t, row.what, <-got, row.want)
		})
	}
}
