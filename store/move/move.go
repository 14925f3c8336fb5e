// Package move moves everything that a store keeps into another store.
//
// Records leave a store unsealed, each in the one form that its kind has in all
// stores, and are sealed anew where they arrive: stores have keys of their own.
// Run copies them batch by batch, notes with each batch how far it has come, in
// the same transaction, and at the end reads both stores again and compares
// them. Until then the destination is no store that could be opened.
//
// Of the tickets only those that were redeemed are moved, so that they stay
// redeemed: a second use is still told from a guess, and a repeat is still
// answered. A ticket that is live is over, for the source could still redeem it.
// It would live for seconds more, and moving a store that is in use loses what
// comes after. For the same reason sign-ins that are to be finished stay behind,
// ten minutes long each: one state token must not bind two accounts. And so do
// entries of the deny-list of tokens that end after the year 9999, which are
// refused anyway.
package move

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"app2wxapp/audit"
	"app2wxapp/token"
)

// Kind is a kind of records.
type Kind string

// The kinds, and their records' keys and values. A store that has another place
// for something has a line for it in its own table of kinds; a new kind is a
// line here and in Kinds.
const (
	Pools       Kind = "pools"          // pool id; record.EncodePool
	SigningKeys Kind = "signing keys"   // kid; token.Key as JSON
	Users       Kind = "users"          // pool id / user id; record.EncodeWholeUser
	Passwords   Kind = "passwords"      // pool id / user id; record.EncodePassword
	TOTPs       Kind = "second factors" // pool id / user id; record.EncodeTOTP
	Tickets     Kind = "tickets"        // ticket.Key; record.EncodeRedemption. Redeemed ones only
	Revoked     Kind = "revoked"        // 8 bytes of expiry + jti; empty
	Sessions    Kind = "sessions"       // session id; record.EncodeSession
	Pictures    Kind = "pictures"       // upload.Picture.ID; record.EncodePicture. Held ones only: the others last an hour
	Holders     Kind = "holders"        // pool id / user id; id of the picture that the user holds
	Events      Kind = "events"         // event id; as record.Chain wrote it
	EventsEnd   Kind = "events' end"    // "audit"; record.Chain as JSON
)

// Kinds are all of them, in the order in which they are moved.
func Kinds() []Kind {
	return []Kind{Pools, SigningKeys, Users, Passwords, TOTPs, Tickets, Revoked, Sessions, Pictures, Holders, Events, EventsEnd}
}

// Record is a record of some kind.
type Record struct{ Key, Value string }

// Origin is what records come from. A destination notes it, and takes what is
// left of the records from the same one only.
type Origin struct {
	// Store tells the store from every other one, but not from its copies.
	Store string `json:"origin"`
	// Restored: a store is made of a backup, and none is moved.
	Restored bool `json:"restored,omitempty"`
}

// Command is what the operator runs again if it was interrupted.
func (o Origin) Command() string {
	if o.Restored {
		return "app2wxapp restore"
	}
	return "app2wxapp store migrate"
}

// Source is a store as it was at one moment.
type Source interface {
	Origin() Origin
	// Count returns about how many records of the kind there are.
	Count(ctx context.Context, k Kind) (int, error)
	// Read returns up to limit records of the kind, in an order that is always
	// the same, that come after the one with that key; from the first if it is "".
	Read(ctx context.Context, k Kind, after string, limit int) ([]Record, error)
	// Check looks at what is kept only to find records: whether it leads to
	// every user, and to nobody else.
	Check(ctx context.Context) error
	Close() error
}

// Place is how far a move has come: all kinds before Kind, and of that the
// records up to the one with key After. The zero Place is the beginning.
type Place struct {
	Kind  Kind
	After string
}

// Destination is a store that is being filled.
type Destination interface {
	// Begin returns how far the move from that origin has come. It is an error if
	// anything else is here.
	Begin(ctx context.Context, from Origin) (Place, error)
	// Write stores records of one kind and notes the place, as one step.
	Write(ctx context.Context, k Kind, records []Record, at Place) error
	// Index makes what is kept only to find records, unless Write has. It may be
	// called again.
	Index(ctx context.Context) error
	// View is what has been written.
	View(ctx context.Context) (Source, error)
	// Finish writes the event and makes a store of it that can be opened, as one
	// step.
	Finish(ctx context.Context, e audit.Event) error
	// Close ends what Finish has not ended; the next Begin goes on from there.
	Close() error
}

