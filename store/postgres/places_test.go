//go:build linux

package postgres_test

import (
	"testing"

	"app2wxapp/audit"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/userpool"
)

// Where a user's rows lay is noted when a ticket is issued; a redemption relies on
// none of it, and puts right what it finds to be wrong.
func TestPlaces(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	seed(t, s)
	check(t, s.CreateUser(ctx, userpool.User{PoolID: "p", ID: "v", SignedUp: t0, UpdatedAt: t0}))
	const (
		noted = `SELECT t.user_id FROM tickets t JOIN access a ON a.ctid = t.access_place AND a.user_id = t.user_id
			JOIN users u ON u.ctid = a.user_place AND u.id = a.user_id WHERE t.redeemed_at IS NULL`
		right = `SELECT u.id FROM access a JOIN users u ON u.ctid = a.user_place AND u.id = a.user_id WHERE u.id = 'u'`
	)
	user := func(id string) userpool.User {
		u, err := s.User(ctx, "p", id)
		check(t, err)
		return u
	}
	for i, since := range []struct {
		what   string
		change func()
	}{
		{"nothing", func() {
			if got := asked(t, url, noted); len(got) != 1 {
				t.Errorf("tickets that say where their user's rows are: %v, want one", got)
			}
		}},
		{"a login with another ticket", func() {
			check(t, second(s.RedeemTicket(ctx, attempt(issue(t, s, "u", 100), "other"))))
		}},
		{"another name", func() {
			check(t, second(s.UpdateUser(ctx, "p", "u", func(u *userpool.User) (audit.Event, error) {
				u.Profile.Nickname = "new"
				return audit.Event{}, nil
			})))
		}},
		{"all rows moved", func() { pgtest.Exec(t, url, `VACUUM FULL users`); pgtest.Exec(t, url, `VACUUM FULL access`) }},
		{"somebody else there", func() {
			pgtest.Exec(t, url, `UPDATE access SET user_place = (SELECT ctid FROM users WHERE id = 'v') WHERE user_id = 'u'`)
			pgtest.Exec(t, url, `UPDATE tickets SET access_place = (SELECT ctid FROM access WHERE user_id = 'v')`)
		}},
		{"no such place", func() {
			pgtest.Exec(t, url, `UPDATE access SET user_place = '(4294967290,1)' WHERE user_id = 'u'`)
			pgtest.Exec(t, url, `UPDATE tickets SET access_place = '(4294967290,1)'`)
		}},
		{"none noted", func() {
			pgtest.Exec(t, url, `UPDATE access SET user_place = NULL`)
			pgtest.Exec(t, url, `UPDATE tickets SET access_place = NULL`)
		}},
	} {
		issued := issue(t, s, "u", i)
		since.change()
		now := user("u")
		done, err := s.RedeemTicket(ctx, attempt(issued, "j"))
		if err != nil || done.User.ID != "u" || done.User.Profile.Nickname != now.Profile.Nickname || done.User.Logins.Count != now.Logins.Count+1 {
			t.Errorf("%s: %+v, %v; want the user, with login %d", since.what, done.User, err, now.Logins.Count+1)
		}
		if got := asked(t, url, right); len(got) != 1 {
			t.Errorf("%s: the login leaves a place that is not the user's", since.what)
		}
	}
	if n := user("v").Logins.Count; n != 0 {
		t.Errorf("%d logins of somebody else", n)
	}
}
