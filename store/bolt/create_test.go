package bolt

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"app2wxapp/audit"
)

// names returns what lies in the folder.
func names(t *testing.T, folder string) string {
	t.Helper()
	list, err := os.ReadDir(folder)
	check(t, err)
	var all []string
	for _, e := range list {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestCreate(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(folder, "store.db")
	if Exists(path) {
		t.Error("exists before it was made")
	}
	s := open(t, path)
	check(t, s.Ready())
	if got := names(t, folder); got != "store.db" {
		t.Errorf("in the folder: %s, want store.db alone", got)
	}
	for p, want := range map[string]os.FileMode{path: 0o600, folder: 0o700, filepath.Dir(folder): 0o700} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("mode of %s: %v, %v, want %v", p, info.Mode().Perm(), err, want)
		}
	}
}

// Two stores do not share keys, nor tickets.
func TestEveryStoreHasItsKeys(t *testing.T) {
	a, b := open(t, newPath(t)), open(t, newPath(t))
	if a.keys.Record == b.keys.Record || a.keys.Index == b.keys.Index || a.keys.Record == a.keys.Index || string(a.epoch) == string(b.epoch) || len(a.epoch) != epochSize {
		t.Error("stores share keys or epochs")
	}
}

func TestCreateFails(t *testing.T) {
	file := copyFile(t, filepath.Join(t.TempDir(), "file"), nil)
	if _, err := Open(config(filepath.Join(file, "store.db"), slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("a file for a folder: %v", err)
	}
}

// Of many who create at once one makes the file; the others open that one, or
// find it held.
func TestCreateAtOnce(t *testing.T) {
	path := newPath(t)
	var mu sync.Mutex
	var won []*Store
	together(4, func(int) {
		s, err := Open(config(path, slog.DiscardHandler))
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			won = append(won, s)
		} else if !strings.Contains(err.Error(), "another process has this file open") {
			t.Error(err)
		}
	})
	if len(won) != 1 {
		t.Fatalf("%d of 4 opened the store, want 1", len(won))
	}
	check(t, won[0].CreatePool(ctx, testPool("p"), audit.Event{}))
	closeStore(t, won[0])
	if got := names(t, filepath.Dir(path)); got != "store.db" {
		t.Errorf("in the folder: %s, want store.db alone", got)
	}
	if _, err := open(t, path).Pool(ctx, "p"); err != nil {
		t.Errorf("what the winner stored: %v", err)
	}
}

// A file that came in between is not replaced.
func TestCreateDoesNotReplace(t *testing.T) {
	path := filled(t)
	check(t, create(path, [32]byte{9}))
	if _, err := open(t, path).Pool(ctx, "p"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if got := names(t, filepath.Dir(path)); got != "store.db" {
		t.Errorf("in the folder: %s", got)
	}
}