// Progress is told as it goes.
type Progress struct {
	Doing string // "pools", …; "indexes"; "verify"
	Done  int
	Total int // about; 0 if unknown
	Ended bool
}

// BatchSize is how many records are moved at a time.
const BatchSize = 10_000

// batch is how many records of the kind are moved at a time: a picture may have
// a megabyte.
func (k Kind) batch() int {
	if k == Pictures {
		return 50
	}
	return BatchSize
}

// ErrDiffers is a destination that does not have what the source has.
var ErrDiffers = errors.New("the stores differ")

// Run moves everything, or goes on where an earlier Run was interrupted, and
// writes the event that done returns when both are found alike. The source is
// not changed. It returns what was found in both.
func Run(ctx context.Context, from Source, to Destination, done func() audit.Event, show func(Progress)) (map[Kind]Sum, error) {
	at, err := to.Begin(ctx, from.Origin())
	if err != nil {
		return nil, err
	}
	begun := at == (Place{})
	for _, k := range Kinds() {
		if !begun && k != at.Kind {
			continue // done before
		}
		after := ""
		if !begun {
			begun, after = true, at.After
		}
		if err := copyKind(ctx, from, to, k, after, show); err != nil {
			return nil, fmt.Errorf("move %s: %w", k, err)
		}
	}
	if !begun {
		return nil, fmt.Errorf("a newer app2wxapp began it, with %q, which this one does not know; go on with that version", at.Kind)
	}
	show(Progress{Doing: "indexes"})
	if err := to.Index(ctx); err != nil {
		return nil, fmt.Errorf("make indexes: %w", err)
	}
	show(Progress{Doing: "indexes", Ended: true})
	view, err := to.View(ctx)
	if err != nil {
		return nil, err
	}
	sums, err := compare(ctx, from, view, show)
	if err := errors.Join(err, view.Close()); err != nil {
		return nil, err
	}
	return sums, to.Finish(ctx, done())
}

// copyKind copies the records of a kind after that key. The next batch is read
// while one is written.
func copyKind(ctx context.Context, from Source, to Destination, k Kind, after string, show func(Progress)) error {
	total, err := from.Count(ctx, k)
	if err != nil {
		return err
	}
	p := Progress{Doing: string(k), Total: total}
	show(p)
	ctx, stop := context.WithCancel(ctx)
	batches, ended := make(chan []Record), make(chan error, 1)
	go func() {
		defer close(batches)
		ended <- pages(ctx, from, k, after, func(batch []Record) error {
			select {
			case batches <- batch:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	for batch := range batches {
		if err = to.Write(ctx, k, batch, Place{k, batch[len(batch)-1].Key}); err != nil {
			break
		}
		p.Done += len(batch)
		show(p)
	}
	stop()
	for range batches { // until the reader is gone
	}
	if readErr := <-ended; err == nil {
		err = readErr
	}
	if p.Ended = err == nil; p.Ended {
		show(p)
	}
	return err
}

// pages reads all records of a kind after that key, but for those that stay
// behind.
func pages(ctx context.Context, s Source, k Kind, after string, do func([]Record) error) error {
	for {
		batch, err := s.Read(ctx, k, after, k.batch())
		if err != nil || len(batch) == 0 {
			return err
		}
		after = batch[len(batch)-1].Key
		if k == Revoked {
			batch = slices.DeleteFunc(batch, endless)
		}
		if len(batch) == 0 {
			continue
		}
		if err := do(batch); err != nil {
			return err
		}
	}
}

// endless tells of an entry of the deny-list whether its token ends after
// token.LastExp, and so is refused without it. There are such where tokens with any
// end were taken, and not every store can keep one.
func endless(r Record) bool {
	return len(r.Key) >= 8 && binary.BigEndian.Uint64([]byte(r.Key[:8])) > token.LastExp
}
