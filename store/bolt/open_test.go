package bolt

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"app2wxapp/audit"
	"app2wxapp/userpool"
)

// refused opens what must be refused, with these words.
func refused(t *testing.T, what, path string, words ...string) {
	t.Helper()
	s, err := Open(config(path, slog.DiscardHandler))
	if err == nil {
		t.Errorf("%s: opened", what)
		closeStore(t, s)
		return
	}
	for _, w := range append(words, path) {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: got %q, want it to say %q", what, err, w)
		}
	}
}

func TestReopen(t *testing.T) {
	path := filled(t)
	for range 2 {
		s, err := Open(config(path, slog.DiscardHandler))
		check(t, err)
		u, err := s.User(ctx, "p", "b")
		if err != nil || u.Logins.Count != 1 || u.UnionID != "oU-b" {
			t.Errorf("user: %+v, %v", u, err)
		}
		check(t, s.Ready())
		closeStore(t, s)
		closeStore(t, s) // a second time does no harm
	}
}

// Nothing of a person, and no secret, can be read in the file.
func TestFileShowsNothing(t *testing.T) {
	b, err := os.ReadFile(filled(t))
	check(t, err)
	for _, plain := range []string{
		"planted-app-secret", "planted-jwt-secret", "oU-a", "o1-a", "13800138000", "nick-a", "203.0.113.7", string(testKey[:]),
	} {
		if bytes.Contains(b, []byte(plain)) {
			t.Errorf("the file shows %q", plain)
		}
	}
}

func TestWrongEncryptionKey(t *testing.T) {
	c := config(filled(t), slog.DiscardHandler)
	c.Key = [32]byte{8}
	if _, err := Open(c); err == nil || !strings.Contains(err.Error(), "the encryption key is not this store's") || !strings.Contains(err.Error(), "encryption.key") {
		t.Errorf("got %v", err)
	}
	closeStore(t, open(t, c.Path)) // nothing was changed, and the lock is free
}

func TestMetaBucket(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(tx *bbolt.Tx) error
		words  []string
	}{
		{"newer schema", func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Put([]byte(metaSchema), []byte("3")) },
			[]string{"a newer app2wxapp wrote it", "schema 3", "knows 2"}},
		{"schema 0", func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Put([]byte(metaSchema), []byte("0")) }, []string{"schema number is damaged"}},
		{"no number", func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Put([]byte(metaSchema), []byte("q")) }, []string{"schema number is damaged"}},
		{"no schema", func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Delete([]byte(metaSchema)) }, []string{"schema number is damaged"}},
		{"no data keys", func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Delete([]byte(metaKeys)) }, []string{"encryption key"}},
		{"no bucket", func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(bucketRevoked)) }, []string{"bucket revoked is missing"}},
		{"another name for a bucket that earlier versions lack", func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("totq"))
			return errors.Join(err, tx.DeleteBucket([]byte(bucketTOTP)))
		}, []string{"bucket totp is missing", `"totq" is none`}},
		{"no meta", func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(bucketMeta)) }, []string{"no store of app2wxapp"}},
		{"damaged epoch", func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Put([]byte(metaEpoch), []byte("x")) }, []string{"damaged record in meta"}},
		{"no epoch", func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Delete([]byte(metaEpoch)) }, []string{"epoch"}},
	} {
		path := filled(t)
		edit(t, path, row.change)
		refused(t, row.name, path, row.words...)
	}
}

// A bucket of a later version is no matter to one that must go back.
func TestBucketOfLaterVersion(t *testing.T) {
	path := filled(t)
	edit(t, path, func(tx *bbolt.Tx) error { return second(tx.CreateBucket([]byte("later"))) })
	if _, err := open(t, path).User(ctx, "p", "a"); err != nil {
		t.Error(err)
	}
}

func TestNotAStore(t *testing.T) {
	noise := make([]byte, 40_000)
	rand.Read(noise)
	for name, b := range map[string][]byte{
		"empty": {}, "one byte": {0}, "text": []byte("store:\n  url: bolt:data/app2wxapp.db\n"), "noise": noise,
		"zeros": make([]byte, 65536), "half a page": noise[:2048],
	} {
		refused(t, name, copyFile(t, filepath.Join(t.TempDir(), "store.db"), b), "damaged or no store of app2wxapp")
	}
	refused(t, "a folder", t.TempDir(), "not a regular file")

	other := filepath.Join(t.TempDir(), "other.db")
	db, err := bbolt.Open(other, 0o600, nil)
	check(t, err)
	check(t, db.Close())
	refused(t, "another program's file", other, "no store of app2wxapp")
}

