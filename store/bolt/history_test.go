package bolt

import (
	"errors"
	"flag"
	"log/slog"
	"sync/atomic"
	"testing"

	bbolt "go.etcd.io/bbolt"

	"app2wxapp/store/storetest/load"
	"app2wxapp/ticket/history"
)

var historyOps = flag.Int("history.ops", 10_000, "operations of TestHistory")

// Many callers at once, on a disk where commits fail now and then, with and
// without effect: each answer is one that a ticket served alone would give.
func TestHistory(t *testing.T) {
	s, err := Open(config(newPath(t), slog.DiscardHandler))
	check(t, err)
	t.Cleanup(func() { closeStore(t, s) })
	s.commit = new(unsureDisk).commit
	if count := load.History(t, *historyOps, s); count(history.Unknown) == 0 {
		t.Error("no outcome was unknown: the load proves less than it should")
	}
}

// unsureDisk fails some commits. Of those every other one was carried out.
type unsureDisk struct{ commits, failures atomic.Int64 }

func (d *unsureDisk) commit(tx *bbolt.Tx) error {
	if d.commits.Add(1)%20 != 0 {
		return tx.Commit()
	}
	if d.failures.Add(1)%2 == 0 {
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return errors.New("planted: nobody knows")
}
