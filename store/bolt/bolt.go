// Package bolt keeps everything in one bbolt file.
//
//	bucket        key                                    record
//	meta          "schema"                               format number, in the clear
//	meta          "keys"                                 data keys, sealed with the encryption key
//	meta          "epoch"                                random; a ticket of another epoch is void
//	meta          "clock"                                latest time seen, within 5 s (clock.go)
//	pools         pool id                                Pool, JSON
//	users         pool id / user id                      what a login does not change
//	access        pool id / user id                      what it does: count, last, block
//	unionids      HMAC(pool, unionid)                    user id
//	openids       HMAC(pool, AppID, openid)              user id
//	phones        HMAC(pool, phone) + user id            user id
//	usernames     HMAC(pool, username)                   user id
//	totp          pool id / user id                      second factor
//	passwords     pool id / user id                      hash of the password, and where it was right
//	emails        HMAC(pool, e-mail address)             user id
//	tickets       6 bytes of time + SHA-256(ticket)      ticket and what became of it
//	revoked       8 bytes of expiry + jti                empty
//	unfinished    6 bytes of time + SHA-256(state token) sign-in that is to be finished
//	recipients    HMAC(pool, phone or e-mail address)    codes that were sent there, and when
//	recipient_ends  8 bytes of its end + that            empty
//	sessions      session id                             session
//	session_ends  8 bytes of expiry + session id         empty
//	uploads       SHA-256 of a picture                   the picture
//	loose         8 bytes of time + SHA-256 of it        size, of a picture that nobody holds
//	holders       pool id / user id                      SHA-256 of the picture that the user holds
//	signing_keys  kid                                    private key, JSON
//	meta          "audit"                                where the audit chain ends, JSON
//	audit         event id                               event and SHA-256 of the row before, JSON
//
// Every record except meta's "schema" is sealed (package seal). Keys tell nothing
// of a person: hashes, ids and HMACs. Tickets and users have keys in time
// order, so that those who come together share a few hot pages; what a login
// changes lies apart from the profile, in records small enough for many to a
// page. Who signs in and redeems writes the ticket only: the user's record of
// access takes the login in when it is written next, or by the sweep (recent.go).
// The bucket of tickets counts them, and the redemptions, in its sequence.
//
// Writes that wait at the same moment share one commit (commit.go). A record
// that does not open, and an index entry without its user, is corruption:
// userpool.ErrUnavailable, never "not found".
package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bbolt "go.etcd.io/bbolt"

	"app2wxapp/store/seal"
	"app2wxapp/userpool"
)

const (
	bucketMeta     = "meta"
	bucketPools    = "pools"
	bucketUsers    = "users"
	bucketAccess   = "access"
	bucketUnionIDs = "unionids"
	bucketOpenIDs  = "openids"
	bucketPhones   = "phones"
	bucketNames    = "usernames"
	bucketTickets  = "tickets"
	bucketRevoked  = "revoked"
	bucketKeys     = "signing_keys"
	bucketAudit    = "audit"

	bucketSessions    = "sessions"
	bucketSessionEnds = "session_ends"

	bucketUploads = "uploads"
	bucketLoose   = "loose"
	bucketHolders = "holders"

	bucketUnfinished = "unfinished"

	bucketPasswords     = "passwords"
	bucketTOTP          = "totp"
	bucketEmails        = "emails"
	bucketRecipients    = "recipients"
	bucketRecipientEnds = "recipient_ends"
)

var buckets = []string{
	bucketMeta, bucketPools, bucketUsers, bucketAccess, bucketUnionIDs, bucketOpenIDs, bucketPhones,
	bucketNames, bucketTickets, bucketRevoked, bucketKeys, bucketAudit, bucketSessions, bucketSessionEnds,
	bucketUploads, bucketLoose, bucketHolders, bucketUnfinished, bucketEmails, bucketRecipients, bucketRecipientEnds,
	bucketPasswords, bucketTOTP,
}

// later are those that stores of earlier versions of the program lack. One that is
// dropped or has another name needs a higher schema: see checkBuckets.
var later = []string{
	bucketAudit, bucketSessions, bucketSessionEnds, bucketNames, bucketUploads, bucketLoose, bucketHolders, bucketUnfinished,
	bucketEmails, bucketRecipients, bucketRecipientEnds, bucketPasswords, bucketTOTP,
}

// lockTimeout is how long Open waits for another process to let go of the file.
const lockTimeout = time.Second

// Config says how to open a store.
type Config struct {
	Path string   // created, with its folder, if it does not exist
	Key  [32]byte // the operator's encryption key
	Log  *slog.Logger
	Reg  prometheus.Registerer
	// Now is the clock, to notice when it is put back: then all live tickets
	// end. Nil means that nobody watches it.
	Now func() time.Time
}

