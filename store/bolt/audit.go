package bolt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"app2wxapp/audit"
	"app2wxapp/userpool"
)

const (
	metaAudit = "audit"
	// maxScan is how many rows one call looks at: those that a query asks for
	// may be rare, and a long read keeps the file from using space again.
	maxScan = 10_000
)

// auditRecord is an event as it is stored, under its id.
type auditRecord struct {
	At     time.Time         `json:"at"`
	Type   audit.Type        `json:"type"`
	PoolID string            `json:"pool,omitempty"`
	UserID string            `json:"user,omitempty"`
	Role   audit.Role        `json:"role"`
	Addr   netip.Addr        `json:"addr,omitzero"`
	Detail map[string]string `json:"detail,omitempty"`
	Prev   []byte            `json:"prev"` // rowHash of the row before, empty in the first
}

// rowHash stands in the row after this one, and is the chain's head until there
// is one.
func rowHash(id, plain string) []byte {
	sum := sha256.Sum256([]byte(id + plain)) // ids have one length
	return sum[:]
}

// chainEnd is the newest row.
type chainEnd struct {
	ID   string    `json:"id"`
	At   time.Time `json:"at"` // the id's time
	Head []byte    `json:"head"`
}

// advance makes the id of the row that follows: of that time, or later where the
// clock or chance would put it before a row that is there.
func (c *chainEnd) advance(at time.Time) {
	if at.Before(c.At) {
		at = c.At
	}
	id := userpool.NewID(at)
	if id <= c.ID {
		at = at.Add(time.Millisecond)
		id = userpool.NewID(at)
	}
	c.ID, c.At = id, at
}

func (t *tx) chainEnd() (c chainEnd, err error) {
	record, ok, err := t.get(bucketMeta, []byte(metaAudit))
	if err != nil || !ok {
		return c, err
	}
	if err := json.Unmarshal([]byte(record), &c); err != nil {
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
	plain, err := json.Marshal(auditRecord{
		At: e.At, Type: e.Type, PoolID: e.PoolID, UserID: e.UserID, Role: e.By.Role, Addr: e.By.Addr, Detail: e.Detail, Prev: end.Head,
	})
	if err != nil {
		return err
	}
	end.advance(e.At)
	end.Head = rowHash(end.ID, string(plain))
	if err := t.put(bucketAudit, []byte(end.ID), plain); err != nil {
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

func (t *tx) event(id, record []byte) (audit.Event, error) {
	plain, err := t.open(bucketAudit, id, record)
	if err != nil {
		return audit.Event{}, err
	}
	var r auditRecord
	if err := json.Unmarshal([]byte(plain), &r); err != nil {
		return audit.Event{}, corrupt(bucketAudit, err)
	}
	return audit.Event{
		ID: string(id), At: r.At, Type: r.Type, PoolID: r.PoolID, UserID: r.UserID, By: audit.Actor{Role: r.Role, Addr: r.Addr}, Detail: r.Detail,
	}, nil
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
		var prev []byte
		c := t.Bucket([]byte(bucketAudit)).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			var r auditRecord
			plain, err := t.open(bucketAudit, k, v)
			if err != nil || json.Unmarshal([]byte(plain), &r) != nil || prev != nil && !bytes.Equal(r.Prev, prev) {
				chain.Broken = string(k)
				return nil
			}
			prev = rowHash(string(k), plain)
			chain.Events++
		}
		if !bytes.Equal(prev, end.Head) {
			chain.Broken = end.ID
		}
		copy(chain.Head[:], prev)
		return nil
	})
	return chain, err
}
