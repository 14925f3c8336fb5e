package bolt

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	bbolt "go.etcd.io/bbolt"

	"app2wxapp/store/seal"
)

const (
	// schema is that of this program; a file with a higher one is refused. With 1 a
	// user's live tickets stood in access, and what lives now would not be found.
	schema      = 2
	recordKeyID = 1
	metaSchema  = "schema"
	metaKeys    = "keys"
	metaEpoch   = "epoch"
	// initialMmap is address space, not memory: until the file outgrows it a
	// write need not wait for readers to remap it.
	initialMmap = 1 << 30
)

// create makes a new store. bbolt survives a power loss after a file's
// creation, not during it: so the file is filled, closed and flushed under
// another name and then linked into place, which does not replace a file that
// another process has put there meanwhile.
func create(path string, key [32]byte) (err error) {
	folder := filepath.Dir(path)
	draft := beside(path, ".new-"+rand.Text())
	defer func() {
		if rmErr := os.Remove(draft); rmErr != nil && !errors.Is(rmErr, os.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}()
	db, err := bbolt.Open(draft, 0o600, &bbolt.Options{Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(func(t *bbolt.Tx) error { return writeMeta(t, key) }), db.Close()); err != nil {
		return err
	}
	if err := os.Link(draft, path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return SyncFolder(folder)
}

// beside returns the name of a file that goes with the store at path.
func beside(path, suffix string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+suffix)
}

// MakeFolder makes the folder and those above it that are missing, with mode
// 0700; each is on disk before the next is made in it.
func MakeFolder(path string) error {
	if Exists(path) {
		return nil
	}
	above := filepath.Dir(path)
	if err := MakeFolder(above); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return SyncFolder(above)
}

// SyncFolder puts the names in a folder on disk.
func SyncFolder(path string) error {
	f, err := os.Open(path) // #nosec G304 -- the path is the operator's, from the settings
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// writeMeta fills an empty file.
func writeMeta(t *bbolt.Tx, key [32]byte) error {
	for _, name := range buckets {
		if _, err := t.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	keys := seal.NewDataKeys()
	var epoch [epochSize]byte
	rand.Read(epoch[:])
	meta := t.Bucket([]byte(bucketMeta))
	return errors.Join(
		meta.Put([]byte(metaSchema), []byte(strconv.Itoa(schema))),
		meta.Put([]byte(metaKeys), seal.New(0, key).Seal(nil, bucketMeta, []byte(metaKeys), keys.Marshal())),
		meta.Put([]byte(metaEpoch), seal.New(recordKeyID, keys.Record).Seal(nil, bucketMeta, []byte(metaEpoch), epoch[:])),
	)
}

// readMeta checks the schema and opens the data keys.
func readMeta(t *bbolt.Tx, key [32]byte) (seal.DataKeys, error) {
	meta := t.Bucket([]byte(bucketMeta))
	if meta == nil {
		return seal.DataKeys{}, errors.New("this is a bbolt file, but no store of app2wxapp")
	}
	n, err := strconv.Atoi(string(meta.Get([]byte(metaSchema))))
	if err != nil || n < 1 {
		return seal.DataKeys{}, errors.New("the schema number is damaged; restore a backup")
	}
	if n > schema {
		return seal.DataKeys{}, fmt.Errorf("a newer app2wxapp wrote it (schema %d, this one knows %d); start that version again, or restore a backup made by this one", n, schema)
	}
	if err := checkBuckets(t); err != nil {
		return seal.DataKeys{}, err
	}
	plain, err := seal.New(0, key).Open(nil, bucketMeta, []byte(metaKeys), meta.Get([]byte(metaKeys)))
	if err != nil {
		return seal.DataKeys{}, errors.New("the encryption key is not this store's; give the key that it was made with (encryption.key)")
	}
	return seal.UnmarshalDataKeys(plain)
}

// checkBuckets returns an error if one is missing. A store of an earlier version
// lacks some, and one that a newer version has opened has others beside ours; with
// both, or with a record where there are only buckets, it is an entry that is
// damaged, and all that is in the bucket would be gone.
func checkBuckets(t *bbolt.Tx) error {
	unknown := ""
	if err := t.ForEach(func(name []byte, b *bbolt.Bucket) error {
		if b == nil || !slices.Contains(buckets, string(name)) {
			unknown = string(name)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, name := range buckets {
		switch {
		case t.Bucket([]byte(name)) != nil:
		case unknown != "":
			return fmt.Errorf("bucket %s is missing, and %q is none of this program's; restore a backup", name, unknown)
		case !slices.Contains(later, name):
			return fmt.Errorf("bucket %s is missing; restore a backup", name)
		}
	}
	return nil
}

// openFile opens an existing file after looking at it: bbolt itself maps a file
// that was cut off and dies of the first page that is missing.
func openFile(path string, readOnly bool) (db *bbolt.DB, err error) {
	if err := inspect(path); err != nil {
		return nil, err
	}
	var file *os.File // locked, and found whole under the lock
	defer func() {
		if p := recover(); p != nil {
			// bbolt let go of nothing; at least the next attempt gets the lock.
			err = errors.Join(fmt.Errorf("the file is damaged (%v); restore a backup", p), file.Close())
		}
	}()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, mode) // #nosec G304 -- the path is the operator's, from the settings
			if err != nil {
				return nil, err
			}
			err = lock(f, readOnly)
			if err == nil {
				err = checkPages(f)
			}
			if err != nil {
				return nil, errors.Join(err, f.Close())
			}
			file = f
			return f, nil
		},
		Timeout:         lockTimeout,
		NoFreelistSync:  true, // else each commit of a large file writes the list again
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: initialMmap,
		NoStatistics:    true,
		ReadOnly:        readOnly,
	})
	return db, err
}

// lock takes the file's lock, which those who only read share, or says that
// another process has it. bbolt takes it once more, which is no matter.
func lock(f *os.File, readOnly bool) error {
	how := syscall.LOCK_EX
	if readOnly {
		how = syscall.LOCK_SH
	}
	for end := time.Now().Add(lockTimeout); ; time.Sleep(50 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		if time.Now().After(end) {
			return errors.New("another process has this file open; stop it, or give this one another store.url")
		}
	}
}

// inspect refuses a file that others can read, and one that is cut off.
func inspect(path string) error {
	f, err := os.Open(path) // #nosec G304 -- the path is the operator's, from the settings
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("this is not a regular file")
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("others can read it (mode %04o); run: chmod 600 %s", mode, path)
	}
	return checkLength(f, info.Size())
}

// A bbolt file begins with two meta pages, of which the newer valid one counts.
const (
	pageHeader  = 16
	boltMagic   = 0xED0CDAED
	boltVersion = 2
)

// boltMeta is bbolt's meta record as it lies in the file, in the machine's byte
// order.
type boltMeta struct {
	Magic, Version, PageSize, Flags   uint32
	Root, Sequence, Freelist          uint64
	Pages /* high-water mark */, TxID uint64
	Checksum                          uint64 // FNV-64a of what stands before it
}

// checkLength returns an error unless one meta page is whole and the file has
// all the pages that the newest whole one speaks of.
func checkLength(f io.ReaderAt, size int64) error {
	newest, err := newestMeta(f)
	if err != nil {
		return err
	}
	// #nosec G115 -- the checksum of the record holds
	if want := int64(newest.Pages) * int64(newest.PageSize); size < want {
		return fmt.Errorf("the file is cut off: it has %d bytes and should have %d or more; restore a backup", size, want)
	}
	return nil
}

// newestMeta returns the meta record that counts.
func newestMeta(f io.ReaderAt) (newest boltMeta, err error) {
	// The first page's place is known, the second one's depends on the page
	// size, which is the first one's to say if it is whole.
	for _, pageSize := range []int64{0, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536} {
		m, ok := readBoltMeta(f, pageSize)
		if !ok || pageSize != 0 && int64(m.PageSize) != pageSize {
			continue
		}
		if newest.Magic == 0 || m.TxID > newest.TxID {
			newest = m
		}
	}
	if newest.Magic == 0 {
		return newest, errors.New("the file is damaged or no store of app2wxapp: neither meta page is whole; restore a backup")
	}
	return newest, nil
}

func readBoltMeta(f io.ReaderAt, at int64) (m boltMeta, ok bool) {
	var raw [64]byte
	if _, err := f.ReadAt(raw[:], at+pageHeader); err != nil {
		return m, false
	}
	if _, err := binary.Decode(raw[:], binary.NativeEndian, &m); err != nil {
		return m, false
	}
	sum := fnv.New64a()
	sum.Write(raw[:56])
	return m, m.Magic == boltMagic && m.Version == boltVersion && m.Checksum == sum.Sum64()
}