// Store is a store in one bbolt file. It is safe for concurrent use; a second
// process cannot open the file meanwhile.
type Store struct {
	path    string
	key     [32]byte
	log     *slog.Logger
	metrics metrics

	// db is nil while the file is opened again after a failed commit. From the
	// failure on no read begins, since the file may show what the disk lacks.
	dbMu   sync.RWMutex
	db     *bbolt.DB
	failed atomic.Bool
	file   os.FileInfo // of db
	moved  atomic.Bool // another file lies at path, or none
	keys   seal.DataKeys
	sealer *seal.Sealer
	epoch  string
	clock  clock
	pools  poolCache
	codes  codes
	recent recent

	queue  *queue
	done   chan struct{}            // closed when the commit loop has ended
	commit func(tx *bbolt.Tx) error // (*bbolt.Tx).Commit; tests make it fail

	writes sync.Pool // of *write
	views  sync.Pool // of *tx
}

// Exists tells whether there is a file at path.
func Exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Open opens the store, or creates it. What keeps it from doing so is said in
// words: another process holds the file, the encryption key is not the file's,
// the file is damaged, cut off, of a newer version, or readable by others.
func Open(c Config) (*Store, error) {
	if err := MakeFolder(filepath.Dir(c.Path)); err != nil {
		return nil, fmt.Errorf("create the store's folder: %w", err)
	}
	if !Exists(c.Path) {
		if err := create(c.Path, c.Key); err != nil {
			return nil, fmt.Errorf("create store %s: %w", c.Path, err)
		}
	}
	s := &Store{
		path: c.Path, key: c.Key, log: c.Log, metrics: newMetrics(c.Reg),
		queue: newQueue(), done: make(chan struct{}), commit: (*bbolt.Tx).Commit, clock: clock{now: c.Now},
	}
	s.writes.New = func() any { return &write{done: make(chan error, 1)} }
	s.views.New = func() any { return &tx{s: s, scratch: make([]byte, 0, scratchSize)} }
	if err := s.attach(); err != nil {
		return nil, err
	}
	go s.commitLoop()
	if err := s.watchClock(); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", c.Path, err), s.Close())
	}
	return s, nil
}

// Close ends the store after the writes that wait. Its empty commit makes the
// older meta page as good as the newer one: a closed file survives the loss of
// either. Nothing depends on it, so its failure is none.
func (s *Store) Close() error {
	s.queue.close()
	<-s.done
	if s.db != nil {
		_ = s.empty()
	}
	return s.detach()
}

// empty makes a commit without changes.
func (s *Store) empty() (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recovered(&err)
	return s.db.Update(func(*bbolt.Tx) error { return nil })
}

// Ready returns nil if the store can answer, else userpool.ErrUnavailable.
func (s *Store) Ready() error {
	s.lookForFile()
	return s.view(func(*tx) error { return nil })
}

// lookForFile looks whether the file still lies at its path. One that was moved
// away, be it to restore a backup in its place, is not what the next start opens:
// what would be written to it then would be answered and lost.
func (s *Store) lookForFile() {
	s.dbMu.RLock()
	file := s.file
	s.dbMu.RUnlock()
	there, err := os.Stat(s.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) || file == nil {
		return // it says nothing of the file
	}
	moved := err != nil || !os.SameFile(file, there)
	if s.moved.Swap(moved) == moved {
		return
	}
	if moved {
		s.log.Error("store: the file was moved away or replaced; nothing is read or written until it is back or this server is started again", "file", s.path)
	} else {
		s.log.Warn("store: the file is back", "file", s.path)
	}
}

// attach opens the file and reads what is needed to read the rest.
func (s *Store) attach() (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, err := openFile(s.path, false)
	if err != nil {
		return fmt.Errorf("open store %s: %w", s.path, err)
	}
	file, err := os.Stat(s.path)
	if err == nil {
		err = s.unlock(db)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open store %s: %w", s.path, err), db.Close())
	}
	s.dbMu.Lock()
	s.db, s.file = db, file
	s.failed.Store(false)
	s.dbMu.Unlock()
	return nil
}

// detach closes the file after the reads under way.
func (s *Store) detach() error {
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	return db.Close()
}

