package record

import (
	"encoding/hex"
	"errors"
	"strings"

	"github.com/google/uuid"
)

// Most ids have a form that is twice as long as what it says, and are kept as
// that. Before the bytes stands four times their number, plus what they are:
const (
	idText  = iota // the id itself
	idUUID         // a UUID in lower case
	idHex          // lower-case hexadecimal digits, two a byte
	idAppID        // the same, after "wx"
)

const uuidText = 36

var errID = errors.New("an id in the record has no form of one")

// ID appends an id, or any other text.
func (e *Encoder) ID(s string) {
	var b [32]byte
	if len(s) == uuidText && !strings.ContainsAny(s, "ABCDEF") {
		if id, err := uuid.Parse(s); err == nil {
			e.form(idUUID, id[:])
			return
		}
	}
	kind, digits := uint64(idHex), s
	if len(s) > 2 && s[:2] == "wx" {
		kind, digits = idAppID, s[2:]
	}
	if n := len(digits); n > 0 && n%2 == 0 && n <= 2*len(b) && lowerHex(digits) {
		hex.Decode(b[:], []byte(digits))
		e.form(kind, b[:n/2])
		return
	}
	e.form(idText, []byte(s))
}

func (e *Encoder) form(kind uint64, b []byte) {
	e.Num(uint64(len(b))<<2 | kind)
	*e = append(*e, b...)
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ID is the reverse of Encoder.ID.
func (d *Decoder) ID() string {
	n := d.Num()
	b := d.take(n >> 2)
	switch n & 3 {
	case idUUID:
		id, err := uuid.FromBytes([]byte(b))
		if err != nil {
			if d.Err == nil {
				d.Err = errID
			}
			return ""
		}
		return id.String()
	case idHex:
		return hex.EncodeToString([]byte(b))
	case idAppID:
		return "wx" + hex.EncodeToString([]byte(b))
	}
	return b
}
