package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	bbolt "go.etcd.io/bbolt"

	"app2wxapp/store/move"
	"app2wxapp/store/record"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// kind is where and how records of a kind lie in the file.
type kind struct {
	bucket string
	// read returns the record as it is moved; not all that is in the bucket is.
	read  func(t *tx, key, sealed []byte) (value string, moved bool, err error)
	write func(t *tx, key, value string) error
}

// kinds is the table of what is moved. Of a bucket whose records are moved as
// they are, the line is asItIs. The indexes of users are made anew, meta's other
// records are each file's own.
func kinds() map[move.Kind]kind {
	return map[move.Kind]kind{
		move.Pools:       asItIs(bucketPools),
		move.SigningKeys: asItIs(bucketKeys),
		move.Users:       {bucketUsers, (*tx).readUser, (*tx).writeUser},
		move.Passwords:   asItIs(bucketPasswords),
		move.TOTPs:       asItIs(bucketTOTP),
		move.Tickets:     {bucketTickets, (*tx).readRedemption, (*tx).writeRedemption},
		move.Revoked:     asItIs(bucketRevoked),
		move.Sessions:    {bucketSessions, asItIs(bucketSessions).read, (*tx).writeSession},
		move.Pictures:    {bucketUploads, (*tx).readPicture, (*tx).writePicture},
		move.Holders:     {bucketHolders, (*tx).readHolder, (*tx).writeHolder},
		move.Events:      asItIs(bucketAudit),
		move.EventsEnd:   {bucketMeta, (*tx).readEventsEnd, (*tx).writeEventsEnd},
	}
}

func asItIs(bucket string) kind {
	return kind{
		bucket: bucket,
		read: func(t *tx, key, sealed []byte) (string, bool, error) {
			value, err := t.open(bucket, key, sealed)
			return value, err == nil, err
		},
		write: func(t *tx, key, value string) error { return t.put(bucket, []byte(key), []byte(value)) },
	}
}

func (t *tx) readUser(key, sealed []byte) (string, bool, error) {
	poolID, id := splitUserKey(string(key))
	rec, err := t.open(bucketUsers, key, sealed)
	if err != nil {
		return "", false, err
	}
	u, err := record.DecodeUser(poolID, id, rec)
	if err != nil {
		return "", false, corrupt(bucketUsers, err)
	}
	a, err := t.access(poolID, id)
	if err != nil {
		return "", false, err
	}
	a.of(&u)
	return string(record.EncodeWholeUser(u)), true, nil
}

func (t *tx) writeUser(key, value string) error {
	poolID, id := splitUserKey(key)
	u, err := record.DecodeWholeUser(poolID, id, value)
	if err != nil {
		return err
	}
	if err := t.putAccess(poolID, id, access{blocked: u.Blocked, notBefore: u.NotBefore, logins: u.Logins}); err != nil {
		return err
	}
	return t.put(bucketUsers, []byte(key), record.EncodeUser(u))
}

func (t *tx) readRedemption(key, sealed []byte) (string, bool, error) {
	k := ticket.Key(key)
	rec, err := t.open(bucketTickets, key, sealed)
	if err != nil {
		return "", false, err
	}
	r, err := decodeTicket(k, rec)
	if err != nil {
		return "", false, corrupt(bucketTickets, err)
	}
	if r.redeemedAt.IsZero() || r.epoch != t.s.epoch {
		return "", false, nil
	}
	moved := record.Redemption{Ticket: r.Ticket, At: r.redeemedAt, JTI: r.jti, TokenEnd: r.tokenEnd, Revoked: r.revoked, Idempotency: r.idem}
	if r.idem != "" {
		u, err := decodeAnswer(r.PoolID, r.UserID, r.answer)
		if err != nil {
			return "", false, corrupt(bucketTickets, err)
		}
		moved.Answer, moved.Login, moved.Addr = string(record.EncodeUser(u)), u.Logins.Count, r.addr
	}
	return string(record.EncodeRedemption(moved)), true, nil
}

func (t *tx) writeRedemption(key, value string) error {
	m, err := record.DecodeRedemption(ticket.Key([]byte(key)), value)
	if err != nil {
		return err
	}
	r := ticketRecord{
		Ticket: m.Ticket, epoch: t.s.epoch, redeemedAt: m.At, jti: m.JTI, tokenEnd: m.TokenEnd, revoked: m.Revoked, idem: m.Idempotency, addr: m.Addr,
	}
	if m.Idempotency != "" {
		u, err := record.DecodeUser(m.PoolID, m.UserID, m.Answer)
		if err != nil {
			return err
		}
		u.Logins = userpool.Logins{Count: m.Login, Last: m.At, Addr: m.Addr}
		r.answer = encodeAnswer(u)
	}
	return t.putTicket(r)
}

func (t *tx) readEventsEnd(key, sealed []byte) (string, bool, error) {
	if string(key) != metaAudit {
		return "", false, nil
	}
	value, err := t.open(bucketMeta, key, sealed)
	return value, err == nil, err
}

func (t *tx) writeEventsEnd(key, value string) error {
	return t.put(bucketMeta, []byte(key), []byte(value))
}

// Source is the records of a store as they are at one moment. It implements
// move.Source.
type Source struct {
	t        *tx
	restored bool
	close    func() error
}

// OpenSource opens a store's file to read it; others may read it, too, but no
// process may have it open as its store. The file is not changed.
func OpenSource(path string, key [32]byte) (*Source, error) {
	src, err := openSource(path, key)
	if err != nil {
		return nil, err
	}
	if src.BackedUp() != "" {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, errBackup), src.Close())
	}
	return src, nil
}

