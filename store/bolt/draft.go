package bolt

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	bbolt "go.etcd.io/bbolt"

	"app2wxapp/audit"
	"app2wxapp/store/move"
	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

const (
	// metaMoving, in a file that is not finished: how far it is.
	metaMoving = "moving"
	// metaBackup, in a backup: when it was made, in the clear.
	metaBackup = "backup"
)

var errBackup = errors.New("this is a backup, in which tickets live that were redeemed since; make a store of it: app2wxapp restore FILE")

// whole refuses a file that is no store yet.
func whole(t *bbolt.Tx) error {
	meta := t.Bucket([]byte(bucketMeta))
	switch {
	case meta == nil: // readMeta says so
	case meta.Get([]byte(metaBackup)) != nil:
		return errBackup
	case meta.Get([]byte(metaMoving)) != nil: // a migration's, as restore leaves nothing half made
		return errors.New("what is moved into it is not complete; run the same app2wxapp store migrate again")
	}
	return nil
}

// Draft is a store's file that is being filled, under another name beside the
// store's own. It implements move.Destination.
type Draft struct {
	s     *Store
	db    *bbolt.DB
	path  string // of the store to be
	draft string
}

// moving is how far a draft is.
type moving struct {
	move.Origin
	Kind  move.Kind `json:"kind"`
	After []byte    `json:"after"` // of any bytes, which a JSON string is not
}

// OpenDraft opens what an interrupted move to path has left, or begins anew.
func OpenDraft(path string, key [32]byte) (*Draft, error) {
	d := &Draft{s: &Store{path: path, key: key, log: slog.New(slog.DiscardHandler)}, path: path, draft: beside(path, ".moving")}
	if err := d.open(key); err != nil {
		return nil, fmt.Errorf("make store %s: %w", path, err)
	}
	return d, nil
}

func (d *Draft) open(key [32]byte) error {
	if err := MakeFolder(filepath.Dir(d.path)); err != nil {
		return err
	}
	if err := d.vacant(); err != nil {
		return err
	}
	if !Exists(d.draft) {
		if err := create(d.draft, key); err != nil {
			return err
		}
	}
	db, err := openFile(d.draft, false)
	if err != nil {
		return fmt.Errorf("%s, which a move left: %w; or delete it to begin again", d.draft, err)
	}
	finished := false
	if err := db.Update(func(t *bbolt.Tx) error {
		if err := d.s.readAndComplete(t); err != nil {
			return err
		}
		// What Finish writes is never empty, and what was just made is.
		last, _ := t.Bucket([]byte(bucketAudit)).Cursor().Last()
		finished = last != nil && t.Bucket([]byte(bucketMeta)).Get([]byte(metaMoving)) == nil
		return nil
	}); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", d.draft, err), db.Close())
	}
	if finished {
		return errors.Join(errFinished, db.Close(), place(d.draft, d.path))
	}
	d.db = db
	return nil
}

var errFinished = errors.New("the move was finished and verified, and only its last step was missing: start it")

// vacant returns an error if there is a store. One that a move has made whose
// last step was cut off has two names, of which the draft's goes.
func (d *Draft) vacant() error {
	there, err := os.Stat(d.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if draft, err := os.Stat(d.draft); err == nil && os.SameFile(there, draft) {
		return errors.Join(errFinished, os.Remove(d.draft), SyncFolder(filepath.Dir(d.path)))
	}
	return errors.New("there is one already; nothing is ever written over it")
}

func (d *Draft) update(do func(*tx) error) (err error) {
	defer recovered(&err)
	return d.db.Update(func(bt *bbolt.Tx) error {
		return do(&tx{Tx: bt, s: d.s, scratch: make([]byte, 0, scratchSize)})
	})
}

// moving returns how far the draft is.
func (t *tx) moving() (m moving, err error) {
	rec, ok, err := t.get(bucketMeta, []byte(metaMoving))
	if err != nil || !ok {
		return m, err
	}
	if err := json.Unmarshal([]byte(rec), &m); err != nil {
		return m, corrupt(bucketMeta, err)
	}
	return m, nil
}

func (t *tx) putMoving(m moving) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return t.put(bucketMeta, []byte(metaMoving), b)
}

// Begin implements move.Destination.
func (d *Draft) Begin(_ context.Context, from move.Origin) (at move.Place, err error) {
	err = d.update(func(t *tx) error {
		m, err := t.moving()
		if err != nil {
			return err
		}
		switch {
		case m.Store == "":
			return t.putMoving(moving{Origin: from})
		case m.Store != from.Store:
			return fmt.Errorf("%s holds a part of another store; finish that move, or delete the file", d.draft)
		case m.Origin != from:
			return fmt.Errorf("%s was begun by %s; run that again, or delete the file", d.draft, m.Command())
		}
		at = move.Place{Kind: m.Kind, After: string(m.After)}
		return nil
	})
	return at, err
}

