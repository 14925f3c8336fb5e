package bolt

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bbolt "go.etcd.io/bbolt"

	"app2wxapp/audit"
	"app2wxapp/store/move"
)

// Whoever adds a bucket says whether it is moved, and restored from a backup of
// another store: by a line in kinds, or here.
func TestEveryBucketIsMoved(t *testing.T) {
	known := []string{
		bucketAccess,                                             // with its user
		bucketUnionIDs, bucketOpenIDs, bucketPhones, bucketNames, // made anew of the users
		bucketSessionEnds,                     // and of the sessions
		bucketLoose,                           // those last an hour
		bucketEmails,                          // as the phones
		bucketRecipients, bucketRecipientEnds, // their codes last five minutes; how many were sent a day is counted anew
		bucketUnfinished, // ten minutes, and not into another epoch
	}
	for _, k := range kinds() {
		known = append(known, k.bucket)
	}
	for _, bucket := range buckets {
		if !slices.Contains(known, bucket) {
			t.Errorf("bucket %s is not moved: give it a line in kinds", bucket)
		}
	}
}

// The last step of a move, to give the file its name, is made up for.
func TestDraftWithoutItsName(t *testing.T) {
	for name, cut := range map[string]func(d *Draft) error{
		"not linked": func(*Draft) error { return nil },
		"two names":  func(d *Draft) error { return os.Link(d.draft, d.path) },
	} {
		path := newPath(t)
		d, err := OpenDraft(path, testKey)
		check(t, err)
		at, err := d.Begin(ctx, move.Origin{Store: "origin"})
		check(t, err)
		if at.Kind != "" {
			t.Errorf("%s: begins at %v", name, at)
		}
		check(t, d.update(func(tx *tx) error { return tx.record(audit.Event{At: t0, Type: audit.StoreRestored}) }))
		check(t, d.update(func(tx *tx) error { return tx.delete(bucketMeta, []byte(metaMoving)) }))
		check(t, cut(d))
		check(t, d.Close())
		if _, err := OpenDraft(path, testKey); err == nil || !strings.Contains(err.Error(), "finished and verified") {
			t.Errorf("%s: %v, want a word that it is finished", name, err)
		}
		check(t, open(t, path).Ready())
		if got := names(t, filepath.Dir(path)); got != "store.db" {
			t.Errorf("%s: in the folder: %s, want store.db alone", name, got)
		}
	}
}

// What a migration has begun goes on as one, and is no part of anything else.
func TestDraftOfAnother(t *testing.T) {
	d, err := OpenDraft(newPath(t), testKey)
	check(t, err)
	_, err = d.Begin(ctx, move.Origin{Store: "a"})
	check(t, err)
	for from, want := range map[move.Origin]string{
		{Store: "a"}:                 "",
		{Store: "b"}:                 "a part of another store",
		{Store: "a", Restored: true}: "begun by app2wxapp store migrate",
	} {
		_, err := d.Begin(ctx, from)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("going on with %+v: %v, want %q", from, err, want)
		}
	}
	check(t, d.Close())
}

// Indexes that do not fit the users, records of access without theirs, and
// holders of pictures that are not there, are noticed, by a migration and by a
// restoration.
func TestSourceChecks(t *testing.T) {
	for name, row := range map[string]struct {
		change func(tx *bbolt.Tx) error
		want   string
	}{
		"an entry gone": {func(tx *bbolt.Tx) error {
			k, _ := tx.Bucket([]byte(bucketOpenIDs)).Cursor().First()
			return tx.Bucket([]byte(bucketOpenIDs)).Delete(k)
		}, "the indexes do not fit the users"},
		"an entry elsewhere": {func(tx *bbolt.Tx) error {
			c := tx.Bucket([]byte(bucketPhones)).Cursor()
			_, v := c.First()
			return tx.Bucket([]byte(bucketPhones)).Put(bytes.Repeat([]byte{7}, 40), v)
		}, "damaged record in phones"},
		"a user gone":    {func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketUsers)).Delete([]byte("p/a")) }, "damaged record in access"},
		"access gone":    {func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketAccess)).Delete([]byte("p/a")) }, "names a user who is not there"},
		"a picture gone": {func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketUploads)).Delete([]byte(testPicture("a").ID)) }, "it names a picture that is not there"},
	} {
		path := filled(t)
		edit(t, path, row.change)
		src, err := OpenSource(path, testKey)
		check(t, err)
		if _, err := move.Look(ctx, src, func(int) {}); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want a refusal with %q", name, err, row.want)
		}
		check(t, src.Close())
		if _, err := Restore(ctx, path, newPath(t), testKey, func(string) audit.Event { return audit.Event{} }, func(int) {}); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
}
