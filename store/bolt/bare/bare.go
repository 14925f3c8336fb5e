// Package bare is bbolt with nothing around it: the measure that the bench puts
// beside the store.
package bare

import (
	"encoding/binary"
	"errors"
	"sync/atomic"

	bbolt "go.etcd.io/bbolt"
)

// records is how many a file has: as many as the bench redeems tickets.
const records = 50_000

var bucket = []byte("bare")

// File is a bbolt file with the options of the store.
type File struct {
	db   *bbolt.DB
	next atomic.Uint64
}

// Create makes a file with records of the size of a ticket's.
func Create(path string) (*File, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, NoStatistics: true})
	if err != nil {
		return nil, err
	}
	f := &File{db: db}
	err = db.Update(func(t *bbolt.Tx) error {
		_, err := t.CreateBucket(bucket)
		for i := uint64(0); err == nil && i < records; i++ {
			err = put(t, i)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return f, nil
}

func put(t *bbolt.Tx, i uint64) error {
	return t.Bucket(bucket).Put(binary.BigEndian.AppendUint64(make([]byte, 30), i), make([]byte, 240))
}

// Commit rewrites the next record, by a transaction of its own.
func (f *File) Commit() error {
	i := f.next.Add(1)
	return f.db.Update(func(t *bbolt.Tx) error { return put(t, i%records) })
}

// Close closes the file.
func (f *File) Close() error { return f.db.Close() }
