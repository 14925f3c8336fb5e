package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"time"

	"app2wxapp/store/record"
	"app2wxapp/upload"
)

// picture is a stored picture: what it is, and by how many users it is held.
type picture struct {
	upload.Picture
	looseAt time.Time // if nobody holds it
	holders uint64
}

func (p picture) encode() []byte {
	e := make(record.Encoder, 0, len(p.Data)+64)
	e.Text(p.Type)
	e.Time(p.looseAt)
	e.Num(p.holders)
	e.Bytes(p.Data)
	return e
}

// errNoPicture is said of a holder whose picture is not there.
var errNoPicture = errors.New("it names a picture that is not there")

// picture returns the record, or upload.ErrNotFound.
func (t *tx) picture(id string) (picture, error) {
	rec, ok, err := t.get(bucketUploads, []byte(id))
	if err != nil {
		return picture{}, err
	}
	if !ok {
		return picture{}, upload.ErrNotFound
	}
	d := record.NewDecoder(rec)
	p := picture{Picture: upload.Picture{ID: id, Type: d.Text()}, looseAt: d.Time(), holders: d.Num()}
	p.Data = []byte(d.Text())
	if d.Err != nil {
		return picture{}, corrupt(bucketUploads, d.Err)
	}
	return p, nil
}

// readPicture returns a picture as it is moved, if somebody holds it.
func (t *tx) readPicture(key, _ []byte) (string, bool, error) {
	p, err := t.picture(string(key))
	if err != nil || p.holders == 0 {
		return "", false, err
	}
	return string(record.EncodePicture(p.Picture)), true, nil
}

// writePicture stores a picture that was moved; those who hold it follow.
func (t *tx) writePicture(key, value string) error {
	p, err := record.DecodePicture(key, value)
	if err != nil {
		return err
	}
	return t.put(bucketUploads, []byte(key), picture{Picture: p}.encode())
}

// readHolder also looks whether the picture is there: a store that a server keeps
// takes no holder without it.
func (t *tx) readHolder(key, sealed []byte) (string, bool, error) {
	id, err := t.open(bucketHolders, key, sealed)
	if err != nil {
		return "", false, err
	}
	if t.sealed(bucketUploads, []byte(id)) == nil {
		return "", false, corrupt(bucketHolders, errNoPicture)
	}
	return id, true, nil
}

func (t *tx) writeHolder(key, id string) error {
	p, err := t.picture(id)
	if err != nil {
		return err
	}
	p.holders++
	if err := t.put(bucketUploads, []byte(id), p.encode()); err != nil {
		return err
	}
	return t.put(bucketHolders, []byte(key), []byte(id))
}

// looseKey sorts pictures by the time since which nobody holds them.
func looseKey(since time.Time, id string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(since.UnixMilli())), id...) // #nosec G115 -- a time after 1970
}

// putPicture stores the picture and moves its entry among the loose ones from
// where old had it; nil if it is new.
func (t *tx) putPicture(old *picture, p picture) error {
	if old != nil && old.holders == 0 {
		if err := t.delete(bucketLoose, looseKey(old.looseAt, p.ID)); err != nil {
			return err
		}
	}
	if p.holders == 0 {
		var size record.Encoder
		size.Num(uint64(len(p.Data)))
		if err := t.put(bucketLoose, looseKey(p.looseAt, p.ID), size); err != nil {
			return err
		}
	}
	return t.put(bucketUploads, []byte(p.ID), p.encode())
}

// roomFor returns upload.ErrFull unless a loose picture of that size may come.
func (t *tx) roomFor(size int) error {
	n, total := 1, uint64(size) // #nosec G115 -- a length
	c := t.Bucket([]byte(bucketLoose)).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		rec, err := t.open(bucketLoose, k, v)
		if err != nil {
			return err
		}
		d := record.NewDecoder(rec)
		n, total = n+1, total+d.Num()
		if d.Err != nil {
			return corrupt(bucketLoose, d.Err)
		}
	}
	if n > upload.MaxLoose || total > upload.MaxLooseBytes {
		return upload.ErrFull
	}
	return nil
}

// PutPicture implements upload.Store.
func (s *Store) PutPicture(_ context.Context, p upload.Picture, now time.Time) error {
	return s.update(func(t *tx) error {
		old, err := t.picture(p.ID)
		switch {
		case err == nil && old.holders > 0:
			return nil
		case err == nil:
			anew := old
			anew.looseAt = now
			return t.putPicture(&old, anew)
		case err != upload.ErrNotFound:
			return err
		}
		if err := t.roomFor(len(p.Data)); err != nil {
			return err
		}
		return t.putPicture(nil, picture{Picture: p, looseAt: now})
	})
}

// Picture implements upload.Store.
func (s *Store) Picture(_ context.Context, id string) (found upload.Picture, err error) {
	err = s.view(func(t *tx) error {
		p, err := t.picture(id)
		found = p.Picture
		return err
	})
	return found, err
}

// HoldPicture implements upload.Store.
func (s *Store) HoldPicture(ctx context.Context, poolID, userID, id string, now time.Time) error {
	if id == "" { // most users hold none: a read tells
		held := false
		err := s.view(func(t *tx) (err error) {
			_, held, err = t.get(bucketHolders, t.userKey(poolID, userID))
			return err
		})
		if err != nil || !held {
			return err
		}
	}
	return s.update(func(t *tx) error {
		holder := bytes.Clone(t.userKey(poolID, userID))
		before, _, err := t.get(bucketHolders, holder)
		if err != nil || before == id {
			return err
		}
		if id != "" {
			old, err := t.picture(id)
			if err != nil {
				return err
			}
			held := old
			held.holders++
			if err := t.putPicture(&old, held); err != nil {
				return err
			}
			if err := t.put(bucketHolders, holder, []byte(id)); err != nil {
				return err
			}
		} else if err := t.delete(bucketHolders, holder); err != nil {
			return err
		}
		if before == "" {
			return nil
		}
		old, err := t.picture(before)
		if err == upload.ErrNotFound {
			return corrupt(bucketHolders, errNoPicture)
		}
		if err != nil {
			return err
		}
		freed := old
		if freed.holders--; freed.holders == 0 {
			freed.looseAt = now
		}
		return t.putPicture(&old, freed)
	})
}

// SweepPictures implements upload.Store.
func (s *Store) SweepPictures(_ context.Context, since time.Time, limit int) (n int, err error) {
	var old [][]byte
	end := looseKey(since, "\xff")
	find := func(t *tx) error {
		old = nil
		c := t.Bucket([]byte(bucketLoose)).Cursor()
		for k, _ := c.First(); k != nil && len(old) < limit && bytes.Compare(k, end) < 0; k, _ = c.Next() {
			old = append(old, bytes.Clone(k))
		}
		return nil
	}
	if err := s.view(find); err != nil || len(old) == 0 {
		return 0, err
	}
	err = s.updateLater(func(t *tx) error {
		if err := find(t); err != nil {
			return err
		}
		for _, k := range old {
			if err := t.delete(bucketLoose, k); err != nil {
				return err
			}
			if err := t.delete(bucketUploads, k[8:]); err != nil {
				return err
			}
		}
		return nil
	})
	return len(old), err
}
