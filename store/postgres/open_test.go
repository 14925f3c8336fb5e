//go:build linux

package postgres_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/audit"
	"app2wxapp/store/postgres"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/storetest"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// What keeps a store from opening is said in words, without the password.
func TestOpenRefuses(t *testing.T) {
	server := pgtest.Start(t)
	url := pgtest.NewOn(t, server.URL("postgres"))
	check(t, open(t, url).CreatePool(ctx, storetest.Pool("p"), audit.Event{}))
	newer := pgtest.NewOn(t, server.URL("postgres"))
	open(t, newer)
	pgtest.Exec(t, newer, `INSERT INTO app2wxapp_migrations (version_id, is_applied) VALUES (99, true)`)
	with := func(url, password string) string {
		return strings.Replace(url, "postgres@", "postgres:"+password+"@", 1)
	}
	for _, row := range []struct{ name, url, want string }{
		{"no server", "postgres://a:PLANTED@127.0.0.1:1/b?connect_timeout=1", "postgres://127.0.0.1:1/b"},
		{"no URL", "postgres://a:PLANTED%@b", "is not a URL"},
		{"no such database", with(server.URL("nope"), "PLANTED"), "nope"},
		{"forgetful", with(url, "PLANTED") + "&synchronous_commit=off", "synchronous_commit=off"},
		{"a newer version's", with(newer, "PLANTED"), "newer app2wxapp"},
		{"pooler, and no tables", with(pgtest.NewOn(t, server.URL("postgres")), "PLANTED") + "&pooler=transaction", "direct=host:port"},
	} {
		_, err := postgres.Open(config(row.url))
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("%s: got %v, want what has %q in it", row.name, err, row.want)
		}
	}
	c := config(url)
	c.Key = [32]byte{2}
	if _, err := postgres.Open(c); err == nil || !strings.Contains(err.Error(), "the encryption key is not this store's") {
		t.Errorf("another encryption key: %v", err)
	}
	s, err := postgres.Open(config(url + patient + "&synchronous_commit=off&durability=unchecked"))
	check(t, err)
	check(t, s.Close())
}

