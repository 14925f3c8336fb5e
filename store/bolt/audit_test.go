package bolt

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"app2wxapp/audit"
	"app2wxapp/userpool"
)

func blocked(i int) audit.Event {
	return audit.Event{At: t0.Add(time.Duration(i) * time.Second), Type: audit.UserBlocked, PoolID: "p", UserID: fmt.Sprint("u", i)}
}

// chained makes a store with five events, closes it, and returns its path and
// their ids, the oldest first.
func chained(t *testing.T) (path string, ids []string) {
	path = newPath(t)
	s := open(t, path)
	for i := range 5 {
		check(t, s.RecordEvents(ctx, []audit.Event{blocked(i)}))
	}
	events, _, err := s.Events(ctx, audit.Query{Limit: 10})
	check(t, err)
	for _, e := range events {
		ids = append([]string{e.ID}, ids...)
	}
	closeStore(t, s)
	return path, ids
}

// A row that was altered or taken out shows, also if it was done with the
// store's own key.
func TestChainBreaks(t *testing.T) {
	forge := func(t *testing.T, path, id string) {
		s := open(t, path)
		check(t, s.update(func(t *tx) error {
			record, _, err := t.get(bucketAudit, []byte(id))
			if err != nil {
				return err
			}
			forged := strings.Replace(record, `"user":"u`, `"user":"x`, 1)
			return t.put(bucketAudit, []byte(id), []byte(forged))
		}))
		closeStore(t, s)
	}
	remove := func(t *testing.T, path string, ids ...string) {
		edit(t, path, func(tx *bbolt.Tx) error {
			for _, id := range ids {
				if err := tx.Bucket([]byte(bucketAudit)).Delete([]byte(id)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for _, row := range []struct {
		name  string
		spoil func(t *testing.T, path string, ids []string)
		at    int  // index of the row that does not fit, -1 if all do
		lost  bool // a later row hides it
	}{
		{"nothing", func(*testing.T, string, []string) {}, -1, false},
		{"oldest altered", func(t *testing.T, path string, ids []string) { forge(t, path, ids[0]) }, 1, false},
		{"one altered", func(t *testing.T, path string, ids []string) { forge(t, path, ids[2]) }, 3, false},
		{"newest altered", func(t *testing.T, path string, ids []string) { forge(t, path, ids[4]) }, 4, false},
		{"one taken out", func(t *testing.T, path string, ids []string) { remove(t, path, ids[2]) }, 3, false},
		{"newest taken out", func(t *testing.T, path string, ids []string) { remove(t, path, ids[4]) }, 4, false},
		{"all taken out", func(t *testing.T, path string, ids []string) { remove(t, path, ids...) }, 4, true},
		{"oldest taken out, as a sweep does", func(t *testing.T, path string, ids []string) { remove(t, path, ids[0], ids[1]) }, -1, false},
		{"one damaged", func(t *testing.T, path string, ids []string) {
			edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketAudit)).Put([]byte(ids[3]), []byte("x")) })
		}, 3, false},
	} {
		path, ids := chained(t)
		row.spoil(t, path, ids)
		want := ""
		if row.at >= 0 {
			want = ids[row.at]
		}
		s := open(t, path)
		if chain, err := s.VerifyEvents(ctx); err != nil || chain.Broken != want {
			t.Errorf("%s: broken at %q, %v, want %q", row.name, chain.Broken, err, want)
		}
		// A row that is added later does not mend it, but where it looks as if
		// all before it had been swept.
		check(t, s.RecordEvents(ctx, []audit.Event{blocked(9)}))
		chain, err := s.VerifyEvents(ctx)
		if mended := chain.Broken == "" && want != ""; err != nil || mended != row.lost {
			t.Errorf("%s, and a row later: broken at %q, %v", row.name, chain.Broken, err)
		}
		closeStore(t, s)
	}
}

// The chain goes on after a restart and after a commit that failed.
func TestChainGoesOn(t *testing.T) {
	path, _ := chained(t)
	s := open(t, path)
	check(t, s.RecordEvents(ctx, []audit.Event{blocked(5)}))
	s.commit = (&disk{fail: 1}).commit
	wantErr(t, "failed commit", s.RecordEvents(ctx, []audit.Event{blocked(6)}), userpool.ErrUnavailable)
	for s.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	check(t, s.RecordEvents(ctx, []audit.Event{blocked(7)}))
	if chain, err := s.VerifyEvents(ctx); err != nil || chain.Broken != "" || chain.Events != 7 {
		t.Errorf("%+v, %v, want 7 rows, whole", chain, err)
	}
}

// An act whose event cannot be chained is not done.
func TestNoActWithoutEvent(t *testing.T) {
	path := filled(t)
	edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Put([]byte(metaAudit), []byte("x")) })
	s := open(t, path)
	check(t, second(s.RedeemTicket(ctx, attempt(testTicket("a", 1), "j-a")))) // which has none
	for act, err := range map[string]error{
		"CreatePool": s.CreatePool(ctx, testPool("q"), blocked(1)),
		"UpdatePool": second(s.UpdatePool(ctx, "p", func(p *userpool.Pool) (audit.Event, error) { p.Name = "new"; return blocked(1), nil })),
		"PutUser": second(s.PutUser(ctx, "p", userpool.Keys{}, func(userpool.Matches) (userpool.User, audit.Event, error) {
			return userpool.User{PoolID: "p", ID: "c"}, blocked(1), nil
		})),
		"UpdateUser": second(s.UpdateUser(ctx, "p", "a", func(u *userpool.User) (audit.Event, error) { u.Blocked = true; return blocked(1), nil })),
		"replay":     second(s.RedeemTicket(ctx, attempt(testTicket("a", 1), "j"))),
	} {
		wantErr(t, act, err, userpool.ErrUnavailable)
	}
	wantErr(t, "new pool", second(s.Pool(ctx, "q")), userpool.ErrPoolNotFound)
	wantErr(t, "new user", second(s.User(ctx, "p", "c")), userpool.ErrUserNotFound)
	r := attempt(testTicket("a", 1), "j-a")
	revoked, err := s.TokenRevoked(ctx, r.JTI, r.TokenExpiresAt)
	p, err2 := s.Pool(ctx, "p")
	u, err3 := s.User(ctx, "p", "a")
	if err := errors.Join(err, err2, err3); err != nil || revoked || p.Name == "new" || u.Blocked {
		t.Errorf("revoked %t, pool %q, blocked %t, %v; want all as before", revoked, p.Name, u.Blocked, err)
	}
}

