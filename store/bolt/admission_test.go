package bolt

import (
	"testing"
	"time"
)

// fillUp adds writes until one is refused and returns how many were taken.
func fillUp(q *queue) int {
	for n := 0; ; n++ {
		if q.add(&write{}) != nil {
			return n
		}
	}
}

// Where writes take a millisecond each, some hundred are let in: those on their
// way to the disk count. A patient one always gets in, until the queue is full.
func TestWritesAreRefusedEarly(t *testing.T) {
	q := newQueue()
	for range 100 {
		q.written(100, 100*time.Millisecond)
	}
	if n := fillUp(q); n < 100 || n > 102 {
		t.Errorf("at 1 ms a write: %d let in, want about 100", n)
	}
	check(t, q.add(&write{patient: true}))
	taken := len(q.take())
	if n := fillUp(q); n != manyWrites {
		t.Errorf("with %d on their way: %d let in, want no more than %d", taken, n, manyWrites)
	}
	for q.add(&write{patient: true}) == nil {
	}
	if n := q.len(); n != maxQueue {
		t.Errorf("%d patient ones let in, want %d", n, maxQueue)
	}
	q.take()
	for range 100 {
		q.written(100, time.Millisecond)
	}
	if n := fillUp(q); n != maxQueue {
		t.Errorf("once writes are fast again: %d let in, want %d", n, maxQueue)
	}
}

// A slow disk's answer is paid once by a group, so a few slow commits of few
// writes say nothing against many.
func TestSlowDiskIsNoReasonToRefuse(t *testing.T) {
	q := newQueue()
	for range 100 {
		q.written(manyWrites-1, time.Second)
	}
	if n := fillUp(q); n != maxQueue {
		t.Errorf("%d let in, want %d", n, maxQueue)
	}
	// And however slow it is, a few get in.
	q = newQueue()
	for range 100 {
		q.written(manyWrites, time.Hour)
	}
	if n := fillUp(q); n != manyWrites {
		t.Errorf("%d let in, want %d", n, manyWrites)
	}
}
