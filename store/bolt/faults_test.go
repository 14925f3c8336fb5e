//go:build linux

package bolt

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

var faultsAll = flag.Bool("faults.all", false, "TestCallFails with every error for every call, once and three times")

// failNth fails the n-th call of the kind, counted from 0, and those after it up
// to times.
func failNth(kind string, n, times int, errno syscall.Errno, hit *atomic.Int64) func(call) syscall.Errno {
	at := 0
	return func(c call) syscall.Errno {
		if c.kind != kind {
			return 0
		}
		at++
		if at <= n || at > n+times {
			return 0
		}
		hit.Add(1)
		return errno
	}
}

// durable makes at path what the disk has for certain: what was synced with
// success, and nothing else. A file that the log begins with is base.
func durable(log []event, store, path string, base []byte) error {
	d := newDiskModel()
	f := d.file(store)
	f.synced = call{kind: "write", data: base}.onto(image{})
	for _, e := range log {
		d.apply(e)
	}
	return f.crash(rand.New(rand.NewPCG(0, 0)), 0).write(path)
}

// base is a store with a user who has as many live tickets as one can have, and
// a login that is not counted yet.
type base struct {
	file  []byte
	notes []any
}

func makeBase(t *testing.T, path string) (b base) {
	t.Helper()
	s, err := Open(config(path, slog.DiscardHandler))
	check(t, err)
	w := workload{s: s, note: func(n any) { b.notes = append(b.notes, n) }}
	check(t, w.pool())
	check(t, w.user("a", "i0 r0 i1 i2 i3 i4 i5"))
	closeStore(t, s)
	b.file, err = os.ReadFile(path)
	check(t, err)
	return b
}

// The n-th write, sync or truncate of a login fails, for every n: no step is
// acknowledged that the disk lacks, the store refuses with ErrUnavailable,
// recovers by itself, and starts again.
func TestCallFails(t *testing.T) {
	root := fastFolder(t)
	b := makeBase(t, filepath.Join(root, "base.db"))
	runs := 0
	for _, kind := range []string{"write", "sync", "truncate"} {
		for n, hit := 0, true; hit; n++ {
			for i, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EROFS, syscall.EINTR} {
				if errno == syscall.EINTR && kind != "sync" || !*faultsAll && i != n%2 && n > 3 {
					continue // Go repeats an interrupted write by itself
				}
				hit = loginWithFault(t, filepath.Join(root, fmt.Sprintf("%s-%d-%d.db", kind, n, errno)), b, kind, n, 1, errno)
				if runs++; t.Failed() || !hit {
					break
				}
			}
			if !hit && n == 0 {
				t.Errorf("no %s could fail", kind)
			}
		}
	}
	t.Logf("%d runs", runs)
}

// Where opening again fails too, the store recovers when the cause has ended.
func TestCallFailsForAWhile(t *testing.T) {
	root := fastFolder(t)
	b := makeBase(t, filepath.Join(root, "base.db"))
	step := 7
	if *faultsAll {
		step = 1
	}
	t.Run("group", func(t *testing.T) {
		for _, kind := range []string{"write", "sync"} {
			for n := 0; n < 14; n += step {
				path := filepath.Join(root, fmt.Sprint(kind, n, ".db"))
				t.Run(fmt.Sprint(kind, n), func(t *testing.T) {
					t.Parallel()
					loginWithFault(t, path, b, kind, n, 3, syscall.EIO)
				})
			}
		}
	})
}

