//go:build linux

package main

import (
	"bytes"
	"container/heap"
	"errors"

	bbolt "go.etcd.io/bbolt"
)

// fill is how full the store's own writing leaves the pages of a bucket: those
// of users as it says itself, of others with keys in time order half, and where
// keys come in no order ln 2.
var fill = map[string]float64{"users": 0.9, "access": 0.5, "unionids": 0.69, "openids": 0.69, "phones": 0.69}

// mergedAtOnce is how many records go into one transaction.
const mergedAtOnce = 20_000

// merge makes a store of several that have the same keys. Records are sealed to
// their bucket and key, not to their file: it copies them as they are, in key
// order, which is what makes it fast. Records that several have, of
// meta and pools, are the same in all and copied once.
func merge(path string, parts []string) (err error) {
	var from []*bbolt.DB
	defer func() {
		for _, db := range from {
			err = errors.Join(err, db.Close())
		}
	}()
	for _, part := range parts {
		db, err := bbolt.Open(part, 0o600, &bbolt.Options{ReadOnly: true})
		if err != nil {
			return err
		}
		from = append(from, db)
	}
	into, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	var sources []*bbolt.Tx
	for _, db := range from {
		t, err := db.Begin(false)
		if err != nil {
			return errors.Join(err, into.Close())
		}
		defer t.Rollback()
		sources = append(sources, t)
	}
	err = sources[0].ForEach(func(name []byte, _ *bbolt.Bucket) error { return mergeBucket(into, sources, name) })
	return errors.Join(err, into.Sync(), into.Close())
}

func mergeBucket(into *bbolt.DB, sources []*bbolt.Tx, name []byte) error {
	var next heads
	for _, t := range sources {
		c := t.Bucket(name).Cursor()
		if key, value := c.First(); key != nil {
			next = append(next, head{key, value, c})
		}
	}
	heap.Init(&next)
	var last []byte
	for more := true; more; {
		if err := into.Update(func(t *bbolt.Tx) error {
			b, err := t.CreateBucketIfNotExists(name)
			if err != nil {
				return err
			}
			if f, ok := fill[string(name)]; ok {
				b.FillPercent = f
			}
			for range mergedAtOnce {
				if more = len(next) > 0; !more {
					return nil
				}
				h := next[0]
				if !bytes.Equal(h.key, last) {
					if err := b.Put(h.key, h.value); err != nil {
						return err
					}
					last = h.key
				}
				next.advance()
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// head is the next record of a bucket that is read in order.
type head struct {
	key, value []byte
	rest       *bbolt.Cursor
}

// heads is a heap of them by key.
type heads []head

// advance moves the first of them on to its next record.
func (h *heads) advance() {
	first := &(*h)[0]
	if first.key, first.value = first.rest.Next(); first.key == nil {
		heap.Pop(h)
	} else {
		heap.Fix(h, 0)
	}
}

func (h heads) Len() int           { return len(h) }
func (h heads) Less(i, j int) bool { return bytes.Compare(h[i].key, h[j].key) < 0 }
func (h heads) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)        { *h = append(*h, x.(head)) }
func (h *heads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
