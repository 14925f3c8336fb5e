package bolt

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"app2wxapp/audit"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

var errDisk = errors.New("planted: disk on fire")

// disk stands between a store and its commits.
type disk struct {
	mu      sync.Mutex
	commits int
	fail    int  // so many of the next commits
	late    bool // a failing one is carried out all the same
	failing func()
	hold    chan struct{} // if set, a commit waits here, after it said so in held
	held    chan struct{}
}

func (d *disk) commit(tx *bbolt.Tx) error {
	d.mu.Lock()
	d.commits++
	fail, late, hold, held, failing := d.fail > 0, d.late, d.hold, d.held, d.failing
	if fail {
		d.fail--
	}
	d.hold = nil
	d.mu.Unlock()
	if !fail || late {
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	if hold != nil {
		close(held)
		<-hold
	}
	if !fail {
		return nil
	}
	if failing != nil {
		failing()
	}
	return errDisk
}

func (d *disk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.commits
}

// onDisk opens a store with pool p whose commits go through the disk.
func onDisk(t *testing.T, path string) (*Store, *disk, *events) {
	t.Helper()
	log := newEvents()
	s, err := Open(config(path, log))
	check(t, err)
	t.Cleanup(func() { closeStore(t, s) })
	d := &disk{}
	s.commit = d.commit
	if err := s.CreatePool(ctx, testPool("p"), audit.Event{}); err != nil && !errors.Is(err, userpool.ErrPoolExists) {
		t.Fatal(err)
	}
	return s, d, log
}

// holdNext lets the next commit wait, makes one, and returns when it waits.
func (d *disk) holdNext(t *testing.T, s *Store) (release func()) {
	t.Helper()
	hold, held := make(chan struct{}), make(chan struct{})
	d.mu.Lock()
	d.hold, d.held = hold, held
	d.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		done <- second(s.UpdatePool(ctx, "p", silent(func(p *userpool.Pool) error { p.Name = "held"; return nil })))
	}()
	<-held
	return sync.OnceFunc(func() {
		close(hold)
		if err := <-done; err != nil {
			t.Errorf("the write that was held: %v", err)
		}
	})
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// behind starts the writes and returns when all of them wait behind the commit
// that is held.
func behind(s *Store, writes ...func(*tx) error) []chan error {
	all := make([]chan error, len(writes))
	for i, do := range writes {
		before := s.queue.len()
		all[i] = make(chan error, 1)
		go func() { all[i] <- s.update(do) }()
		for s.queue.len() == before {
			runtime.Gosched()
		}
	}
	return all
}

// user stores a user named so.
func user(name string) func(*tx) error {
	return func(t *tx) error { return t.putUser(nil, userpool.User{PoolID: "p", ID: name, UnionID: "oU-" + name}) }
}

func has(t *testing.T, s *Store, name string) bool {
	t.Helper()
	_, err := s.User(ctx, "p", name)
	if err != nil && !errors.Is(err, userpool.ErrUserNotFound) {
		t.Errorf("user %s: %v", name, err)
	}
	return err == nil
}

// Every write has its commit when it comes alone: it waits for nobody.
func TestLoneWrites(t *testing.T) {
	s, d, _ := onDisk(t, newPath(t))
	before := d.count()
	for i := range 10 {
		check(t, s.update(user(fmt.Sprint(i))))
		if got := d.count() - before; got != i+1 {
			t.Fatalf("%d writes one after the other: %d commits", i+1, got)
		}
	}
	wantErr(t, "refusal", s.CreatePool(ctx, testPool("p"), audit.Event{}), userpool.ErrPoolExists)
	if got := d.count() - before; got != 10 {
		t.Error("a refusal made a commit")
	}
}

func TestManyWritesShareCommit(t *testing.T) {
	s, d, _ := onDisk(t, newPath(t))
	release := d.holdNext(t, s)
	before := d.count()
	var writes []func(*tx) error
	for i := range 50 {
		writes = append(writes, user(fmt.Sprint(i)))
	}
	done := behind(s, writes...)
	release()
	for i, c := range done {
		check(t, <-c)
		if !has(t, s, fmt.Sprint(i)) {
			t.Errorf("user %d is not there", i)
		}
	}
	if got := d.count() - before; got != 1 {
		t.Errorf("50 writes that waited: %d commits, want 1", got)
	}
}

// One caller's failure leaves the others of the group alone, and nothing of
// itself.
func TestGroupWithCulprits(t *testing.T) {
	s, d, _ := onDisk(t, newPath(t))
	refusal, halfWay := errors.New("refused"), errors.New("half-way")
	release := d.holdNext(t, s)
	done := behind(s,
		user("first"),
		func(*tx) error { return refusal },
		func(t *tx) error { return errors.Join(user("half")(t), halfWay) },
		user("second"),
		func(t *tx) error { _ = user("panicked")(t); panic("page 7 is no page") },
		func(*tx) error { panic("before any write") },
		func(t *tx) error { // it sees what came before it, and not what failed
			if _, ok, err := t.get(bucketUsers, t.userKey("p", "half")); ok || err != nil {
				return fmt.Errorf("of the failed write: %v, %w", ok, err)
			}
			return user("third")(t)
		},
	)
	release()
	for i, want := range []error{nil, refusal, halfWay, nil, userpool.ErrUnavailable, userpool.ErrUnavailable, nil} {
		if got := <-done[i]; !errors.Is(got, want) {
			t.Errorf("write %d: got %v, want %v", i, got, want)
		}
	}
	for name, want := range map[string]bool{"first": true, "second": true, "third": true, "half": false, "panicked": false} {
		if got := has(t, s, name); got != want {
			t.Errorf("user %s is there: %v, want %v", name, got, want)
		}
		m, err := s.FindUsers(ctx, "p", userpool.Keys{UnionID: "oU-" + name})
		if err != nil || (m.ByUnionID != nil) != want {
			t.Errorf("user %s by unionid: %v, %v, want %v", name, m.ByUnionID, err, want)
		}
	}
}

// After failed commits nothing that was answered is gone, nothing is answered
// wrongly, and the store works again.
func TestFailedCommits(t *testing.T) {
	for _, late := range []bool{false, true} { // failed before, or only after the data were there
		for _, times := range []int{1, 2, 5} {
			path := newPath(t)
			s, d, _ := onDisk(t, path)
			d.late = late
			var kept, unknown []string
			for i := range 20 {
				if i == 10 {
					d.mu.Lock()
					d.fail = times
					d.mu.Unlock()
				}
				name := fmt.Sprint(i)
				err := s.update(user(name))
				if failed := i >= 10 && i < 10+times; failed != errors.Is(err, userpool.ErrUnavailable) || failed != (err != nil) {
					t.Fatalf("write %d, %d failing from 10 on: %v", i, times, err)
				}
				if err != nil {
					unknown = append(unknown, name)
					continue
				}
				kept = append(kept, name)
			}
			closeStore(t, s)
			s = open(t, path)
			for _, name := range kept {
				if !has(t, s, name) {
					t.Errorf("late %v, %d failures: acknowledged user %s is gone", late, times, name)
				}
			}
			for _, name := range unknown {
				if has(t, s, name) != late {
					t.Errorf("late %v, %d failures: user %s of a failed write is there: %v", late, times, name, !late)
				}
			}
		}
	}
}

func TestFailedGroup(t *testing.T) {
	s, d, log := onDisk(t, newPath(t))
	release := d.holdNext(t, s)
	done := behind(s, user("a"), func(*tx) error { return errors.New("refused") }, user("b"))
	d.mu.Lock()
	d.fail = 1
	d.mu.Unlock()
	release()
	for i, c := range done {
		wantErr(t, fmt.Sprint("waiter ", i), <-c, userpool.ErrUnavailable)
	}
	log.await(t, "store: opened again")
	check(t, s.Ready())
	check(t, s.update(user("c")))
	for name, want := range map[string]bool{"a": false, "b": false, "c": true} {
		if has(t, s, name) != want {
			t.Errorf("user %s is there: %v, want %v", name, !want, want)
		}
	}
}

// Who was told that a write's outcome is unknown does not read it, since the disk
// may lack it: not even while somebody still reads, who keeps the file open.
func TestNoReadAfterFailedCommit(t *testing.T) {
	s, d, log := onDisk(t, newPath(t))
	reading, release := make(chan struct{}), make(chan struct{})
	read := make(chan error)
	go func() {
		read <- s.view(func(*tx) error { close(reading); <-release; return nil })
	}()
	<-reading
	d.mu.Lock()
	d.fail, d.late = 1, true
	d.mu.Unlock()
	wantErr(t, "write", s.update(user("a")), userpool.ErrUnavailable)
	got := make(chan error)
	go func() { got <- second(s.User(ctx, "p", "a")) }()
	select {
	case err := <-got:
		wantErr(t, "read", err, errReopening)
	case <-time.After(30 * time.Second):
		t.Error("a read waits for one that keeps the file open")
	}
	close(release)
	check(t, <-read)
	log.await(t, "store: opened again")
	if !has(t, s, "a") {
		t.Error("a write that was carried out is gone")
	}
}

// A panic of bbolt in a commit is a failed commit.
func TestPanicInCommit(t *testing.T) {
	s, d, log := onDisk(t, newPath(t))
	d.mu.Lock()
	d.fail, d.failing = 1, func() { panic("page 3: multiple references") }
	d.mu.Unlock()
	wantErr(t, "write", s.update(user("a")), userpool.ErrUnavailable)
	log.await(t, "store: opened again")
	check(t, s.update(user("a")))
}

// While the file cannot be opened again everything is refused at once.
func TestWhileReopening(t *testing.T) {
	path := newPath(t)
	s, d, log := onDisk(t, path)
	d.mu.Lock()
	d.fail, d.failing = 1, func() { check(t, os.Chmod(path, 0o644)) }
	d.mu.Unlock()
	wantErr(t, "the failing write", s.update(user("a")), userpool.ErrUnavailable)
	log.await(t, "cannot be opened again")
	wantErr(t, "Ready", s.Ready(), userpool.ErrUnavailable)
	wantErr(t, "read", second(s.SigningKeys(ctx)), userpool.ErrUnavailable)
	wantErr(t, "read of a ticket", second(s.RedeemTicket(ctx, attempt(testTicket("a", 1), "j"))), userpool.ErrUnavailable)
	wantErr(t, "write", s.update(user("b")), errReopening)
	check(t, os.Chmod(path, 0o600))
	log.await(t, "store: opened again")
	check(t, s.Ready())
	check(t, s.update(user("c")))
	if has(t, s, "a") || has(t, s, "b") || !has(t, s, "c") {
		t.Error("a refused write was carried out, or an answered one was not")
	}
}

func TestCloseWhileReopening(t *testing.T) {
	path := newPath(t)
	s, d, log := onDisk(t, path)
	d.mu.Lock()
	d.fail, d.failing = 1, func() { check(t, os.Chmod(path, 0o644)) }
	d.mu.Unlock()
	wantErr(t, "the failing write", s.update(user("a")), userpool.ErrUnavailable)
	log.await(t, "cannot be opened again")
	closeStore(t, s)
	wantErr(t, "write", s.update(user("b")), errClosed)
}

func TestCloseFlushes(t *testing.T) {
	path := newPath(t)
	s, d, _ := onDisk(t, path)
	release := d.holdNext(t, s)
	var writes []func(*tx) error
	for i := range 10 {
		writes = append(writes, user(fmt.Sprint(i)))
	}
	done := behind(s, writes...)
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	for !func() bool { s.queue.mu.Lock(); defer s.queue.mu.Unlock(); return s.queue.closed }() {
		runtime.Gosched()
	}
	wantErr(t, "a write after Close began", s.update(user("late")), errClosed)
	release()
	check(t, <-closed)
	for _, c := range done {
		check(t, <-c)
	}
	wantErr(t, "write after Close", s.update(user("late")), userpool.ErrUnavailable)
	wantErr(t, "read after Close", second(s.SigningKeys(ctx)), userpool.ErrUnavailable)
	wantErr(t, "Ready after Close", s.Ready(), userpool.ErrUnavailable)
	s = open(t, path)
	for i := range 10 {
		if !has(t, s, fmt.Sprint(i)) {
			t.Errorf("user %d was waiting when Close began, and is gone", i)
		}
	}
}

// close may fall between take's waking and its look at the queue.
func TestQueueClosesWhileTaking(t *testing.T) {
	q := newQueue()
	check(t, q.add(&write{}))
	q.mu.Lock()
	group := make(chan int, 2)
	go func() { group <- len(q.take()); group <- len(q.take()) }()
	for len(q.wake) > 0 { // until take has woken
		runtime.Gosched()
	}
	q.closed = true // as close does
	q.signal()
	q.mu.Unlock()
	for _, want := range []int{1, 0} {
		select {
		case got := <-group:
			if got != want {
				t.Errorf("take: %d writes, want %d", got, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("take does not return")
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	s, d, _ := onDisk(t, newPath(t))
	release := d.holdNext(t, s)
	done := make(chan error, maxQueue)
	for range maxQueue {
		check(t, s.queue.add(&write{do: func(*tx) error { return nil }, done: done}))
	}
	wantErr(t, "one more", s.update(user("a")), errBusy)
	release()
	for range maxQueue {
		check(t, <-done)
	}
	check(t, s.update(user("a")))
}

// The answer to a repeat is a promise as the first one was: it waits until the
// redemption is on disk.
func TestRepeatWaitsForCommit(t *testing.T) {
	s, d, _ := onDisk(t, newPath(t))
	check(t, s.update(user("a")))
	check(t, s.CreateTicket(ctx, testTicket("a", 1), t0))
	r := attempt(testTicket("a", 1), "j1")
	r.Idempotency = [32]byte{1}
	hold, held := make(chan struct{}), make(chan struct{})
	d.mu.Lock()
	d.hold, d.held = hold, held
	d.mu.Unlock()
	type answer struct {
		ticket.Redeemed
		err error
	}
	first, again := make(chan error, 1), make(chan answer, 1)
	go func() { first <- second(s.RedeemTicket(ctx, r)) }()
	<-held
	go func() {
		done, err := s.RedeemTicket(ctx, r)
		again <- answer{done, err}
	}()
	for s.queue.len() == 0 && len(again) == 0 {
		runtime.Gosched()
	}
	if len(again) > 0 {
		t.Error("the repeat was answered before the redemption was on disk")
	}
	close(hold)
	check(t, <-first)
	if a := <-again; a.err != nil || !a.Repeated || a.JTI != "j1" {
		t.Errorf("the repeat: %+v", a)
	}
}