func loginWithFault(t *testing.T, path string, b base, kind string, n, times int, errno syscall.Errno) (hit bool) {
	t.Helper()
	check(t, os.WriteFile(path, b.file, 0o600))
	s, err := Open(config(path, slog.DiscardHandler))
	check(t, err)
	opened, err := os.ReadFile(path) // which made a commit
	check(t, err)
	g := newGate(t)
	for _, n := range b.notes {
		g.note(n)
	}
	g.behind(s)
	var hits atomic.Int64
	g.failing(failNth(kind, n, times, errno, &hits))
	name := fmt.Sprintf("%s %d fails %d times with %v", kind, n, times, errno)
	acked := 0
	spoiled := path + ".copy"
	w := workload{s: s, again: true}
	w.note = func(e any) {
		g.note(e)
		if !e.(step).acked {
			return
		}
		// An acknowledged step is on disk, whatever failed before.
		if acked++; hits.Load() > 0 || acked == 6 {
			log := g.events()
			if err := durable(log, path, spoiled, opened); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if err := truthOf(log).verify(spoiled); err != nil {
				t.Errorf("%s: after %+v: %v", name, e, err)
			}
		}
	}
	grow := func() error { return s.update(big(64 << 10)) } // the file must grow: ftruncate
	if err := errors.Join(w.step(step{what: "open"}, grow), w.user("b", ""), w.tickets("a", "i6 r2 p2"), w.sweep()); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	check(t, s.Ready())
	g.failing(nil)
	closeStore(t, s)
	if err := truthOf(g.events()).verify(path); err != nil {
		t.Errorf("%s: after a restart: %v", name, err)
	}
	return hits.Load() > 0
}

// The n-th call of any kind fails while a store is made: Open says so, and the
// next one succeeds.
func TestCallFailsDuringCreation(t *testing.T) {
	root := fastFolder(t)
	runs := 0
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for n := 0; ; n++ {
			path := filepath.Join(root, fmt.Sprintf("%d-%d", errno, n), "a", "store.db")
			g := newGate(t)
			at, kind := 0, "" // guarded by the gate
			g.failing(func(c call) syscall.Errno {
				if at++; at-1 != n {
					return 0
				}
				kind = c.kind
				return errno
			})
			var s *Store
			var err error
			g.do(func() { s, err = Open(config(path, slog.DiscardHandler)) })
			g.failing(nil)
			if err == nil {
				closeStore(t, s)
			}
			if (err == nil) != (kind == "") {
				t.Errorf("call %d (%s) fails with %v: %v", n, kind, errno, err)
			}
			if s, err = Open(config(path, slog.DiscardHandler)); err != nil {
				t.Fatalf("call %d (%s) failed with %v; then: %v", n, kind, errno, err)
			}
			check(t, s.CreatePool(ctx, testPool("p"), audit.Event{}))
			closeStore(t, s)
			if runs++; kind == "" {
				break
			}
		}
	}
	t.Logf("%d runs", runs)
}

// A disk that is full refuses, and the store recovers without a restart when
// there is space again. A memory file system stands for the disk. Only root may
// mount one: TestFileSizeLimit proves the same for everybody.
func TestDiskFull(t *testing.T) {
	root, ok := mountDisk(t, "size=1m")
	if !ok {
		t.Log("a user who is not root has TestFileSizeLimit only")
		return
	}
	path, ballast := filepath.Join(root, "store.db"), filepath.Join(root, "ballast")
	s, err := Open(config(path, slog.DiscardHandler))
	check(t, err)
	fill := func() { _ = os.WriteFile(ballast, make([]byte, 2<<20), 0o600) }
	outOfSpace(t, s, path, fill, func() { check(t, os.Remove(ballast)) })
}

// mountDisk mounts a memory file system, and tells whether it may.
func mountDisk(t *testing.T, options string) (root string, ok bool) {
	t.Helper()
	root = t.TempDir()
	switch err := syscall.Mount("tmpfs", root, "tmpfs", 0, options); {
	case err != nil && os.Getuid() != 0:
		t.Logf("mount: %v", err)
		return "", false
	case err != nil:
		t.Fatalf("mount: %v, and root can: this container lacks CAP_SYS_ADMIN; give it that, or do not test as root", err)
	}
	t.Cleanup(func() { check(t, syscall.Unmount(root, 0)) })
	return root, true
}

