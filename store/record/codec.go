// Package record codes what stores keep, so that a record of one store can be
// moved to another.
package record

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
)

// The records that a login touches are coded by hand: fields in a fixed order,
// texts and counts as uvarints, times as milliseconds since 1970 (0 for none).
// A new field goes to the end; a record that ends before it has its zero value.
// Records that change rarely are JSON. What is decoded shares the record's
// memory.

var errShort = errors.New("the record is cut off")

// Encoder appends values to a record.
type Encoder []byte

func (e *Encoder) Text(s string)  { *e = append(binary.AppendUvarint(*e, uint64(len(s))), s...) }
func (e *Encoder) Num(n uint64)   { *e = binary.AppendUvarint(*e, n) }
func (e *Encoder) Bytes(b []byte) { *e = append(binary.AppendUvarint(*e, uint64(len(b))), b...) }
func (e *Encoder) Flag(b bool) {
	if b {
		e.Num(1)
	} else {
		e.Num(0)
	}
}
func (e *Encoder) Time(t time.Time) {
	if t.IsZero() {
		e.Num(0)
	} else {
		e.Num(uint64(t.UnixMilli())) // #nosec G115 -- the reader turns it back by the same conversion
	}
}

// Room appends zero bytes until the record has the size. They come last, and
// read as the zero values of fields to come.
func (e *Encoder) Room(size int) {
	for len(*e) < size {
		*e = append(*e, 0)
	}
}

// Decoder reads the values of a record in the order in which they were written.
type Decoder struct {
	rest string
	// Err is set by the first value that is not there; all after it are zero.
	Err error
}

// NewDecoder returns a Decoder of the record.
func NewDecoder(record string) Decoder { return Decoder{rest: record} }

// More tells whether anything is left, and Err nil.
func (d *Decoder) More() bool { return d.Err == nil && len(d.rest) > 0 }

func (d *Decoder) Num() uint64 {
	if len(d.rest) == 0 || d.Err != nil {
		return 0
	}
	n, size := binary.Uvarint([]byte(d.rest[:min(len(d.rest), binary.MaxVarintLen64)]))
	if size <= 0 {
		d.Err = errShort
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *Decoder) Text() string { return d.take(d.Num()) }

func (d *Decoder) take(n uint64) string {
	if n > uint64(len(d.rest)) {
		d.Err = errShort
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *Decoder) Flag() bool { return d.Num() != 0 }
func (d *Decoder) Addr() netip.Addr {
	a, _ := netip.AddrFromSlice([]byte(d.Text()))
	return a
}
func (d *Decoder) Time() time.Time {
	if ms := d.Num(); ms != 0 {
		return time.UnixMilli(int64(ms)).UTC() // #nosec G115 -- the writer converted it the other way
	}
	return time.Time{}
}

// Count returns a number of things that follow, each at least a byte long.
func (d *Decoder) Count() int {
	n := d.Num()
	if n > uint64(len(d.rest)) {
		d.Err = errShort
		return 0
	}
	return int(n) // #nosec G115 -- n is at most the bytes that are left
}
