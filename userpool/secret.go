package userpool

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// MaxSecrets is how many live secrets a pool has at most: two, so that one can
// be replaced without an interruption.
const MaxSecrets = 2

// redacted stands wherever a Secret would be printed.
const redacted = "***"

// Secret is a text that must not be printed: fmt, slog and the encoders all
// show three asterisks. string(s) is the text. It must not be the key of a map:
// encoding/json writes a string's own text there.
type Secret string

func (Secret) String() string               { return redacted }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format is for every verb: fmt asks String for some of them only, and shows
// the text itself for the others.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// NewSecret returns 256 bits of randomness as unpadded base64url, 43
// characters.
func NewSecret() Secret {
	var b [32]byte
	rand.Read(b[:])
	return Secret(base64.RawURLEncoding.EncodeToString(b[:]))
}

// PoolSecret is what is kept of a pool secret. The secret itself is shown once,
// when it is made.
type PoolSecret struct {
	ID         string
	Hash       [sha256.Size]byte // a 256-bit random text needs no password hash
	CreatedAt  time.Time
	LastUsedAt time.Time // zero if never; exact to the last flush
}

// match returns the index of the live secret that was shown, or -1. It compares
// with every one of them in constant time.
func match(live []PoolSecret, shown string) int {
	sum, found := sha256.Sum256([]byte(shown)), -1
	for i := range live {
		if subtle.ConstantTimeCompare(sum[:], live[i].Hash[:]) == 1 {
			found = i
		}
	}
	return found
}

// Touch sets the times of last use of secrets, by their ids, where they are
// later; if none is, it returns ErrUnchanged. Stores use it.
func (p *Pool) Touch(used map[string]time.Time) error {
	err := ErrUnchanged
	for i, k := range p.Secrets {
		if last := used[k.ID]; last.After(k.LastUsedAt) {
			p.Secrets[i].LastUsedAt, err = last, nil
		}
	}
	return err
}

// Phone is a number in E.164, "+8613800138000". fmt and slog show it masked;
// string(p) is the number.
type Phone string

func (p Phone) String() string               { return p.Masked() }
func (p Phone) LogValue() slog.Value         { return slog.StringValue(p.Masked()) }
func (p Phone) MarshalText() ([]byte, error) { return []byte(p.Masked()), nil }

// Format is for every verb, as Secret's.
func (p Phone) Format(f fmt.State, _ rune) { io.WriteString(f, p.Masked()) }

// Local returns the number as it is written where the pool's apps live: a
// mainland number without +86, any other one in E.164.
func (p Phone) Local() string {
	return strings.TrimPrefix(string(p), "+86")
}

// Masked returns Local with its middle hidden: "138****8000".
func (p Phone) Masked() string {
	s := p.Local()
	if s == "" {
		return ""
	}
	if len(s) < 8 {
		return "****"
	}
	head, tail := 3, 4
	if s[0] == '+' {
		head = 4 // the country
	}
	if len(s) < head+tail+3 {
		head, tail = head-1, 2
	}
	return s[:head] + "****" + s[len(s)-tail:]
}

// valid tells whether p is in E.164: a plus sign and 6 to 15 digits.
func (p Phone) valid() bool {
	if len(p) < 7 || len(p) > 16 || p[0] != '+' || p[1] == '0' {
		return false
	}
	for _, c := range []byte(p[1:]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
