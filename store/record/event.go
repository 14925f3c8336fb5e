package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"net/netip"
	"time"

	"app2wxapp/audit"
	"app2wxapp/userpool"
)

// eventRecord is an event as it is stored, under its id.
type eventRecord struct {
	At     time.Time         `json:"at"`
	Type   audit.Type        `json:"type"`
	PoolID string            `json:"pool,omitempty"`
	UserID string            `json:"user,omitempty"`
	Role   audit.Role        `json:"role"`
	Addr   netip.Addr        `json:"addr,omitzero"`
	Detail map[string]string `json:"detail,omitempty"`
	Prev   []byte            `json:"prev"` // Head of the chain up to the row before, empty in the first
}

// Chain is the end of a chain of events: its newest row. The zero Chain has
// none.
type Chain struct {
	ID   string    `json:"id"`
	At   time.Time `json:"at"`   // the id's time
	Head []byte    `json:"head"` // SHA-256 of the newest row, which has that of the row before
}

// Append returns the record of the event that follows, to be stored under the
// chain's new ID.
func (c *Chain) Append(e audit.Event) ([]byte, error) {
	b, err := json.Marshal(eventRecord{
		At: e.At, Type: e.Type, PoolID: e.PoolID, UserID: e.UserID, Role: e.By.Role, Addr: e.By.Addr, Detail: e.Detail, Prev: c.Head,
	})
	if err != nil {
		return nil, err
	}
	c.advance(e.At)
	c.Head = eventHash(c.ID, string(b))
	return b, nil
}

// advance makes the id of the row that follows: of that time, or later where the
// clock or chance would put it before a row that is there.
func (c *Chain) advance(at time.Time) {
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

func eventHash(id, record string) []byte {
	sum := sha256.Sum256([]byte(id + record)) // ids have one length
	return sum[:]
}

// Follow moves the end of a chain to the row that follows, and tells whether it
// does. Any row follows the zero Chain: those before it were swept.
func (c *Chain) Follow(id, record string) bool {
	var r eventRecord
	if json.Unmarshal([]byte(record), &r) != nil || c.Head != nil && !bytes.Equal(r.Prev, c.Head) {
		return false
	}
	c.ID, c.Head = id, eventHash(id, record)
	return true
}

// DecodeEvent returns the event of a record that Append made.
func DecodeEvent(id, record string) (audit.Event, error) {
	var r eventRecord
	if err := json.Unmarshal([]byte(record), &r); err != nil {
		return audit.Event{}, err
	}
	return audit.Event{
		ID: id, At: r.At, Type: r.Type, PoolID: r.PoolID, UserID: r.UserID, By: audit.Actor{Role: r.Role, Addr: r.Addr}, Detail: r.Detail,
	}, nil
}
