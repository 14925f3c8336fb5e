//go:build linux

package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/store/bolt"
	"app2wxapp/store/move"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/userpool"
)

func TestMigrate(t *testing.T) {
	eachWay(t, func(t *testing.T, from, to string) {
		a, b := config(from, 1), config(to, 2)
		s := open(t, a)
		want := populate(t, s, 12)
		check(t, s.Close())
		before := content(t, a)

		sums := must[map[move.Kind]move.Sum](t)(store.Migrate(ctx, a, b, silently))
		for kind, n := range map[move.Kind]int{move.Pools: 3, move.Users: 36, move.Tickets: 3, move.Revoked: 1, move.Sessions: 2, move.Pictures: 2, move.Holders: 2, move.SigningKeys: 2, move.Events: 5, move.EventsEnd: 1} {
			if sums[kind].Count != n {
				t.Errorf("moved %d %s, want %d", sums[kind].Count, kind, n)
			}
		}
		if content(t, a) != before {
			t.Error("the source was changed")
		}
		s = open(t, b)
		verify(t, s, want)
		verifySpent(t, s, want)
		events, _, err := s.Events(ctx, audit.Query{Type: audit.StoreMigrated, Limit: 10})
		if err != nil || len(events) != 1 || strings.Contains(fmt.Sprint(events[0].Detail), "postgres@") || !strings.Contains(fmt.Sprint(events[0].Detail), "://") && !strings.Contains(fmt.Sprint(events[0].Detail), "bolt:") {
			t.Errorf("event: %+v, %v", events, err)
		}
		check(t, s.Close())

		// Nothing is ever written over a store.
		if _, err := store.Migrate(ctx, a, b, silently); err == nil || !strings.Contains(err.Error(), "already; nothing is ever written over it") {
			t.Errorf("migrated again: %v, want a refusal", err)
		}
		check(t, must[store.Store](t)(store.Open(config(to, 2))).Close())
	})
}

// content is what a source has: a file's bytes; a database's records.
func content(t testing.TB, c store.Config) string {
	t.Helper()
	if path, err := store.Path(c.URL); err == nil {
		b, err := os.ReadFile(path)
		check(t, err)
		return fmt.Sprintf("%x", sha256.Sum256(b))
	}
	return dump(t, c.URL)
}

// interrupted is a destination that fails when it has done so many steps.
type interrupted struct {
	move.Destination
	left *int
}

var errInterrupted = errors.New("planted interruption")

func (d interrupted) step(do func() error) error {
	*d.left--
	switch {
	case *d.left < 0:
		return errors.New("a step after the interruption")
	case *d.left > 0:
		return do()
	}
	return errors.Join(do(), errInterrupted)
}

func (d interrupted) Begin(ctx context.Context, from move.Origin) (at move.Place, err error) {
	return at, d.step(func() error { at, err = d.Destination.Begin(ctx, from); return err })
}

func (d interrupted) Write(ctx context.Context, k move.Kind, r []move.Record, at move.Place) error {
	return d.step(func() error { return d.Destination.Write(ctx, k, r, at) })
}

func (d interrupted) Index(ctx context.Context) error {
	return d.step(func() error { return d.Destination.Index(ctx) })
}

func (d interrupted) Finish(ctx context.Context, e audit.Event) error {
	return d.step(func() error { return d.Destination.Finish(ctx, e) })
}

// small reads small pages.
type small struct{ move.Source }

func (s small) Read(ctx context.Context, k move.Kind, after string, limit int) ([]move.Record, error) {
	limit = min(limit, 2)
	if k == move.Users {
		limit = 6
	}
	return s.Source.Read(ctx, k, after, limit)
}

// Wherever a move is interrupted, the next call goes on; until the end nothing
// can be opened; and nothing is there twice.
func TestMigrateInterrupted(t *testing.T) {
	for name, row := range map[string]struct {
		from, to string
		key      byte
		restored bool
	}{
		"bolt to postgres":           {"bolt", "postgres", 2, false},
		"postgres to bolt":           {"postgres", "bolt", 2, false},
		"backup of bolt to postgres": {"bolt", "postgres", 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := config(places[row.from](t), 1)
			s := open(t, a)
			want := populate(t, s, 5)
			backup := take(t, s, 1)
			check(t, s.Close())
			run := func(b store.Config, wrap func(move.Destination) move.Destination) error {
				if row.restored {
					return restoreOnce(backup, b, wrap)
				}
				return runOnce(a, b, wrap)
			}
			for n := 1; ; n++ {
				b := config(places[row.to](t), row.key)
				left := n
				err := run(b, func(d move.Destination) move.Destination { return interrupted{d, &left} })
				if err == nil {
					if n < 16 {
						t.Errorf("only %d steps", n-1)
					}
					return
				}
				wantErr(t, fmt.Sprint("step ", n), err, errInterrupted)
				if !finished(t, b) {
					if store.Remote(b.URL) {
						if _, err := store.Open(b); err == nil || !strings.Contains(err.Error(), "not complete") {
							t.Fatalf("step %d: opened half made: %v", n, err)
						}
					}
					check(t, run(b, func(d move.Destination) move.Destination { return d }))
				}
				s := open(t, b)
				verify(t, s, want)
				if row.restored {
					verifyVoid(t, s, want)
				} else {
					verifySpent(t, s, want)
				}
				check(t, s.Close())
				if t.Failed() {
					t.Fatalf("after an interruption at step %d", n)
				}
			}
		})
	}
}

