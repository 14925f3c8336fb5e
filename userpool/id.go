package userpool

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/google/uuid"
)

// maxID is the longest id of a pool or user that may be given.
const maxID = 64

// NewID returns a UUIDv7 (RFC 9562) of that moment. Users and tokens have such
// ids, so that those who come together lie together in the store.
func NewID(now time.Time) string {
	id := uuid.New()
	ms := now.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	id[6] = 0x70 | id[6]&0x0f
	return id.String()
}

// newPoolID returns 24 hexadecimal digits, the form that Authing's pool ids
// have and that its apps may expect.
func newPoolID() string {
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// ValidID tells whether id can be the id of a pool or a user:
// [A-Za-z0-9_-]{1,64}.
func ValidID(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
