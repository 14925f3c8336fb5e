//go:build linux

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// LimitFiles lets no file of the running server grow beyond so many bytes, as
// if the disk were full; from 0 on they may again. Nothing has to be mounted for
// it. A limit below 16 MiB also stops the write-ahead log, and that ends the
// server.
func (s *Server) LimitFiles(t testing.TB, bytes int64) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		t.Fatal("the server does not run")
	}
	limit := "unlimited"
	if bytes > 0 {
		limit = fmt.Sprint(bytes)
	}
	// The server first: who comes later inherits its limit.
	first := strconv.Itoa(s.process.Process.Pid)
	for _, pid := range append([]string{first}, children(t, first)...) {
		// Whoever is not the processes' user may not set their limits, not even
		// root in a container.
		cmd := exec.Command("prlimit", "--pid", pid, "--fsize="+limit+":") // #nosec G204 -- our own numbers
		cmd.SysProcAttr = s.as
		if out, err := cmd.CombinedOutput(); err != nil && there(pid) {
			t.Fatalf("prlimit, of util-linux: %v %s", err, out)
		}
	}
}

// StandBy makes a server that was stopped a standby from its next start on: it
// waits for a log that never comes, and only reads.
func (s *Server) StandBy(t testing.TB) {
	t.Helper()
	path := filepath.Join(s.folder, "standby.signal")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if c := s.as.Credential; c != nil {
		if err := os.Chown(path, int(c.Uid), int(c.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// children returns the processes that this one started.
func children(t testing.TB, pid string) (all []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		b, err := os.ReadFile(path) // #nosec G304 -- of the system
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent …, and a name may have anything in it.
		text := string(b)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		if len(fields) > 1 && fields[1] == pid {
			all = append(all, filepath.Base(filepath.Dir(path)))
		}
	}
	return all
}

func there(pid string) bool {
	_, err := os.Stat("/proc/" + pid)
	return !errors.Is(err, os.ErrNotExist)
}

// Size is how many bytes the table's file has. It is less than 1 GiB.
func Size(t testing.TB, url, table string) (bytes int64) {
	t.Helper()
	one(t, url, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT pg_relation_size($1::regclass)", table).Scan(&bytes)
	})
	return bytes
}

// Lock locks the table against everybody until release is called.
func Lock(t testing.TB, url, table string) (release func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	// Without arguments both run as one.
	if _, err := c.Exec(ctx, "BEGIN; LOCK TABLE "+pgx.Identifier{table}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	return func() {
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

// one does something on a connection of its own.
func one(t testing.TB, url string, do func(context.Context, *pgx.Conn) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if err := do(ctx, c); err != nil {
		t.Fatal(err)
	}
}
