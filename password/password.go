// Package password hashes passwords and compares them: by argon2id those that
// are set here, and what other systems made by argon2id or bcrypt as they did.
//
// A hash is a text that says how it was made: a PHC string,
//
//	$argon2id$v=19$m=19456,t=2,p=1$<salt>$<key>
//
// or bcrypt's own form, $2b$10$…. So the parameters can change: Turn.Compare
// tells which hashes are not as they would be made today.
//
// A hashing takes 19 MiB and some 30 ms of a processor, so there are two at a
// time at most: whoever wants one first gets a Turn.
//
// The package imports nothing of this program.
package password

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/semaphore"
	"golang.org/x/text/unicode/norm"
)

const (
	// MinLength is that of a new password, in characters.
	MinLength = 8
	// MaxBytes is that of any password.
	MaxBytes = 256

	// atOnce is how many hashings of our own parameters are under way at a time
	// in the process. One of larger memory goes alone.
	atOnce = 2
	// patience is how long one waits for its turn.
	patience = time.Second

	// bcryptBytes is how much of a password bcrypt looks at.
	bcryptBytes = 72
)

// ErrBusy is returned to whoever did not get a turn in time.
var ErrBusy = errors.New("password: too many hashings wait")

// Fits tells whether the text can be a new password: 8 characters or more, 256
// bytes at most, none of them a control character. What it is made of is nobody's
// business: rules of composition make passwords no harder to guess (NIST SP
// 800-63B).
func Fits(text string) bool {
	n := utf8.RuneCountInString(normal(text))
	return n >= MinLength && Possible(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// Possible tells whether the text can be any password: one whose hash came from
// elsewhere may be shorter than Fits allows.
func Possible(text string) bool {
	return text != "" && len(text) <= MaxBytes && len(normal(text)) <= MaxBytes && utf8.ValidString(text)
}

// normal returns the text as it is hashed: one password may be typed as different
// bytes, é as one character or as two (RFC 8265 section 4.2.2, NFC).
func normal(text string) string { return norm.NFC.String(text) }

// Hasher gives turns. It is safe for concurrent use.
type Hasher struct {
	room     *semaphore.Weighted
	patience time.Duration
	hashed   func()
}

// NewHasher returns a Hasher that calls hashed with every hashing; a comparison
// is one, too.
func NewHasher(hashed func()) *Hasher {
	return &Hasher{room: semaphore.NewWeighted(atOnce), patience: patience, hashed: hashed}
}

// Turn is the right to hash. It is for one goroutine, and ends with End.
type Turn struct {
	h      *Hasher
	kept   string
	weight int64
}

// Turn waits for a turn to compare with the kept hash, "" for none, and to make
// new ones. It returns ErrBusy if that takes too long, or the context's error.
func (h *Hasher) Turn(ctx context.Context, kept string) (*Turn, error) {
	t := &Turn{h: h, kept: kept, weight: 1}
	if p, ok := parseArgon2(kept); ok && p.memory > memory {
		t.weight = atOnce
	}
	if h.room.TryAcquire(t.weight) {
		return t, nil
	}
	waiting, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	if err := h.room.Acquire(waiting, t.weight); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, ErrBusy
	}
	return t, nil
}

// End gives the turn to the next.
func (t *Turn) End() { t.h.room.Release(t.weight) }

// Compare tells whether the text is the password of the kept hash, and if so,
// whether that should be replaced by Make's of the same text. Without a kept hash
// it takes as long as with one, and nothing is right.
//
// Of a password of more than 72 bytes bcrypt looks at the first 72 only, and so
// does a comparison with its hash. Such a hash is not to be replaced: the rest
// may be mistyped.
func (t *Turn) Compare(text string) (right, stale bool) {
	t.h.hashed()
	text = normal(text)
	if isBcrypt(t.kept) {
		right = bcrypt.CompareHashAndPassword([]byte(t.kept), []byte(text[:min(len(text), bcryptBytes)])) == nil
		return right, right && len(text) <= bcryptBytes
	}
	p, ok := parseArgon2(t.kept)
	if !ok {
		p = decoy
	}
	right = p.compare(text) && ok
	return right, right && !p.current()
}

// Make returns the hash of a new password.
func (t *Turn) Make(text string) string {
	t.h.hashed()
	return makeArgon2(normal(text))
}

// Known tells whether the text is a hash that can be compared with: argon2id of
// at most 64 MiB and a few passes, or bcrypt ($2a$, $2b$, $2y$) of a cost of at
// most 14. What costs more would be somebody's way to keep the server busy.
func Known(hash string) bool {
	_, ok := parseArgon2(hash)
	return ok || isBcrypt(hash)
}