// A file system that only reads is refused at the start, in words, and nothing
// is lost. One that becomes so under a running store is TestCallFails (EROFS).
func TestReadOnlyFileSystem(t *testing.T) {
	root, ok := mountDisk(t, "size=4m")
	if !ok {
		return
	}
	path := filepath.Join(root, "store.db")
	s, err := Open(config(path, slog.DiscardHandler))
	check(t, err)
	fill(t, s)
	closeStore(t, s)
	before, err := os.ReadFile(path)
	check(t, err)
	remount := func(flags uintptr) {
		check(t, syscall.Mount("tmpfs", root, "tmpfs", syscall.MS_REMOUNT|flags, "size=4m"))
	}
	remount(syscall.MS_RDONLY)
	refused(t, "a store on a read-only file system", path, "read-only file system")
	refused(t, "a new store on a read-only file system", filepath.Join(root, "new.db"), "read-only file system")
	folder := filepath.Join(root, "data")
	if _, err := Open(config(filepath.Join(folder, "new.db"), slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), folder+": read-only file system") {
		t.Errorf("a new store's folder on a read-only file system: %v", err)
	}
	remount(0)
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file has changed, or: %v", err)
	}
	s = open(t, path)
	wantErr(t, "the redeemed ticket", second(s.RedeemTicket(ctx, attempt(testTicket("b", 1), "j"))), ticket.ErrRedeemed)
	check(t, second(s.RedeemTicket(ctx, attempt(testTicket("a", 1), "j"))))
}

// The system refuses to let the file grow: EFBIG at ftruncate. The limit is the
// process's, so a process of its own has it.
func TestFileSizeLimit(t *testing.T) {
	const child = "STORE_FILE_SIZE_LIMIT"
	if os.Getenv(child) == "" {
		out, err := childTest(t, child)
		if err != nil || !strings.Contains(out, "PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	path := newPath(t)
	s, err := Open(config(path, slog.DiscardHandler))
	check(t, err)
	limit := func(n uint64) func() {
		return func() {
			check(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: ^uint64(0)}))
		}
	}
	ignoreFileSizeSignal()
	outOfSpace(t, s, path, limit(32<<10), limit(^uint64(0)))
}

// outOfSpace lets space end, redeems until that is refused, lets it return, and
// wants the store to write again in time, with all that was acknowledged.
func outOfSpace(t *testing.T, s *Store, path string, fill, free func()) {
	t.Helper()
	var log []event
	w := workload{s: s, note: func(e any) { log = append(log, event{note: e}) }}
	check(t, w.pool())
	for i := range 5 {
		check(t, w.user(fmt.Sprint("before", i), "i1"))
	}
	fill()
	refused := 0
	for i := 0; i < 3000 && refused < 5; i++ {
		if err := w.user(fmt.Sprint("full", i), "i1 r1"); err != nil {
			wantErr(t, "on a full disk", err, userpool.ErrUnavailable)
			refused++
		}
	}
	if refused == 0 {
		t.Fatal("the disk was never full")
	}
	wantErr(t, "on a full disk", s.update(big(2<<20)), userpool.ErrUnavailable)
	free()
	start := time.Now()
	w.again = true
	redeem := func(i int) { check(t, w.tickets(fmt.Sprint("before", i), "r1")) }
	redeem(0)
	if took := time.Since(start); took > recovery {
		t.Errorf("the first redemption was acknowledged after %v, want %v at most", took, recovery)
	}
	for i := 1; i < 5; i++ {
		redeem(i)
	}
	check(t, w.user("after", "i1 r1 p1"))
	closeStore(t, s)
	check(t, truthOf(log).verify(path))
}

// big is a write that needs so much fresh room.
func big(size int) func(*tx) error {
	return func(t *tx) error { return t.put(bucketUsers, t.userKey("p", "big"), make([]byte, size)) }
}