// A clock that is put back is an event, once.
func TestClockPutBackIsTold(t *testing.T) {
	w := newWatched(t)
	live := w.issue()
	w.turn(-time.Hour)
	together(10, func(int) { w.redeem(live) })
	events, _, err := w.Events(ctx, audit.Query{Limit: 10})
	if err != nil || len(events) != 1 || events[0].Type != audit.ClockPutBack || !events[0].At.Equal(w.time()) ||
		events[0].Detail[audit.LatestSeen] != "2026-11-20T08:30:00.412Z" || events[0].By.Role != audit.Program {
		t.Errorf("%+v, %v, want one clock.put_back", events, err)
	}
}

// A rare event is found by following the pages, each of which is a short read.
func TestScanIsBounded(t *testing.T) {
	s := open(t, newPath(t))
	all := []audit.Event{{At: t0, Type: audit.ClockPutBack}}
	for range maxScan + 1 {
		all = append(all, audit.Event{At: t0, Type: audit.RedeemRefused})
	}
	check(t, s.RecordEvents(ctx, all))
	q := audit.Query{Type: audit.ClockPutBack, Limit: 1}
	events, next, err := s.Events(ctx, q)
	if len(events) != 0 || next == "" || err != nil {
		t.Fatalf("first page: %d events, next %q, %v; want none and a next one", len(events), next, err)
	}
	q.Before = next
	if events, next, err = s.Events(ctx, q); len(events) != 1 || next != "" || err != nil {
		t.Errorf("second page: %d events, next %q, %v; want the one, and no next page", len(events), next, err)
	}
}

// A store that was made before there were events gets a place for them.
func TestStoreWithoutAudit(t *testing.T) {
	path := newPath(t)
	closeStore(t, open(t, path))
	edit(t, path, func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(bucketAudit)) })
	s := open(t, path)
	check(t, s.RecordEvents(ctx, []audit.Event{blocked(1)}))
}
