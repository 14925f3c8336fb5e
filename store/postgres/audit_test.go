//go:build linux

package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store/postgres"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/userpool"
)

func blocked(i int) audit.Event {
	return audit.Event{At: t0.Add(time.Duration(i) * time.Second), Type: audit.UserBlocked, PoolID: "p", UserID: name(i)}
}

// newest returns the ids of all events, the newest first.
func newest(t *testing.T, s *postgres.Store) (ids []string) {
	t.Helper()
	events, _, err := s.Events(ctx, audit.Query{Limit: 100})
	check(t, err)
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

// A row that was altered, moved or taken out shows, and so does one that a
// search would no longer find.
func TestChainBreaks(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	for _, row := range []struct {
		name, spoil string // $1 is the id of the newest row but two
		at          int    // index of the row that does not fit, the newest first; -1 if all do
	}{
		{"nothing", `SELECT $1::text`, -1},
		{"taken out", `DELETE FROM audit WHERE id = $1`, 1},
		{"damaged", `UPDATE audit SET record = '\x00' WHERE id = $1`, 2},
		{"another's record", `UPDATE audit SET record = (SELECT record FROM audit WHERE id > $1 LIMIT 1) WHERE id = $1`, 2},
		{"hidden in another pool", `UPDATE audit SET pool_id = 'q' WHERE id = $1`, 2},
		{"hidden under another type", `UPDATE audit SET type = 'x' WHERE id = $1`, 2},
		{"newest taken out", `DELETE FROM audit WHERE id > $1`, 0},
		{"oldest taken out, as a sweep does", `DELETE FROM audit WHERE id <= $1`, -1},
	} {
		pgtest.Exec(t, url, `TRUNCATE audit`)
		pgtest.Exec(t, url, `UPDATE audit_end SET record = NULL`)
		for i := range 5 {
			check(t, s.RecordEvents(ctx, []audit.Event{blocked(i)}))
		}
		ids := newest(t, s)
		pgtest.Exec(t, url, row.spoil, ids[2])
		want := ""
		if row.at >= 0 {
			want = ids[row.at]
		}
		if chain, err := s.VerifyEvents(ctx); err != nil || chain.Broken != want {
			t.Errorf("%s: broken at %q, %v, want %q", row.name, chain.Broken, err, want)
		}
	}
}

// Processes on one database make one chain.
func TestOneChain(t *testing.T) {
	url := pgtest.New(t)
	a, b := open(t, url), open(t, url)
	together(40, func(i int) {
		s := a
		if i%2 == 0 {
			s = b
		}
		if err := s.RecordEvents(ctx, []audit.Event{blocked(i), blocked(i)}); err != nil {
			t.Error(err)
		}
	})
	if chain, err := a.VerifyEvents(ctx); err != nil || chain.Broken != "" || chain.Events != 80 {
		t.Errorf("%+v, %v, want 80 rows, whole", chain, err)
	}
}

// A long trail is read page by page.
func TestLongChain(t *testing.T) {
	s := open(t, pgtest.New(t))
	const n = 2500
	var events []audit.Event
	for range n {
		events = append(events, blocked(0))
	}
	check(t, s.RecordEvents(ctx, events))
	if chain, err := s.VerifyEvents(ctx); err != nil || chain.Broken != "" || chain.Events != n {
		t.Errorf("%d rows, broken at %q, %v, want %d, whole", chain.Events, chain.Broken, err, n)
	}
}

// An act whose event cannot be chained is not done.
func TestNoActWithoutEvent(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	seed(t, s)
	tk := issue(t, s, "u", 1)
	pgtest.Exec(t, url, `UPDATE audit_end SET record = '\x00'`)
	check(t, second(s.RedeemTicket(ctx, attempt(tk, "j")))) // which has none
	for act, err := range map[string]error{
		"CreatePool": s.CreatePool(ctx, userpool.Pool{ID: "q"}, blocked(1)),
		"UpdatePool": second(s.UpdatePool(ctx, "p", func(p *userpool.Pool) (audit.Event, error) { p.Name = "new"; return blocked(1), nil })),
		"PutUser": second(s.PutUser(ctx, "p", userpool.Keys{}, func(userpool.Matches) (userpool.User, audit.Event, error) {
			return userpool.User{PoolID: "p", ID: "c"}, blocked(1), nil
		})),
		"UpdateUser": second(s.UpdateUser(ctx, "p", "u", func(u *userpool.User) (audit.Event, error) { u.Blocked = true; return blocked(1), nil })),
		"replay":     second(s.RedeemTicket(ctx, attempt(tk, "j2"))),
	} {
		wantErr(t, act, err, userpool.ErrUnavailable)
	}
	wantErr(t, "new pool", second(s.Pool(ctx, "q")), userpool.ErrPoolNotFound)
	wantErr(t, "new user", second(s.User(ctx, "p", "c")), userpool.ErrUserNotFound)
	a := attempt(tk, "j")
	revoked, err := s.TokenRevoked(ctx, a.JTI, a.TokenExpiresAt)
	check(t, err)
	p, err := s.Pool(ctx, "p")
	check(t, err)
	u, err := s.User(ctx, "p", "u")
	check(t, err)
	if got := fmt.Sprint(revoked, p.Name == "new", u.Blocked); got != "false false false" {
		t.Errorf("revoked, renamed, blocked: %s; want all as before", got)
	}
}