// A restoration that was interrupted goes on as one, so that no ticket comes to
// life by a migration that ends it, and the other way round. A backup is for
// restore alone.
func TestRestoreInterrupted(t *testing.T) {
	a, b := config(places["bolt"](t), 1), config(places["postgres"](t), 1)
	s := open(t, a)
	want := populate(t, s, 5)
	backup := take(t, s, 1)
	check(t, s.Close())
	refused := func(what string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a refusal with %q", what, err, want)
		}
	}
	interrupt := func(d move.Destination) move.Destination {
		left := 8
		return interrupted{d, &left}
	}
	migrate := func(from, to store.Config) error { return second(store.Migrate(ctx, from, to, silently)) }

	wantErr(t, "interrupted", restoreOnce(backup, b, interrupt), errInterrupted)
	refused("half restored, opened", second(store.Open(b)), "run the same app2wxapp restore again")
	refused("half restored, moved to", migrate(a, b), "begun by app2wxapp restore; run that again")
	refused("half restored, moved from", migrate(b, config(places["bolt"](t), 2)), "run the same app2wxapp restore again")
	for to, place := range places {
		c := config(place(t), 1)
		refused("a backup moved to "+to, migrate(config("bolt:"+backup, 1), c), "make a store of it: app2wxapp restore FILE")
		if left := leftAt(t, c.URL); len(left) != 0 {
			t.Errorf("a backup moved to %s: left behind: %v", to, left)
		}
	}
	check(t, second(store.Restore(ctx, backup, b, silently)))
	s = open(t, b)
	verify(t, s, want)
	verifyVoid(t, s, want)
	check(t, s.Close())

	b = config(places["postgres"](t), 1)
	wantErr(t, "interrupted", runOnce(a, b, interrupt), errInterrupted)
	refused("half moved, opened", second(store.Open(b)), "run the same app2wxapp store migrate again")
	refused("half moved, restored to", second(store.Restore(ctx, backup, b, silently)), "begun by app2wxapp store migrate; run that again")
	check(t, migrate(a, b))

	// What an earlier version began does not say what it is.
	b = config(places["postgres"](t), 1)
	wantErr(t, "interrupted", restoreOnce(backup, b, interrupt), errInterrupted)
	pgtest.Exec(t, b.URL, `UPDATE app2wxapp_moving SET state = replace(state, '"restored":true,', '')`)
	refused("half made by an earlier version, restored to", second(store.Restore(ctx, backup, b, silently)), "begun by app2wxapp store migrate")
}

// finished tells whether there is a store that opens.
func finished(t testing.TB, c store.Config) bool {
	t.Helper()
	if path, err := store.Path(c.URL); err == nil {
		_, err := os.Stat(path)
		return err == nil
	}
	c.Reg = prometheus.NewRegistry()
	s, err := store.Open(c)
	if err != nil {
		return false
	}
	check(t, s.Close())
	return true
}

// runOnce is Migrate in small steps.
func runOnce(a, b store.Config, wrap func(move.Destination) move.Destination) error {
	from, err := store.OpenSource(ctx, a)
	if err != nil {
		return err
	}
	return runFrom(from, b, wrap)
}

// restoreOnce is Restore in small steps, as far as it is a move.
func restoreOnce(backup string, b store.Config, wrap func(move.Destination) move.Destination) error {
	from, err := bolt.OpenBackup(backup, b.Key)
	if err != nil {
		return err
	}
	return runFrom(from, b, wrap)
}

func runFrom(from move.Source, b store.Config, wrap func(move.Destination) move.Destination) error {
	to, err := store.OpenDestination(ctx, b)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	_, err = move.Run(ctx, small{from}, wrap(to), func() audit.Event {
		return audit.Event{At: later, Type: audit.StoreMigrated, By: audit.Actor{Role: audit.Program}}
	}, silently)
	return errors.Join(err, to.Close(), from.Close())
}

// altering is a destination that stores something else of one kind.
type altering struct {
	move.Destination
	kind  move.Kind
	alter func([]move.Record) []move.Record
}

func (d altering) Write(ctx context.Context, k move.Kind, r []move.Record, at move.Place) error {
	if k == d.kind {
		r = d.alter(r)
	}
	return d.Destination.Write(ctx, k, r, at)
}

