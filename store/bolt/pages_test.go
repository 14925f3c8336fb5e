package bolt

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bbolt "go.etcd.io/bbolt"
)

// A file that bbolt wrote is never refused, whatever was put and deleted: large
// values and small ones, whole buckets that become empty, and fill again.
func TestCheckPagesOfWholeFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, NoSync: true})
	check(t, err)
	defer db.Close()
	f, err := os.Open(path)
	check(t, err)
	defer f.Close()
	random := rand.New(rand.NewPCG(1, 1))
	key := func() []byte { return binary.BigEndian.AppendUint32(nil, random.Uint32N(400)) }
	for n := range 3000 {
		check(t, db.Update(func(tx *bbolt.Tx) error {
			for range 1 + random.IntN(3) {
				b, err := tx.CreateBucketIfNotExists([]byte{'b', byte(random.IntN(8))})
				if err != nil {
					return err
				}
				switch what := random.IntN(10); {
				case what == 0: // all
					c := b.Cursor()
					for k, _ := c.First(); k != nil; k, _ = c.First() {
						if err := b.Delete(k); err != nil {
							return err
						}
					}
				case what < 4: // a run
					c := b.Cursor()
					from := key()
					for k, _ := c.Seek(from); k != nil; k, _ = c.Seek(from) {
						if random.IntN(50) == 0 {
							break
						}
						if err := b.Delete(k); err != nil {
							return err
						}
					}
				default:
					b.FillPercent = 0.3 + 0.6*random.Float64()
					for range random.IntN(60) {
						size := random.IntN(200)
						if random.IntN(50) == 0 {
							size = random.IntN(20_000)
						}
						if err := b.Put(key(), bytes.Repeat([]byte{'v'}, size)); err != nil {
							return err
						}
					}
				}
			}
			return nil
		}))
		if err := checkPages(f); err != nil {
			t.Fatalf("after %d commits: %v", n+1, err)
		}
	}
}
