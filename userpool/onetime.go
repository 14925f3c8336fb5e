package userpool

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// OneTimeKey is what a store keeps of a one-time text, such as a ticket: its six
// bytes of issue time, then the SHA-256 of the text. Keys sort by time, so that
// the texts of one moment lie together.
type OneTimeKey [6 + sha256.Size]byte

// oneTimeSize is that of a one-time text before it is encoded: six bytes of
// issue time in milliseconds since 1970, big-endian, then 256 random bits. The
// time is no secret; the random bits are.
const oneTimeSize = 6 + 32

// oneTimeEncoding needs no padding: a ticket reaches the app in a query string
// that Authing's sample splits on "=" by hand and pastes into a URL unescaped.
var oneTimeEncoding = base64.RawURLEncoding.Strict()

// NewOneTime returns a fresh one-time text, 51 characters of base64url, and its
// key.
func NewOneTime(now time.Time) (string, OneTimeKey) {
	var raw [oneTimeSize]byte
	ms := uint64(now.UnixMilli()) // #nosec G115 -- a time after 1970
	for i := range 6 {
		raw[i] = byte(ms >> (8 * (5 - i)))
	}
	rand.Read(raw[6:])
	text := oneTimeEncoding.EncodeToString(raw[:])
	return text, oneTimeKey(raw[:], text)
}

// ParseOneTime returns the key of a one-time text. A text that cannot be one
// gets a key that none has, so that it is refused as every unknown one is.
func ParseOneTime(text string) OneTimeKey {
	raw, err := oneTimeEncoding.DecodeString(text)
	if err != nil || len(raw) != oneTimeSize {
		return OneTimeKey{}
	}
	return oneTimeKey(raw, text)
}

func oneTimeKey(raw []byte, text string) (k OneTimeKey) {
	copy(k[:], raw[:6])
	sum := sha256.Sum256([]byte(text))
	copy(k[6:], sum[:])
	return k
}

// IssuedAt returns the key's moment of issue.
func (k OneTimeKey) IssuedAt() time.Time {
	var ms int64
	for _, b := range k[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}