// OpenBackup is OpenSource of a backup, or of the file of a store that was
// stopped, to restore it: none of its tickets goes along, only their logins.
func OpenBackup(path string, key [32]byte) (*Source, error) {
	src, err := openSource(path, key)
	if err != nil {
		return nil, err
	}
	src.restored = true
	src.t.s.epoch = "" // that of no ticket
	return src, nil
}

func openSource(path string, key [32]byte) (*Source, error) {
	db, err := openFile(path, true)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s := &Store{path: path, key: key, log: slog.New(slog.DiscardHandler)}
	src, err := newSource(s, db)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	src.close = db.Close
	if src.unfinished() {
		return nil, errors.Join(fmt.Errorf("open %s: what is moved into it is not complete", path), src.Close())
	}
	if err := src.guarded(func() error {
		l, _, _, _ := src.t.readRecent() // for the logins in it
		s.recent.begin(l)
		return nil
	}); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), src.Close())
	}
	return src, nil
}

// newSource begins a read of db, whose keys it gives to the store that is none
// yet.
func newSource(s *Store, db *bbolt.DB) (src *Source, err error) {
	defer recovered(&err)
	bt, err := db.Begin(false)
	if err != nil {
		return nil, err
	}
	if err := s.readKeys(bt); err != nil {
		return nil, errors.Join(err, bt.Rollback())
	}
	t := &tx{Tx: bt, s: s, cursors: map[string]*bbolt.Cursor{}, scratch: make([]byte, 0, scratchSize)}
	return &Source{t: t, close: func() error { return nil }}, nil
}

// Close ends the read.
func (s *Source) Close() error { return errors.Join(s.t.Rollback(), s.close()) }

// Origin implements move.Source.
func (s *Source) Origin() move.Origin {
	return move.Origin{Store: s.t.s.keys.Origin(), Restored: s.restored}
}

// BackedUp returns when the file was made as a backup, "" if it is none.
func (s *Source) BackedUp() string {
	return string(s.t.Bucket([]byte(bucketMeta)).Get([]byte(metaBackup)))
}

// unfinished tells whether something was still being moved into the file.
func (s *Source) unfinished() bool {
	return s.t.Bucket([]byte(bucketMeta)).Get([]byte(metaMoving)) != nil
}

// Count implements move.Source. It counts keys: there are tickets that are not
// moved.
func (s *Source) Count(_ context.Context, k move.Kind) (n int, err error) {
	err = s.guarded(func() error {
		if kind := kinds()[k]; kind.bucket == bucketMeta {
			n = 1
		} else if b := s.t.Bucket([]byte(kind.bucket)); b != nil {
			n = b.Stats().KeyN
		}
		return nil
	})
	return n, err
}

// Read implements move.Source, in the order of keys.
func (s *Source) Read(ctx context.Context, k move.Kind, after string, limit int) (records []move.Record, err error) {
	kind, ok := kinds()[k]
	if !ok {
		return nil, fmt.Errorf("bolt: nobody has said where %s are", k)
	}
	err = s.guarded(func() error {
		b := s.t.Bucket([]byte(kind.bucket))
		if b == nil {
			return nil
		}
		c := b.Cursor()
		key, sealed := c.Seek([]byte(after))
		if string(key) == after {
			key, sealed = c.Next()
		}
		for ; key != nil && len(records) < limit && ctx.Err() == nil; key, sealed = c.Next() {
			value, moved, err := kind.read(s.t, key, sealed)
			if err != nil {
				return err
			}
			if moved {
				records = append(records, move.Record{Key: string(key), Value: value})
			}
		}
		return ctx.Err()
	})
	return records, err
}

// Check implements move.Source: the indexes of users have what the users say,
// and nothing else; every record of access has its user.
func (s *Source) Check(ctx context.Context) error {
	return s.guarded(func() error {
		var want, have move.Sum
		users := 0
		err := s.t.eachUser(ctx, func(u userpool.User) error {
			users++
			for _, e := range s.t.s.entries(u) {
				want.Add(move.Record{Key: e.bucket + string(e.key), Value: u.ID})
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, bucket := range []string{bucketUnionIDs, bucketOpenIDs, bucketPhones, bucketNames, bucketEmails} {
			b := s.t.Bucket([]byte(bucket))
			if b == nil { // of an earlier version
				continue
			}
			c := b.Cursor()
			for k, v := c.First(); k != nil && ctx.Err() == nil; k, v = c.Next() {
				id, err := s.t.open(bucket, k, v)
				if err != nil {
					return err
				}
				have.Add(move.Record{Key: bucket + string(k), Value: id})
			}
		}
		switch n := s.t.Bucket([]byte(bucketAccess)).Stats().KeyN; {
		case ctx.Err() != nil:
			return ctx.Err()
		case n != users:
			return corrupt(bucketAccess, fmt.Errorf("%w: %d users, %d records", errNoUser, users, n))
		case want != have:
			return fmt.Errorf("the indexes do not fit the users: %d entries, %d expected", have.Count, want.Count)
		}
		return nil
	})
}

// eachUser calls do with what a login does not change of every user.
func (t *tx) eachUser(ctx context.Context, do func(userpool.User) error) error {
	c := t.Bucket([]byte(bucketUsers)).Cursor()
	for k, v := c.First(); k != nil && ctx.Err() == nil; k, v = c.Next() {
		rec, err := t.open(bucketUsers, k, v)
		if err != nil {
			return err
		}
		poolID, id := splitUserKey(string(k))
		u, err := record.DecodeUser(poolID, id, rec)
		if err != nil {
			return corrupt(bucketUsers, err)
		}
		if err := do(u); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// guarded makes errors of what bbolt does on a damaged file.
func (s *Source) guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recovered(&err)
	return do()
}

var _ move.Source = (*Source)(nil)
