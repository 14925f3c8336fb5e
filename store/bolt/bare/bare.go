// Package bare is bbolt with nothing around it: the measure that the bench puts
// beside the store.
package bare

import (
	"encoding/binary"
	"errors"
	"time"

	bbolt "go.etcd.io/bbolt"
)

// Commits makes a bbolt file at path, with the options of the store, and
// returns how long each of n commits of one small record takes a lone caller.
func Commits(path string, n int) (took []time.Duration, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, NoStatistics: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for i := range n {
		start := time.Now()
		err := db.Update(func(t *bbolt.Tx) error {
			b, err := t.CreateBucketIfNotExists([]byte("bare"))
			if err != nil {
				return err
			}
			return b.Put(binary.BigEndian.AppendUint64(nil, uint64(i)), make([]byte, 200))
		})
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}
