package bolt

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bbolt "go.etcd.io/bbolt"

	"app2wxapp/userpool"
)

// Group commit. One goroutine writes. While a commit is on its way to disk the
// writes that arrive queue up; the next commit takes them all. A lone write
// never waits for another. Under load the writer pauses, and leaves the
// processors to those who are about to write: fewer and fuller commits cost
// everybody less than the pause (bench/README.md).

// A write is refused at once where maxQueue others wait, and where its wait is
// expected to pass maxWait: who is refused early can come back, who times out
// has only made others wait.
const (
	maxQueue = 8192
	maxWait  = 100 * time.Millisecond
	// The writer pauses for no fewer than fewWrites, and no longer than maxPause,
	// looking around every pauseStep or more.
	fewWrites = 4
	maxPause  = 4 * time.Millisecond
	pauseStep = 200 * time.Microsecond
	// manyWrites is how many it takes to learn what one costs. Fewer tell what
	// the disk's answer costs, which a group pays once: they are never too many.
	manyWrites = 32
)

// reopenEvery is the pause between attempts to open the file again.
const reopenEvery = time.Second

var (
	errReopening = fmt.Errorf("%w: the file is being opened again after a failed write", userpool.ErrUnavailable)
	errBusy      = fmt.Errorf("%w: too many writes wait", userpool.ErrUnavailable)
	errMoved     = fmt.Errorf("%w: the file was moved away or replaced", userpool.ErrUnavailable)
	errClosed    = fmt.Errorf("%w: closed", userpool.ErrUnavailable)
)

// write is a change that waits for its commit.
type write struct {
	// do makes the change. It looks first and writes then: an error before the
	// first write is a refusal, which leaves the others of the group alone. It
	// may be called again, and sets what it reports anew each time.
	do   func(*tx) error
	done chan error
	// patient is set where nobody waits, and refusal would only put it off.
	patient bool
}

// update runs do in a transaction that it may share with others and returns
// when that is on disk. userpool.ErrUnavailable means that the outcome is
// unknown.
func (s *Store) update(do func(*tx) error) error { return s.wait(do, false) }

// updateLater is update for work that must go on under any load: only a full
// queue refuses it.
func (s *Store) updateLater(do func(*tx) error) error { return s.wait(do, true) }

func (s *Store) wait(do func(*tx) error, patient bool) error {
	if s.moved.Load() {
		return errMoved
	}
	w := s.writes.Get().(*write)
	defer s.writes.Put(w) // it was answered, or never queued
	w.do, w.patient = do, patient
	if err := s.queue.add(w); err != nil {
		return err
	}
	return <-w.done
}

// queue is the writes that wait.
type queue struct {
	mu      sync.Mutex
	waiting []*write
	wake    chan struct{} // holds one token while there is something to do
	closed  bool

	writing  int           // how many are on their way to the disk
	perWrite time.Duration // moving average of what a write adds to its commit
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) add(w *write) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return errClosed
	case len(q.waiting) >= maxQueue, !w.patient && q.expectedWait() > maxWait:
		return errBusy
	}
	q.waiting = append(q.waiting, w)
	q.signal()
	return nil
}

// expectedWait is the time until a write that comes now is on disk, 0 while few
// wait. It is called with mu held.
func (q *queue) expectedWait() time.Duration {
	if len(q.waiting) < manyWrites {
		return 0
	}
	return time.Duration(q.writing+len(q.waiting)) * q.perWrite
}

// written is told that the writes on their way, n of them, took so long.
func (q *queue) written(n int, took time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing = 0
	if n >= manyWrites {
		each := took / time.Duration(n)
		if q.perWrite > 0 {
			each = min(each, 2*q.perWrite) // a stutter of the disk is not its pace
		}
		q.perWrite += (each - q.perWrite) / 8
	}
}

// signal is called with mu held.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// take waits for writes and returns all of them; none after close.
func (q *queue) take() []*write {
	for range q.wake {
		q.mu.Lock()
		group, closed := q.waiting, q.closed
		q.waiting, q.writing = nil, len(q.waiting)
		q.mu.Unlock()
		if len(group) > 0 {
			if closed { // come back once more, to end
				q.mu.Lock()
				q.signal() // close may have done so already
				q.mu.Unlock()
			}
			return group
		}
		if closed {
			return nil
		}
	}
	return nil
}

// commitLoop writes until the queue is closed.
func (s *Store) commitLoop() {
	defer close(s.done)
	debug.SetPanicOnFault(true)
	for {
		group := s.queue.take()
		if group == nil {
			return
		}
		start := time.Now()
		if err := s.commitGroup(group); err != nil {
			s.reopen(err)
			continue
		}
		s.queue.fill(pause(len(group), time.Since(start)))
	}
}