// A file that was cut off is refused in words at any length, or is one that
// only lost what bbolt keeps in reserve.
func TestCutOffFile(t *testing.T) {
	path := filled(t)
	s := open(t, path)
	for i := range 60 {
		u := testUser(fmt.Sprint("u", i))
		u.Profile.City = strings.Repeat("x", 200)
		check(t, s.CreateUser(ctx, u))
	}
	closeStore(t, s)
	b, err := os.ReadFile(path)
	check(t, err)
	m, ok := readBoltMeta(bytes.NewReader(b), 0)
	if m2, ok2 := readBoltMeta(bytes.NewReader(b), 4096); !ok || ok2 && m2.TxID > m.TxID {
		m = m2
	}
	page, used := int(m.PageSize), int(m.Pages)*int(m.PageSize)
	if used < 10*page || used+2*page > len(b) {
		t.Fatalf("page size %d, %d of %d bytes used", page, used, len(b))
	}
	dir := t.TempDir()
	for at := 0; at <= used+page; at += page {
		for _, n := range []int{at - 1, at, at + 1, at + 17, at + page/2 + 3} {
			if n < 0 || n > len(b) {
				continue
			}
			cut := copyFile(t, filepath.Join(dir, fmt.Sprint(n)), b[:n])
			if n < used {
				refused(t, fmt.Sprintf("%d of %d bytes", n, len(b)), cut, "restore a backup")
			} else {
				s := open(t, cut)
				if _, err := s.User(ctx, "p", "a"); err != nil {
					t.Errorf("%d of %d bytes: %v", n, len(b), err)
				}
				closeStore(t, s)
			}
			check(t, os.Remove(cut))
		}
	}
}

// breakMeta spoils the meta page at this offset.
func breakMeta(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at+pageHeader+40] ^= 1 // the high-water mark: magic and version stay
	return b
}

func TestBrokenMetaPages(t *testing.T) {
	b, err := os.ReadFile(filled(t))
	check(t, err)
	dir := t.TempDir()
	page := int(must(readBoltMeta(bytes.NewReader(b), 0)).PageSize)
	refused(t, "both broken", copyFile(t, filepath.Join(dir, "both"), breakMeta(breakMeta(b, 0), page)), "neither meta page is whole")
	for name, at := range map[string]int{"first": 0, "second": page} {
		s := open(t, copyFile(t, filepath.Join(dir, name), breakMeta(b, at)))
		if _, err := s.Pool(ctx, "p"); err != nil {
			t.Errorf("%s broken: %v", name, err)
		}
		check(t, second(s.UpdatePool(ctx, "p", silent(func(p *userpool.Pool) error { p.Name = "new"; return nil }))))
	}
}

func must(m boltMeta, ok bool) boltMeta {
	if !ok {
		panic("no meta page")
	}
	return m
}

// The pages of a file that came from a machine with other pages.
func TestOtherPageSizes(t *testing.T) {
	for _, size := range []int{1024, 16384, 65536} {
		path := filepath.Join(t.TempDir(), "store.db")
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: size, NoFreelistSync: true})
		check(t, err)
		check(t, db.Update(func(tx *bbolt.Tx) error { return writeMeta(tx, testKey) }))
		check(t, db.Update(func(*bbolt.Tx) error { return nil })) // now both meta pages know of it
		check(t, db.Close())
		b, err := os.ReadFile(path)
		check(t, err)
		for name, b := range map[string][]byte{"whole": b, "first broken": breakMeta(b, 0), "second broken": breakMeta(b, size)} {
			s := open(t, copyFile(t, filepath.Join(t.TempDir(), "store.db"), b))
			if err := s.CreatePool(ctx, testPool("p"), audit.Event{}); err != nil {
				t.Errorf("pages of %d, %s: %v", size, name, err)
			}
		}
	}
}

// A meta page that is whole and lies.
func TestMetaBeyondFile(t *testing.T) {
	b, err := os.ReadFile(filled(t))
	check(t, err)
	for _, at := range []int{0, int(must(readBoltMeta(bytes.NewReader(b), 0)).PageSize)} {
		meta := b[at+pageHeader:]
		binary.NativeEndian.PutUint64(meta[40:], 1<<20)
		sum := fnv.New64a()
		sum.Write(meta[:56])
		binary.NativeEndian.PutUint64(meta[56:], sum.Sum64())
	}
	refused(t, "meta beyond the file", copyFile(t, filepath.Join(t.TempDir(), "store.db"), b), "the file is cut off")
}

func TestFileMode(t *testing.T) {
	path := filled(t)
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o620, 0o666} {
		check(t, os.Chmod(path, mode))
		refused(t, mode.String(), path, "others can read it", "chmod 600 "+path)
	}
	for _, mode := range []os.FileMode{0o600, 0o700} {
		check(t, os.Chmod(path, mode))
		closeStore(t, open(t, path))
	}
}

func TestLockHeld(t *testing.T) {
	path := filled(t)
	first := open(t, path)
	start := time.Now()
	refused(t, "held", path, "another process has this file open", "store.url")
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("it took %v, want a second or two", took)
	}
	check(t, first.Ready())
	closeStore(t, first)
	closeStore(t, open(t, path))
}
