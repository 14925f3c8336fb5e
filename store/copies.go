package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store/bolt"
	"app2wxapp/store/move"
	"app2wxapp/store/postgres"
)

// Migrate moves everything from one store to another, which must be empty, or
// goes on where an earlier call was interrupted; package move has the promises.
// No server may have either open. It returns what was found in both.
func Migrate(ctx context.Context, from, to Config, show func(move.Progress)) (map[move.Kind]move.Sum, error) {
	source, err := OpenSource(ctx, from)
	if err != nil {
		return nil, err
	}
	event := audit.Event{Type: audit.StoreMigrated, By: audit.By(ctx), Detail: map[string]string{audit.From: Name(from.URL)}}
	sums, err := fill(ctx, source, to, event, show)
	return sums, errors.Join(err, source.Close())
}

// OpenSource opens a store, and no backup of one, to read it. No server may have
// it open.
func OpenSource(ctx context.Context, c Config) (move.Source, error) {
	if Remote(c.URL) {
		return postgres.OpenSource(ctx, postgres.Config{URL: c.URL, Key: c.Key, Log: c.Log, Now: c.Now})
	}
	path, err := Path(c.URL)
	if err != nil {
		return nil, err
	}
	return bolt.OpenSource(path, c.Key)
}

// fill moves a source into a store that is empty or half made, and writes the
// event, at the time that it is then.
func fill(ctx context.Context, from move.Source, to Config, e audit.Event, show func(move.Progress)) (map[move.Kind]move.Sum, error) {
	into, err := OpenDestination(ctx, to)
	if err != nil {
		return nil, err
	}
	sums, err := move.Run(ctx, from, into, func() audit.Event {
		e.At = to.Now()
		return e
	}, show)
	return sums, errors.Join(err, into.Close())
}

// OpenDestination opens a place for a store, to be filled.
func OpenDestination(ctx context.Context, c Config) (move.Destination, error) {
	if Remote(c.URL) {
		return postgres.OpenDestination(ctx, postgres.Config{URL: c.URL, Key: c.Key, Log: c.Log, Now: c.Now})
	}
	path, err := Path(c.URL)
	if err != nil {
		return nil, err
	}
	return bolt.OpenDraft(path, c.Key)
}

// Backup returns a copy of an open store as it is at one moment, whatever the
// store: a bolt file that Restore takes, sealed with the store's encryption key,
// which is not in it. The file has no name any more; closing it gives its space
// back.
func Backup(ctx context.Context, s Store, key [32]byte, now time.Time) (*os.File, error) {
	switch s := s.(type) {
	case *bolt.Store:
		return s.Backup(ctx, now)
	case *postgres.Store:
		from, err := s.Snapshot(ctx)
		if err != nil {
			return nil, err
		}
		f, err := bolt.BackupFrom(ctx, from, os.TempDir(), key, now)
		return f, errors.Join(err, from.Close())
	}
	return nil, fmt.Errorf("a %T makes no backups", s)
}

// Restore makes a store of a backup, which must open with the store's key.
// Nothing may be where the store is to be, and nothing is made there before all
// of the backup was read. Every ticket that was out is void.
func Restore(ctx context.Context, file string, to Config, show func(move.Progress)) (map[move.Kind]move.Sum, error) {
	event := audit.Event{Type: audit.StoreRestored, By: audit.By(ctx), Detail: map[string]string{}}
	read := func(records int) { show(move.Progress{Doing: "read", Done: records}) }
	if !Remote(to.URL) {
		path, err := Path(to.URL)
		if err != nil {
			return nil, err
		}
		return bolt.Restore(ctx, file, path, to.Key, func(backedUp string) audit.Event {
			event.At, event.Detail[audit.BackedUp] = to.Now(), backedUp
			return event
		}, read)
	}
	source, err := bolt.OpenBackup(file, to.Key)
	if err != nil {
		return nil, err
	}
	event.Detail[audit.BackedUp] = source.BackedUp()
	// What cannot be read to its end would leave half a store there.
	if _, err := move.Look(ctx, source, read); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", file, err), source.Close())
	}
	sums, err := fill(ctx, source, to, event, show)
	return sums, errors.Join(err, source.Close())
}
