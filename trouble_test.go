//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/ticket/history"
)

// PostgreSQL is in trouble of each kind: what cannot be answered is 503 with
// Retry-After, and when the trouble is over everything works, without a restart
// of ours. A ticket that was asked for meanwhile is good once.
func TestPostgresInTrouble(t *testing.T) {
	server := pgtest.Start(t)
	database := server.URL("postgres")
	at := server.Addr()
	l := newLink(t, func() string { return at })
	through, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	through.Host = l.addr
	// Long enough for a statement on a busy machine, short enough for a test.
	r := newReplicas(t, through.String()+"&statement_timeout=1000", 1)[0]
	load := newFleetLoad(t, []*replica{r})

	for _, trouble := range []struct {
		name  string
		begin func() (end func())
		// redeems tells that redemptions go on: they change what is there.
		redeems bool
	}{
		{"connections refused", func() func() {
			l.refuse(true)
			return func() { l.refuse(false) }
		}, false},
		{"connections dead without a word", func() func() {
			l.silent.Store(true)
			// What was lost stays lost: such a connection is of no use afterwards.
			return func() { l.silent.Store(false); l.cut() }
		}, false},
		{"statements time out", func() func() { return pgtest.Lock(t, database, "tickets") }, false},
		{"the disk is full", func() func() {
			fill(t, database)
			server.LimitFiles(t, pgtest.Size(t, database, "tickets"))
			return func() { server.LimitFiles(t, 0) }
		}, true},
		{"the log's disk is full", func() func() {
			// PostgreSQL ends itself; its operator starts it when there is room.
			server.LimitFiles(t, 64<<10)
			return func() { server.Stop(t); server.Restart(t) }
		}, false},
		{"stopped", func() func() {
			server.Stop(t)
			return func() { server.Restart(t) }
		}, false},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			load.t = t
			load.endure(trouble.name, trouble.begin, trouble.redeems)
		})
	}
	load.t = t
	if err := load.Check(); err != nil {
		t.Error(err)
	}
}

// PostgreSQL's disk is full: a memory file system stands for it. Where none can
// be mounted, a limit to the length of files proves the same but for the error
// that PostgreSQL gives (TestPostgresInTrouble).
func TestPostgresDiskFull(t *testing.T) {
	// Not t.TempDir: the server's user must be able to reach it.
	disk, err := os.MkdirTemp("", "disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(disk); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=128m,mode=1777"); err != nil {
		t.Logf("cannot mount (%v): see TestPostgresInTrouble", err)
		return
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	elsewhere := os.TempDir()
	t.Setenv("TMPDIR", disk) // where pgtest puts a server
	server, err := pgtest.Run("max_wal_size=32MB")
	t.Setenv("TMPDIR", elsewhere) // nobody else's disk is full
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Remove(); err != nil {
			t.Error(err)
		}
	})
	database := server.URL("postgres")
	r := newReplicas(t, database, 1)[0]
	load := newFleetLoad(t, []*replica{r})
	load.endure("the disk is full", func() func() {
		// The log has its room before: a server that cannot write it ends.
		pgtest.Exec(t, database, `SELECT pg_switch_wal()`)
		pgtest.Exec(t, database, `CHECKPOINT`)
		ballast := filepath.Join(disk, "ballast")
		if err := os.WriteFile(ballast, make([]byte, 128<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("fill the disk: %v, want %v", err, syscall.ENOSPC)
		}
		return func() {
			if err := os.Remove(ballast); err != nil {
				t.Error(err)
			}
		}
	}, true)
	if err := load.Check(); err != nil {
		t.Error(err)
	}
	if err := r.program.stop(syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	// https://www.postgresql.org/docs/current/errcodes-appendix.html: disk_full
	if !strings.Contains(r.log.String(), "SQLSTATE 53100") {
		t.Errorf("PostgreSQL did not say that its disk is full:\n%s", r.log)
	}
}

// endure asks for tickets in trouble until that is answered 503, and unless
// redemptions go on, redeems one likewise. At the end of the trouble it, and one
// that is issued then, must be good, once.
func (l *fleetLoad) endure(name string, begin func() (end func()), redeems bool) {
	l.t.Helper()
	held := l.issue(0, name)
	end := begin()
	users := 0
	l.until503(func() (int, string) { users++; return l.tryIssue(fmt.Sprint(name, users)) })
	if !redeems {
		l.until503(func() (int, string) { return l.tryRedeem(held, "key") })
	}
	end()
	start := time.Now()
	if got := l.settle(0, held, "key"); got != history.OK {
		l.t.Errorf("the ticket afterwards: %s, want %s", got, history.OK)
	}
	if got := l.settle(0, held, ""); got != history.Refused {
		l.t.Errorf("the ticket once more: %s, want %s", got, history.Refused)
	}
	if other := l.issue(0, name+", afterwards"); l.settle(0, other, "key") != history.OK {
		l.t.Error("a ticket that was issued afterwards does not work")
	}
	l.t.Logf("all is well %v after the end of the trouble", time.Since(start))
}

// fill makes the table of tickets longer than a file of the write-ahead log, so
// that a limit to its length stops nothing else. Its rows are small: beside them
// there is room for no other.
func fill(t *testing.T, database string) {
	pgtest.Exec(t, database, `
		INSERT INTO tickets (key, pool_id, user_id, no, app_id, source_app, challenge, epoch, issued_at, expires_at)
		SELECT int4send(n), '', '', n, '', '', '', '', now(), now() + interval '1 day' FROM generate_series(1, 130000) n`)
	if size := pgtest.Size(t, database, "tickets"); size < 17<<20 {
		t.Fatalf("the table has %d bytes, want more than 17 MiB", size)
	}
}

func (l *fleetLoad) tryIssue(user string) (int, string) {
	return l.post(l.url()+"/oauth/app2wxapp/ticket/"+l.pool, fmt.Sprintf(`{"code":%q}`, l.login(user)), "")
}

func (l *fleetLoad) tryRedeem(held *ticketHeld, key string) (int, string) {
	return l.post(l.url()+"/oauth/app2wxapp/auth/"+l.pool, fmt.Sprintf(`{"ticket":%q,"secret":%q}`, held.text, l.secret), key)
}

// until503 asks until the answer is 503: until the trouble is felt, requests
// may be answered as always.
func (l *fleetLoad) until503(ask func() (int, string)) {
	l.t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		status, body := ask()
		switch {
		case status == http.StatusServiceUnavailable:
			return
		case status != http.StatusOK || time.Now().After(end):
			l.t.Fatalf("got %d %s, want 503", status, body)
		}
	}
}
