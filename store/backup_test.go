//go:build linux

package store_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/store/move"
	"app2wxapp/store/storetest"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// take makes a backup of an open store.
func take(t testing.TB, s store.Store, key byte) string {
	t.Helper()
	f := must[*os.File](t)(store.Backup(ctx, s, [32]byte{key}, t0.Add(5*time.Second)))
	defer f.Close()
	path := filepath.Join(t.TempDir(), "backup")
	b, err := io.ReadAll(f)
	check(t, err)
	check(t, os.WriteFile(path, b, 0o600))
	return path
}

func TestBackupRestore(t *testing.T) {
	eachWay(t, func(t *testing.T, from, to string) {
		a, b := config(from, 1), config(to, 1)
		s := open(t, a)
		want := populate(t, s, 12)
		backup := take(t, s, 1)
		// What comes after is not in it.
		must[ticket.Redeemed](t)(s.RedeemTicket(ctx, want.live))
		must[userpool.User](t)(s.UpdateUser(ctx, "p", "u000", func(u *userpool.User) (audit.Event, error) { u.Blocked = true; return audit.Event{}, nil }))
		check(t, s.Close())

		if _, err := store.Open(config("bolt:"+backup, 1)); err == nil || !strings.Contains(err.Error(), "app2wxapp restore") {
			t.Errorf("a backup opened as a store: %v, want a refusal", err)
		}
		must[map[move.Kind]move.Sum](t)(store.Restore(ctx, backup, b, silently))
		s = open(t, b)
		verify(t, s, want)
		verifyVoid(t, s, want)
		events, _, err := s.Events(ctx, audit.Query{Type: audit.StoreRestored, Limit: 10})
		if err != nil || len(events) != 1 || events[0].Detail[audit.BackedUp] != "2026-11-20T08:30:05.412Z" || !events[0].At.Equal(later) {
			t.Errorf("event: %+v, %v", events, err)
		}
		check(t, s.Close())
		if _, err := store.Restore(ctx, backup, b, silently); err == nil || !strings.Contains(err.Error(), "already; nothing is ever written over it") {
			t.Errorf("restored again: %v, want a refusal", err)
		}
	})
}

// Refused in words, and nothing is made.
func TestRestoreRefuses(t *testing.T) {
	a := config(places["bolt"](t), 1)
	s := open(t, a)
	populate(t, s, 12)
	backup := take(t, s, 1)
	check(t, s.Close())
	whole, err := os.ReadFile(backup)
	check(t, err)
	spoiled := func(change func([]byte) []byte) string {
		path := filepath.Join(t.TempDir(), "spoiled")
		check(t, os.WriteFile(path, change(bytes.Clone(whole)), 0o600))
		return path
	}
	open := filepath.Join(t.TempDir(), "open")
	check(t, os.WriteFile(open, whole, 0o644))
	check(t, os.Chmod(open, 0o644))
	for name, row := range map[string]struct {
		file, want string
		key        byte
	}{
		"none":           {filepath.Join(t.TempDir(), "none"), "no such file", 1},
		"wrong key":      {backup, "the encryption key is not this store's", 2},
		"cut off":        {spoiled(func(b []byte) []byte { return b[:len(b)-4096] }), "cut off", 1},
		"empty":          {spoiled(func([]byte) []byte { return nil }), "no store of app2wxapp", 1},
		"not one":        {spoiled(func([]byte) []byte { return []byte("no bbolt file, but long enough to be read") }), "no store of app2wxapp", 1},
		"others read it": {open, "chmod 600", 1},
		// Sealed records are dense in the upper half of the file.
		"damaged": {spoiled(damageRecord(t)), "damaged", 1},
	} {
		for to, place := range places {
			b := config(place(t), row.key)
			if _, err := store.Restore(ctx, row.file, b, silently); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%s to %s: %v, want a refusal with %q", name, to, err, row.want)
			}
			if left := leftAt(t, b.URL); len(left) != 0 {
				t.Errorf("%s to %s: left behind: %v", name, to, left)
			}
		}
	}
}

// leftAt returns what is at a place for a store: files, or tables.
func leftAt(t testing.TB, url string) (names []string) {
	t.Helper()
	if store.Remote(url) {
		return tables(t, url)
	}
	path, err := store.Path(url)
	check(t, err)
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// damageRecord flips a bit of the longest record of a pool, which nothing but
// its seal protects.
func damageRecord(t testing.TB) func([]byte) []byte {
	return func(b []byte) []byte {
		i := bytes.Index(b, []byte("a-b\x01\x00\x01")) // key, then the seal's format and key id
		if i < 0 {
			t.Fatal("the pool's record is not where it was")
		}
		b[i+100] ^= 1
		return b
	}
}

// A backup made while users log in is of one moment: each user's logins are the
// tickets that were redeemed, and whatever was live or redeemed cannot be
// redeemed in what is restored from it.
func TestBackupUnderLoad(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			a := config(place(t), 1)
			s := open(t, a)
			check(t, s.CreatePool(ctx, storetest.Pool("p"), audit.Event{}))
			const users, rounds = 8, 40
			stop := make(chan struct{})
			type client struct {
				all  []ticket.Redemption
				done int
			}
			clients := make([]client, users)
			started, ended := make(chan struct{}, users*rounds), make(chan error, users)
			for i := range clients {
				id := fmt.Sprint("u", i)
				check(t, s.CreateUser(ctx, userpool.User{PoolID: "p", ID: id, SignedUp: t0, UpdatedAt: t0}))
				go func() {
					c := &clients[i]
					for n := range rounds {
						select {
						case <-stop:
							ended <- nil
							return
						default:
						}
						tk := ticket.Ticket{Key: storetest.Key(t0, 1000*i+n), PoolID: "p", UserID: id, ExpiresAt: t0.Add(120 * time.Second)}
						if err := s.CreateTicket(ctx, tk, t0); err != nil {
							ended <- err
							return
						}
						r := redemption(tk, fmt.Sprint(id, "-", n))
						c.all = append(c.all, r)
						if n%2 == 0 {
							if _, err := s.RedeemTicket(ctx, r); err != nil {
								ended <- err
								return
							}
							c.done++
						}
						started <- struct{}{}
					}
					ended <- nil
				}()
			}
			for range users * 3 {
				select {
				case <-started:
				case err := <-ended:
					check(t, err)
					ended <- nil // done, having started more than is waited for
					<-started
				}
			}
			backup := take(t, s, 1)
			close(stop)
			for range users {
				check(t, <-ended)
			}
			check(t, s.Close())
			for to, place := range places {
				b := config(place(t), 1)
				must[map[move.Kind]move.Sum](t)(store.Restore(ctx, backup, b, silently))
				s = open(t, b)
				total := 0
				for i := range clients {
					n := int(must[userpool.User](t)(s.User(ctx, "p", fmt.Sprint("u", i))).Logins.Count)
					if total += n; n > clients[i].done {
						t.Errorf("restored to %s: user %d: %d logins in the backup, %d ever", to, i, n, clients[i].done)
					}
					for _, r := range clients[i].all {
						_, err := s.RedeemTicket(ctx, r)
						wantErr(t, "restored to "+to+": ticket "+r.JTI, err, ticket.ErrUnknown)
					}
				}
				if total < users {
					t.Errorf("restored to %s: %d logins in the backup, want %d or more: it is older than its beginning", to, total, users)
				}
				check(t, s.Close())
			}
		})
	}
}