// unlock reads the schema, the data keys, the epoch and the recent tickets. Its
// commit, empty but after an upgrade, proves that the file takes writes, and puts
// on disk what the page cache may only pretend is there after a failed fsync.
func (s *Store) unlock(db *bbolt.DB) (err error) {
	defer recovered(&err)
	return db.Update(func(t *bbolt.Tx) error {
		if err := whole(t); err != nil {
			return err
		}
		if err := s.readAndComplete(t); err != nil {
			return err
		}
		w := &tx{Tx: t, s: s, cursors: map[string]*bbolt.Cursor{}, scratch: make([]byte, 0, scratchSize)}
		mark, err := w.clock()
		s.clock.mark.Store(mark)
		return errors.Join(err, w.beginRecent())
	})
}

// readAndComplete is readKeys, and then adds what a store of an earlier version of
// the program lacks: whether that is why it lacks it is known only then.
func (s *Store) readAndComplete(t *bbolt.Tx) error {
	if err := s.readKeys(t); err != nil {
		return err
	}
	for _, name := range later {
		if _, err := t.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	return t.Bucket([]byte(bucketMeta)).Put([]byte(metaSchema), []byte(strconv.Itoa(schema)))
}

// readKeys reads the schema, the data keys and the epoch.
func (s *Store) readKeys(t *bbolt.Tx) error {
	keys, err := readMeta(t, s.key)
	if err != nil {
		return err
	}
	s.keys, s.sealer = keys, seal.New(recordKeyID, keys.Record)
	epoch, _, err := (&tx{Tx: t, s: s}).get(bucketMeta, []byte(metaEpoch))
	if s.epoch = shortEpoch(epoch); err == nil && s.epoch == "" {
		err = errors.New("the epoch is missing; restore a backup")
	}
	return err
}

// scratchSize is enough to open most records in.
const scratchSize = 1024

// tx is a transaction on sealed records. It is for one goroutine.
type tx struct {
	*bbolt.Tx
	s       *Store
	writes  int
	changed lists                    // recent tickets, of the writer
	cursors map[string]*bbolt.Cursor // of the writer, which looks often
	key     []byte                   // scratch of userKey
	plain   []byte                   // scratch of what is put
	scratch []byte                   // of the sealer
}

// get returns the opened record, and whether there is one.
func (t *tx) get(bucket string, key []byte) (record string, ok bool, err error) {
	sealed := t.sealed(bucket, key)
	if sealed == nil {
		return "", false, nil
	}
	record, err = t.open(bucket, key, sealed)
	return record, err == nil, err
}

// sealed returns the record as it is stored, nil if there is none.
func (t *tx) sealed(bucket string, key []byte) []byte {
	if t.cursors == nil {
		return t.Bucket([]byte(bucket)).Get(key)
	}
	c := t.cursors[bucket]
	if c == nil {
		c = t.Bucket([]byte(bucket)).Cursor()
		t.cursors[bucket] = c
	}
	if k, v := c.Seek(key); bytes.Equal(k, key) {
		return v
	}
	return nil
}

func (t *tx) open(bucket string, key, record []byte) (string, error) {
	plain, err := t.s.sealer.Open(t.scratch, bucket, key, record)
	if err != nil {
		return "", corrupt(bucket, err)
	}
	return string(plain), nil
}

// put seals and stores a record.
func (t *tx) put(bucket string, key, plain []byte) error {
	t.writes++
	b := t.Bucket([]byte(bucket))
	switch bucket {
	case bucketTickets, bucketUsers, bucketAudit, bucketSessions, bucketSessionEnds, bucketUnfinished, bucketRecipientEnds:
		b.FillPercent = 0.9 // keys grow with time: pages fill from the left
	}
	return b.Put(key, t.s.sealer.Seal(t.scratch, bucket, key, plain))
}

func (t *tx) delete(bucket string, key []byte) error {
	t.writes++
	return t.Bucket([]byte(bucket)).Delete(key)
}

// corrupt is the error of a record that is there and cannot be read.
func corrupt(bucket string, err error) error {
	return fmt.Errorf("%w: damaged record in %s: %w", userpool.ErrUnavailable, bucket, err)
}

// recovered, when deferred, makes an error of a panic: bbolt trusts its pages
// and panics when one is not what it should be.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: damaged store file: %v", userpool.ErrUnavailable, p)
	}
}

// view runs a read transaction. A panic in it is a damaged file: bbolt trusts
// its pages, and a page past the end of a file that shrank is a memory fault.
func (s *Store) view(read func(*tx) error) (err error) {
	switch {
	case s.failed.Load():
		return errReopening
	case s.moved.Load():
		return errMoved
	}
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	if s.db == nil {
		return errReopening
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recovered(&err)
	t, err := s.db.Begin(false)
	if err != nil {
		return fmt.Errorf("%w: %w", userpool.ErrUnavailable, err)
	}
	defer t.Rollback()
	v := s.views.Get().(*tx)
	defer s.views.Put(v)
	v.Tx = t
	return read(v)
}
