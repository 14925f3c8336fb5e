package bolt

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"app2wxapp/audit"
	"app2wxapp/store/record"
)

const (
	metaAudit = "audit"
	// maxScan is how many rows one call looks at: those that a query asks for
	// may be rare, and a long read keeps the file from using space again.
	maxScan = 10_000
)

func (t *tx) chainEnd() (c record.Chain, err error) {
	rec, ok, err := t.get(bucketMeta, []byte(metaAudit))
	if err != nil || !ok {
		return c, err
	}
	if err := json.Unmarshal([]byte(rec), &c); err != nil {
		return c, corrupt(bucketMeta, err)
	}
	return c, nil
}

// record appends the event to the chain; one without a type is none.
func (t *tx) record(e audit.Event) error {
	if e.Type == "" {
		return nil
	}
	end, err := t.chainEnd()
	if err != nil {
		return err
	}
	row, err := end.Append(e)
	if err != nil {
		return err
	}
	if err := t.put(bucketAudit, []byte(end.ID), row); err != nil {
		return err
	}
	b, err := json.Marshal(end)
	if err != nil {
		return err
	}
	return t.put(bucketMeta, []byte(metaAudit), b)
}

// RecordEvents implements audit.Store.
func (s *Store) RecordEvents(_ context.Context, events []audit.Event) error {
	return s.updateLater(func(t *tx) error {
		for _, e := range events {
			if err := t.record(e); err != nil {
				return err
			}
		}
		return nil
	})
}

// Events implements audit.Store.
func (s *Store) Events(_ context.Context, q audit.Query) (events []audit.Event, next string, err error) {
	err = s.view(func(t *tx) error {
		c := t.Bucket([]byte(bucketAudit)).Cursor()
		k, v := c.Last()
		if q.Before != "" && string(k) >= q.Before {
			c.Seek([]byte(q.Before))
			k, v = c.Prev()
		}
		for looked := 0; k != nil && !idTime(k).Before(q.Since.Truncate(time.Millisecond)); k, v = c.Prev() {
			if len(events) == q.Limit || looked == maxScan {
				return nil
			}
			e, err := t.event(k, v)
			if err != nil {
				return err
			}
			if (q.PoolID == "" || q.PoolID == e.PoolID) && (q.Type == "" || q.Type == e.Type) && !e.At.Before(q.Since) {
				events = append(events, e)
			}
			looked++
			next = e.ID
		}
		next = "" // there are no more
		return nil
	})
	return events, next, err
}

func (t *tx) event(id, sealed []byte) (audit.Event, error) {
	plain, err := t.open(bucketAudit, id, sealed)
	if err != nil {
		return audit.Event{}, err
	}
	e, err := record.DecodeEvent(string(id), plain)
	if err != nil {
		return e, corrupt(bucketAudit, err)
	}
	return e, nil
}

// idTime returns the time of a row's id, which is the event's or later; the zero
// time of what is no id of ours.
func idTime(id []byte) time.Time {
	u, err := uuid.ParseBytes(id)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(u.Time().UnixTime()).UTC()
}

// oldEvents returns the ids of up to limit events that are RetainFor old. The
// newest stays, so that a chain of which all was taken out is none that was
// swept.
func (t *tx) oldEvents(now time.Time, limit int) (ids [][]byte) {
	c := t.Bucket([]byte(bucketAudit)).Cursor()
	newest, _ := c.Last()
	for k, _ := c.First(); !bytes.Equal(k, newest) && len(ids) < limit && !now.Before(idTime(k).Add(audit.RetainFor)); k, _ = c.Next() {
		ids = append(ids, bytes.Clone(k))
	}
	return ids
}

// VerifyEvents implements audit.Store. A row that does not open is one that
// breaks the chain.
func (s *Store) VerifyEvents(context.Context) (chain audit.Chain, err error) {
	err = s.view(func(t *tx) error {
		end, err := t.chainEnd()
		if err != nil {
			return err
		}
		var at record.Chain
		c := t.Bucket([]byte(bucketAudit)).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if plain, err := t.open(bucketAudit, k, v); err != nil || !at.Follow(string(k), plain) {
				chain.Broken = string(k)
				return nil
			}
			chain.Events++
		}
		if !bytes.Equal(at.Head, end.Head) {
			chain.Broken = end.ID
		}
		copy(chain.Head[:], at.Head)
		return nil
	})
	return chain, err
}
