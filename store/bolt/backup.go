package bolt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	bbolt "go.etcd.io/bbolt"

	"app2wxapp/audit"
	"app2wxapp/store/move"
)

// Backup returns a copy of the store as it is at one moment, marked so that
// nobody starts it by mistake. The file has no name any more: closing it gives
// its space back.
//
// As long as pages are copied, those that writes replace cannot be used again
// and the file grows instead, and it cannot be mapped anew if it outgrows its
// mapping, for which all writes would wait. So the copy goes to the disk beside
// the store, as fast as that is, and not at a caller's pace.
func (s *Store) Backup(ctx context.Context, now time.Time) (_ *os.File, err error) {
	path := beside(s.path, ".backup-"+rand.Text())
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- beside the operator's own path
	if err != nil {
		return nil, err
	}
	err = s.view(func(t *tx) error {
		_, err := t.WriteTo(untilDone{ctx, f})
		return err
	})
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return takeBackup(path, now)
}

// untilDone is a writer that fails when the context has ended.
type untilDone struct {
	ctx context.Context
	to  io.Writer
}

func (w untilDone) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.to.Write(b)
}

// takeBackup marks a copy as a backup, opens it and takes its name away.
func takeBackup(path string, now time.Time) (_ *os.File, err error) {
	defer func() { err = errors.Join(err, os.Remove(path)) }()
	f, err := os.Open(path) // #nosec G304 -- beside the operator's own path
	if err != nil {
		return nil, err
	}
	// bbolt would end the process if the store's file was damaged meanwhile.
	if err := errors.Join(checkPages(f), f.Close()); err != nil {
		return nil, err
	}
	// Nobody else has it, and it need not survive a power loss.
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, NoSync: true, NoGrowSync: true})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(t *bbolt.Tx) error {
		return t.Bucket([]byte(bucketMeta)).Put([]byte(metaBackup), []byte(now.UTC().Format(time.RFC3339Nano)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	return os.Open(path) // #nosec G304 -- beside the operator's own path
}

// BackupFrom is Backup of another store, whose records are written to a file in
// that folder, under that key. Tickets that are live are not among them.
func BackupFrom(ctx context.Context, from move.Source, folder string, key [32]byte, now time.Time) (_ *os.File, err error) {
	folder, err = os.MkdirTemp(folder, "app2wxapp-backup-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	path := filepath.Join(folder, "backup")
	d, err := OpenDraft(path, key)
	if err != nil {
		return nil, err
	}
	_, err = move.Run(ctx, from, backupDraft{d}, func() audit.Event { return audit.Event{} }, func(move.Progress) {})
	if err := errors.Join(err, d.Close()); err != nil {
		return nil, err
	}
	return takeBackup(path, now)
}

// backupDraft is a draft without an event of its own: the trail is that of the
// store.
type backupDraft struct{ *Draft }

func (d backupDraft) Finish(context.Context, audit.Event) error {
	return d.finish(func(*tx) error { return nil })
}

// CheckBackup returns an error unless the file is one that Backup made, whole as
// far as that can be told without the encryption key.
func CheckBackup(path string) (err error) {
	db, err := openFile(path, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	defer recovered(&err)
	return db.View(func(t *bbolt.Tx) error {
		if meta := t.Bucket([]byte(bucketMeta)); meta == nil || meta.Get([]byte(metaBackup)) == nil {
			return errors.New("this is no backup of app2wxapp")
		}
		return nil
	})
}

// Restore makes a store at path, where none may be, of a backup, or of the file
// of a store that was stopped. Every record of it must open. The new store has
// an epoch of its own: every ticket that was out is void, whether or not it was
// redeemed since. event returns what is written into it, of when the backup was
// made.
func Restore(ctx context.Context, file, path string, key [32]byte, event func(backedUp string) audit.Event, show func(records int)) (_ map[move.Kind]move.Sum, err error) {
	if err := (&Draft{path: path}).vacant(); err != nil {
		return nil, fmt.Errorf("make store %s: %w", path, err)
	}
	src, err := OpenBackup(file, key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	sums, err := move.Look(ctx, src, show)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := MakeFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	draft := beside(path, ".restoring-"+rand.Text())
	defer func() {
		if rmErr := os.Remove(draft); rmErr != nil && !errors.Is(rmErr, os.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}()
	if err := copyTo(ctx, file, draft); err != nil {
		return nil, err
	}
	return sums, renew(draft, path, key, event(src.BackedUp()))
}

// copyTo copies a file, and puts the copy on disk.
func copyTo(ctx context.Context, from, to string) error {
	in, err := os.Open(from) // #nosec G304 -- the operator names the file
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- beside the operator's own path
	if err != nil {
		return err
	}
	_, err = io.Copy(untilDone{ctx, out}, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// renew makes a store of the copy.
func renew(draft, path string, key [32]byte, e audit.Event) error {
	db, err := openFile(draft, false)
	if err != nil {
		return err
	}
	d := &Draft{s: &Store{path: path, key: key}, db: db, path: path, draft: draft}
	err = db.Update(d.s.readAndComplete)
	if err != nil {
		return errors.Join(err, d.Close())
	}
	return d.finish(func(t *tx) error {
		var epoch [epochSize]byte
		rand.Read(epoch[:])
		return errors.Join(t.put(bucketMeta, []byte(metaEpoch), epoch[:]), t.delete(bucketMeta, []byte(metaBackup)), t.record(e))
	})
}