// Write implements move.Destination.
func (d *Draft) Write(_ context.Context, k move.Kind, records []move.Record, at move.Place) error {
	kind, ok := kinds()[k]
	if !ok {
		return fmt.Errorf("bolt: nobody has said where %s go", k)
	}
	return d.update(func(t *tx) error {
		m, err := t.moving()
		if err != nil {
			return err
		}
		// Pages are filled best by keys in their order.
		sorted := slices.SortedFunc(slices.Values(records), func(a, b move.Record) int { return strings.Compare(a.Key, b.Key) })
		for _, r := range sorted {
			if err := kind.write(t, r.Key, r.Value); err != nil {
				return fmt.Errorf("a record of %s: %w", k, err)
			}
		}
		m.Kind, m.After = at.Kind, []byte(at.After)
		return t.putMoving(m)
	})
}

// View implements move.Destination.
func (d *Draft) View(context.Context) (move.Source, error) {
	return newSource(d.s, d.db)
}

// Finish implements move.Destination.
func (d *Draft) Finish(_ context.Context, e audit.Event) error {
	return d.finish(func(t *tx) error { return t.record(e) })
}

// finish makes the last changes and gives the file the store's name.
func (d *Draft) finish(last func(*tx) error) error {
	err := d.update(func(t *tx) error { return errors.Join(last(t), t.delete(bucketMeta, []byte(metaMoving))) })
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	return place(d.draft, d.path)
}

// place links a finished file to the store's path, where nothing may be, and
// takes the other name away.
func place(draft, path string) error {
	if err := os.Link(draft, path); err != nil {
		return err
	}
	folder := filepath.Dir(path)
	return errors.Join(SyncFolder(folder), os.Remove(draft), SyncFolder(folder))
}

// Close implements move.Destination.
func (d *Draft) Close() error {
	if d.db == nil {
		return nil
	}
	db := d.db
	d.db = nil
	return db.Close()
}

// The keys of indexes come in no order: put as they come, each would rewrite a
// page of its own of a large file. So they go to scratch files first, by their
// first byte, each small enough to be sorted in memory.
const (
	indexShare  = 200_000 // users to a scratch file
	maxShares   = 256
	indexAtOnce = 100_000 // entries to a transaction
)

// Index implements move.Destination.
func (d *Draft) Index(ctx context.Context) (err error) {
	folder := beside(d.path, ".indexing")
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	for _, bucket := range []string{bucketUnionIDs, bucketOpenIDs, bucketPhones, bucketNames, bucketEmails} {
		shares, err := d.scatter(ctx, folder, bucket)
		if err != nil {
			return err
		}
		for _, share := range shares {
			if err := d.gather(ctx, bucket, share); err != nil {
				return err
			}
		}
	}
	return nil
}

// scatter writes the entries of an index into scratch files, the first of which
// has the lowest keys.
func (d *Draft) scatter(ctx context.Context, folder, bucket string) (shares []string, err error) {
	src, err := newSource(d.s, d.db)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	users, err := src.Count(ctx, move.Users)
	if err != nil {
		return nil, err
	}
	n := min(1+users/indexShare, maxShares)
	outs := make([]*bufio.Writer, n)
	for i := range outs {
		share := filepath.Join(folder, fmt.Sprintf("%s-%03d", bucket, i))
		f, err := os.OpenFile(share, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- beside the operator's own path
		if err != nil {
			return nil, err
		}
		defer f.Close() // what was written was flushed, or is an error already
		shares, outs[i] = append(shares, share), bufio.NewWriter(f)
	}
	err = src.guarded(func() error {
		return src.t.eachUser(ctx, func(u userpool.User) error {
			for _, e := range d.s.entries(u) {
				if e.bucket != bucket {
					continue
				}
				var row record.Encoder
				row.Bytes(e.key)
				row.Text(u.ID)
				if _, err := outs[int(e.key[0])*n/256].Write(row); err != nil {
					return err
				}
			}
			return nil
		})
	})
	for _, out := range outs {
		err = errors.Join(err, out.Flush())
	}
	return shares, err
}

// gather puts the entries of a scratch file into the index, in the order of keys.
func (d *Draft) gather(ctx context.Context, bucket, share string) error {
	f, err := os.Open(share) // #nosec G304 -- scatter made it
	if err != nil {
		return err
	}
	b, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	type entry struct{ key, id string }
	var entries []entry
	rows := record.NewDecoder(string(b))
	for rows.More() {
		entries = append(entries, entry{rows.Text(), rows.Text()})
	}
	if rows.Err != nil {
		return rows.Err
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	for batch := range slices.Chunk(entries, indexAtOnce) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.update(func(t *tx) error {
			t.Bucket([]byte(bucket)).FillPercent = indexFill
			for _, e := range batch {
				if err := t.put(bucket, []byte(e.key), []byte(e.id)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// indexFill is how full keys in no order make their pages in the long run, ln 2:
// fuller ones would all be split by the users who come next.
const indexFill = 0.69

var _ move.Destination = (*Draft)(nil)