// A server that may forget what it says is refused, at start and by whoever runs
// already and connects again, unless the URL puts up with it.
func TestForgetfulServer(t *testing.T) {
	server := pgtest.Start(t)
	admin := server.URL("postgres")
	url := pgtest.NewOn(t, admin)
	for _, row := range []struct{ name, good, bad, params string }{
		{"fsync", "on", "off", ""},
		{"full_page_writes", "on", "off", ""},
		// Without a pooler we ask for it ourselves.
		{"synchronous_commit", "on", "off", "&pooler=transaction"},
		{"zero_damaged_pages", "off", "on", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			// set returns when whoever connects is given the value.
			set := func(value string) {
				pgtest.Exec(t, admin, `ALTER SYSTEM SET `+row.name+` = `+value)
				pgtest.Exec(t, admin, `SELECT pg_reload_conf()`)
				eventually(t, row.name+"="+value, func() bool { return asked(t, admin, `SHOW `+row.name)[0] == value })
			}
			open(t, url) // which makes the tables
			running := open(t, url+row.params)
			refused := func(err error) bool {
				return err != nil && strings.Contains(err.Error(), row.name+"="+row.bad) && strings.Contains(err.Error(), "durability=unchecked")
			}

			set(row.bad)
			if err := second(postgres.Open(config(url + patient + row.params))); !refused(err) {
				t.Fatalf("at start: %v", err)
			}
			s, err := postgres.Open(config(url + patient + row.params + "&durability=unchecked"))
			check(t, err)
			check(t, s.Close())
			// It returns when they have ended.
			pgtest.Exec(t, url, `SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
			eventually(t, "a store that runs connects again", func() bool { err = running.Ready(); return err == nil || refused(err) })
			if err == nil {
				t.Error("a store that runs did not refuse the server")
			}
			wantErr(t, "what it answers", second(running.User(ctx, "p", "u")), userpool.ErrUnavailable)

			set(row.good)
			check(t, running.Ready())
			open(t, url+row.params)
		})
	}
}

// What a role or a server has of its own does not make commits forgetful.
func TestSynchronousCommit(t *testing.T) {
	url := pgtest.New(t)
	pgtest.Exec(t, url, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$`)
	if got := asked(t, url, `SHOW synchronous_commit`)[0]; got != "off" {
		t.Fatalf("synchronous_commit=%s, want off", got)
	}
	open(t, url)
}

// A standby is refused, for it takes no writes: whatever durability is put up
// with, and unless the driver is told to look for the primary beside it.
func TestStandby(t *testing.T) {
	primary, standby := pgtest.Start(t), pgtest.Start(t)
	open(t, standby.URL("postgres")) // so that nothing has to be written at the start
	standby.Stop(t)
	standby.StandBy(t)
	standby.Restart(t)
	both := strings.Replace(primary.URL("postgres"), primary.Addr(), standby.Addr()+","+primary.Addr(), 1)
	for _, url := range []string{standby.URL("postgres"), standby.URL("postgres") + "&durability=unchecked", both} {
		if err := second(postgres.Open(config(url + patient))); err == nil || !strings.Contains(err.Error(), "target_session_attrs=read-write") {
			t.Errorf("%s: %v", url, err)
		}
	}
	seed(t, open(t, both+"&target_session_attrs=read-write"))
}

// A table that a crash would empty is refused, but for those that were made so.
func TestUnloggedTables(t *testing.T) {
	url := pgtest.New(t)
	open(t, url)
	for _, drop := range asked(t, url, `SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint WHERE contype = 'f'`) {
		pgtest.Exec(t, url, drop) // what refers to a table keeps it logged
	}
	tables := asked(t, url, `SELECT relname FROM pg_class WHERE relkind = 'r' AND relpersistence = 'p'
		AND relnamespace = 'public'::regnamespace AND relname <> 'app2wxapp_migrations'`)
	if len(tables) == 0 {
		t.Fatal("there is no table")
	}
	for _, table := range tables {
		pgtest.Exec(t, url, `ALTER TABLE `+table+` SET UNLOGGED`)
		if err := second(postgres.Open(config(url + patient))); err == nil || !strings.Contains(err.Error(), "ALTER TABLE "+table+" SET LOGGED") {
			t.Errorf("%s: %v", table, err)
		}
		s, err := postgres.Open(config(url + patient + "&durability=unchecked"))
		check(t, err)
		check(t, s.Close())
		pgtest.Exec(t, url, `ALTER TABLE `+table+` SET LOGGED`)
	}
	// Another program's table, out of our sight, is no matter.
	pgtest.Exec(t, url, `CREATE SCHEMA theirs; CREATE UNLOGGED TABLE theirs.users (id int)`)
	open(t, url)
}

// Many processes may start at once on an empty database.
func TestOpenAtOnce(t *testing.T) { openAtOnce(t, 4, pgtest.New(t)) }

// openAtOnce opens the store so many times at once, and closes it.
func openAtOnce(t *testing.T, times int, url string) {
	t.Helper()
	together(times, func(int) {
		s, err := postgres.Open(config(url + patient))
		if err != nil {
			t.Error(err)
			return
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Nothing of a person, and no secret, can be read in the database.
func TestSealed(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	check(t, s.CreatePool(ctx, storetest.Pool("p"), audit.Event{}))
	check(t, s.CreateUser(ctx, storetest.User("p", "u")))
	tk := issue(t, s, "u", 1)
	a := attempt(tk, "j")
	a.Idempotency = [32]byte{1}
	check(t, second(s.RedeemTicket(ctx, a)))
	check(t, second(s.ShareCounts(ctx, []userpool.Count{{Limit: "redeem.failures", Key: a.Addr.String(), N: 1}})))
	check(t, second(s.ClaimCode(ctx, userpool.CodeKey([]byte("16 hashed bytes.")), t0)))
	for _, to := range []string{"+8613800138000", "u@planted.example"} {
		check(t, s.KeepCode(ctx, userpool.OneTimeCode{PoolID: "p", Purpose: userpool.PurposeBind, To: to, Code: "planted-code"}, t0))
	}
	check(t, s.RecordEvents(ctx, []audit.Event{{At: t0, Type: audit.RedeemRefused, By: audit.Actor{Addr: a.Addr}}}))
	c, err := pgx.Connect(ctx, url)
	check(t, err)
	defer c.Close(ctx)
	for _, table := range []string{"meta", "pools", "users", "identities", "access", "tickets", "revoked", "signing_keys", "audit", "audit_end", "codes", "counted", "sessions", "pictures", "picture_holders", "unfinished", "recipients"} {
		rows, err := c.Query(ctx, `SELECT encode(convert_to(t::text, 'UTF8'), 'escape') FROM `+table+` t`)
		check(t, err)
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		check(t, err)
		for _, secret := range []string{"planted", "示例", "oU-u", "o1-u", "13800138000", "203.0.113.7", "2001:db8"} {
			hex := func(s string) string {
				var b strings.Builder
				for _, c := range []byte(s) {
					b.WriteString("0123456789abcdef"[c>>4:][:1] + "0123456789abcdef"[c&15:][:1])
				}
				return b.String()
			}
			if text := strings.Join(all, "\n"); strings.Contains(text, secret) || strings.Contains(text, hex(secret)) {
				t.Errorf("%s shows %q", table, secret)
			}
		}
	}
	// A record that was moved to another user does not open.
	check(t, s.CreateUser(ctx, userpool.User{PoolID: "p", ID: "v", SignedUp: t0, UpdatedAt: t0}))
	pgtest.Exec(t, url, `UPDATE users SET record = (SELECT record FROM users WHERE id = 'u') WHERE id = 'v'`)
	wantErr(t, "a moved record", second(s.User(ctx, "p", "v")), userpool.ErrUnavailable)
	pgtest.Exec(t, url, `DELETE FROM access WHERE user_id = 'u'`)
	wantErr(t, "half a user", second(s.User(ctx, "p", "u")), userpool.ErrUnavailable)
	wantErr(t, "half a user, changed", second(s.UpdateUser(ctx, "p", "u", func(*userpool.User) (audit.Event, error) { return audit.Event{}, nil })), userpool.ErrUnavailable)
	wantErr(t, "a ticket of half a user", s.CreateTicket(ctx, newTicket("u", 2), t0), userpool.ErrUnavailable)
}

// A new epoch, as after restoring a copy, voids what is out.
func TestNewEpoch(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	seed(t, s)
	tk := issue(t, s, "u", 1)
	code := userpool.OneTimeCode{PoolID: "p", Purpose: userpool.PurposeBind, To: "+8613800138000", Code: "012345"}
	check(t, s.KeepCode(ctx, code, t0))
	pgtest.Exec(t, url, `UPDATE meta SET epoch = uuid_send(gen_random_uuid())`)
	wantErr(t, "a code of the old epoch", s.UseCode(ctx, code, t0), userpool.ErrCodeNone)
	wantErr(t, "a new code too soon", s.KeepCode(ctx, code, t0), userpool.ErrRateLimited)
	wantErr(t, "a ticket of the old epoch", second(s.RedeemTicket(ctx, attempt(tk, "j"))), ticket.ErrUnknown)
	check(t, second(s.RedeemTicket(ctx, attempt(issue(t, s, "u", 2), "j"))))
}

// A clock that differs from the server's is told of.
func TestClock(t *testing.T) {
	var log lines
	for _, row := range []struct {
		off  time.Duration
		told bool
	}{{0, false}, {-time.Hour, true}, {time.Hour, true}} {
		before := len(log.String())
		c := config(pgtest.New(t) + patient)
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.Now = func() time.Time { return time.Now().Add(row.off) }
		s, err := postgres.Open(c)
		check(t, err)
		check(t, s.Close())
		if got := strings.Contains(log.String()[before:], "clock"); got != row.told {
			t.Errorf("a clock off by %v: told: %v", row.off, got)
		}
	}
}