// The verification at the end notices a record that is missing, and one that
// differs in a bit, of each kind; then there is no store.
func TestMigrateVerifies(t *testing.T) {
	a := config(places["bolt"](t), 1)
	s := open(t, a)
	populate(t, s, 5)
	check(t, s.Close())
	missing := func(r []move.Record) []move.Record { return r[1:] }
	altered := func(r []move.Record) []move.Record {
		value := []byte(r[0].Value)
		if i := bytes.Index(value, []byte("wx1")); i >= 0 {
			value[i] = 'W' // an AppID, in users and tickets
		} else if i := bytes.LastIndexAny(value, "123456789"); i >= 0 {
			value[i]--
		}
		return append([]move.Record{{Key: r[0].Key, Value: string(value)}}, r[1:]...)
	}
	for to := range places {
		for _, k := range move.Kinds() {
			for name, alter := range map[string]func([]move.Record) []move.Record{"missing": missing, "altered": altered} {
				if k == move.Revoked && name == "altered" {
					continue // it has no value
				}
				b := config(places[to](t), 2)
				err := runOnce(a, b, func(d move.Destination) move.Destination { return altering{d, k, alter} })
				if k == move.Pictures && name == "missing" && err != nil {
					err = move.ErrDiffers // its holder is noticed before
				}
				wantErr(t, fmt.Sprintf("%s: one of %s %s", to, k, name), err, move.ErrDiffers)
				if finished(t, b) {
					t.Errorf("%s: one of %s %s: there is a store", to, k, name)
				}
			}
		}
	}
}

// A source that went on after an interruption is not what was moved.
func TestMigrateSourceChanged(t *testing.T) {
	a, b := config(places["bolt"](t), 1), config(places["bolt"](t), 2)
	s := open(t, a)
	populate(t, s, 5)
	check(t, s.Close())
	left := 8
	wantErr(t, "interrupted", runOnce(a, b, func(d move.Destination) move.Destination { return interrupted{d, &left} }), errInterrupted)
	s = open(t, a)
	must[userpool.User](t)(s.UpdateUser(ctx, "a", "u000", func(u *userpool.User) (audit.Event, error) { u.Blocked = true; return audit.Event{}, nil }))
	check(t, s.Close())
	err := runOnce(a, b, func(d move.Destination) move.Destination { return d })
	wantErr(t, "source changed", err, move.ErrDiffers)
}

// Entries of the deny-list with ends that no database can keep, which a token of
// anybody's making could have, are in nobody's way; all others are moved.
func TestMoveOfEndlessTokens(t *testing.T) {
	last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	a := config(places["bolt"](t), 1)
	s := open(t, a)
	for i, end := range []int64{last.Unix() + 1, 1 << 45, 1 << 62, math.MaxInt64} {
		check(t, s.RevokeToken(ctx, fmt.Sprint("endless", i), time.Unix(end, 0)))
	}
	check(t, s.RevokeToken(ctx, "last", last))
	check(t, s.RevokeToken(ctx, "first", t0.Truncate(time.Second)))
	backup := take(t, s, 1)
	check(t, s.Close())
	arrives := func(what string, to store.Config, run func(to store.Config) (map[move.Kind]move.Sum, error)) {
		t.Helper()
		sums := must[map[move.Kind]move.Sum](t)(run(to))
		if n := sums[move.Revoked].Count; n != 2 {
			t.Errorf("%s: %d entries moved, want 2", what, n)
		}
		s := open(t, to)
		if !must[bool](t)(s.TokenRevoked(ctx, "last", last)) || !must[bool](t)(s.TokenRevoked(ctx, "first", t0.Truncate(time.Second))) {
			t.Errorf("%s: an entry with an end that can be kept is gone", what)
		}
		check(t, s.Close())
	}
	for to, place := range places {
		arrives("moved to "+to, config(place(t), 2), func(b store.Config) (map[move.Kind]move.Sum, error) {
			return store.Migrate(ctx, a, b, silently)
		})
		check(t, runOnce(a, config(place(t), 2), func(d move.Destination) move.Destination { return d })) // pages of nothing else
		arrives("restored to "+to, config(place(t), 1), func(b store.Config) (map[move.Kind]move.Sum, error) {
			return store.Restore(ctx, backup, b, silently)
		})
	}
}

// Refused in words, and nothing is made.
func TestMigrateRefuses(t *testing.T) {
	eachWay(t, func(t *testing.T, from, to string) {
		a, b := config(from, 1), config(to, 2)
		s := open(t, a)
		populate(t, s, 5)
		refused := func(what string, from, to store.Config, want string) {
			t.Helper()
			if _, err := store.Migrate(ctx, from, to, silently); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want a refusal with %q", what, err, want)
			}
		}
		refused("a server has the source open", a, b, "stop")
		check(t, s.Close())
		refused("wrong key of the source", config(from, 3), b, "the encryption key is not this store's")

		// Half of another store is there.
		other := config(places["bolt"](t), 1)
		s = open(t, other)
		populate(t, s, 5)
		check(t, s.Close())
		left := 3
		wantErr(t, "interrupted", runOnce(other, b, func(d move.Destination) move.Destination { return interrupted{d, &left} }), errInterrupted)
		refused("a part of another store", a, b, "a part of another store")
		refused("wrong key of the destination", other, config(to, 3), "the encryption key is not this store's")
		must[map[move.Kind]move.Sum](t)(store.Migrate(ctx, other, b, silently))
		refused("a store", a, b, "nothing is ever written over it")

		s = open(t, b)
		if store.Remote(to) {
			refused("a server has the destination open", a, b, "stop")
		}
		check(t, s.Close())
	})
}