// pause returns how long the writer pauses after a commit of n writes that took
// so long: not at all for a few, else from a third to four thirds as long, the
// longer the more there are.
func pause(n int, took time.Duration) time.Duration {
	if n < fewWrites {
		return 0
	}
	return min(took*time.Duration(min(max(n, 20), 80))/60, maxPause)
}

// fill waits that long for more to queue up, or until no more come.
func (q *queue) fill(most time.Duration) {
	for before := -1; most > 0; {
		q.mu.Lock()
		now := len(q.waiting)
		q.mu.Unlock()
		if now == before {
			return
		}
		before = now
		step := min(most, max(most/4, pauseStep))
		time.Sleep(step)
		most -= step
	}
}

// commitGroup commits the writes together and answers each. It returns an error
// if the file can no longer be trusted.
func (s *Store) commitGroup(group []*write) error {
	start := time.Now()
	for len(group) > 0 {
		results, culprit, err := s.tryCommit(group)
		switch {
		case err != nil:
			// After a failed write or fsync the system may show pages that the
			// disk lacks: nobody's outcome is known, or can be read.
			s.failed.Store(true)
			for _, w := range group {
				w.done <- fmt.Errorf("%w: commit: %w", userpool.ErrUnavailable, err)
			}
			return err
		case culprit >= 0:
			// It failed half-way and took the transaction with it; the others
			// go again without it.
			group[culprit].done <- results[culprit]
			group = append(group[:culprit:culprit], group[culprit+1:]...)
			continue
		}
		took := time.Since(start)
		s.queue.written(len(group), took)
		s.metrics.took.Observe(took.Seconds())
		s.metrics.size.Observe(float64(len(group)))
		for i, w := range group {
			w.done <- results[i]
		}
		return nil
	}
	return nil
}

// tryCommit runs the group in one transaction. culprit is the index of a write
// that failed after it had written, or -1. A panic of bbolt itself is an error
// of the commit.
func (s *Store) tryCommit(group []*write) (results []error, culprit int, err error) {
	defer recovered(&err)
	bt, err := s.db.Begin(true) // only the commit loop changes s.db
	if err != nil {
		return nil, -1, err
	}
	defer bt.Rollback() // does nothing after a commit
	t := &tx{Tx: bt, s: s, cursors: map[string]*bbolt.Cursor{}, scratch: make([]byte, 0, scratchSize)}
	results = make([]error, len(group))
	for i, w := range group {
		before := t.writes
		var panicked bool
		results[i], panicked = run(w, t)
		if results[i] != nil && (panicked || t.writes != before) {
			return results, i, nil
		}
	}
	if t.writes == 0 {
		return results, -1, nil // all were refused
	}
	return results, -1, s.commit(bt)
}

// run calls the write. A panic is a defect or a damaged file; it fails this
// write only.
func run(w *write, t *tx) (err error, panicked bool) {
	panicked = true
	defer recovered(&err)
	err = w.do(t)
	return err, false
}

// reopen closes the file and opens it again from disk, as often as it takes.
// Meanwhile every write and read is refused.
func (s *Store) reopen(cause error) {
	s.log.Error("store: a commit failed; no more writes until the file has been opened again", "err", cause)
	if err := s.detach(); err != nil {
		s.log.Error("store: close after a failed commit", "err", err)
	}
	for {
		err := s.attach()
		if err == nil {
			s.log.Warn("store: opened again; every write that was answered is in it")
			return
		}
		s.log.Error("store: cannot be opened again; will try once more", "err", err)
		if s.refuseFor(reopenEvery) {
			return
		}
	}
}

// refuseFor refuses writes for a while, and tells whether the store was closed
// meanwhile.
func (s *Store) refuseFor(d time.Duration) (closed bool) {
	end := time.NewTimer(d)
	defer end.Stop()
	for {
		select {
		case <-end.C:
			return false
		case <-s.queue.wake:
		}
		s.queue.mu.Lock()
		group := s.queue.waiting
		s.queue.waiting, closed = nil, s.queue.closed
		if closed {
			s.queue.signal() // for take
		}
		s.queue.mu.Unlock()
		for _, w := range group {
			w.done <- errReopening
		}
		if closed {
			return true
		}
	}
}

type metrics struct {
	took prometheus.Histogram
	size prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "app2wxapp_store_commit_seconds", Help: "Time of a commit, from its first write to the disk's answer.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 14),
		}),
		size: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "app2wxapp_store_commit_writes", Help: "Writes that shared a commit.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
	}
	reg.MustRegister(m.took, m.size)
	return m
}
