package userpool

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// CodeLife is how long a code that was sent holds.
	CodeLife = 5 * time.Minute
	// MaxGuesses is how many codes are compared with one that was sent.
	MaxGuesses = 5
	// MaxCodes is how many codes a sign-in that is to be finished may ask for.
	MaxCodes = 5

	// A number or address of a pool is sent one code in codeInterval, and
	// codesPerDay in codeDay.
	codeInterval = time.Minute
	codesPerDay  = 10
	codeDay      = 24 * time.Hour
)

// Errors of codes that were sent.
var (
	// ErrCodeWrong is all that a caller is told of a code that is not taken.
	ErrCodeWrong = errors.New("userpool: the code is wrong")
	ErrCodeNone  = fmt.Errorf("%w: none was sent there for this", ErrCodeWrong)
	ErrCodeUsed  = fmt.Errorf("%w: it was used", ErrCodeWrong)
	ErrCodeLate  = fmt.Errorf("%w: it has expired", ErrCodeWrong)
	ErrCodeSpent = fmt.Errorf("%w: too many others were tried before", ErrCodeWrong)
	// ErrCodeElsewhere is about a code that was sent for another sign-in.
	ErrCodeElsewhere = fmt.Errorf("%w: it was sent for another sign-in", ErrCodeWrong)
	ErrCodeDiffers   = fmt.Errorf("%w: it is another one", ErrCodeWrong)

	ErrTooManyCodes = errors.New("userpool: the sign-in has asked for all the codes that it may")
)

// OneTimeCode is a code with all that it is bound to, as it is sent or as somebody
// shows it. A store keeps nothing of it but HMACs under a key of its own, and Of.
type OneTimeCode struct {
	PoolID  string
	Purpose string
	To      string // a phone number in E.164, or an Email
	Code    Secret
	Of      OneTimeKey // the sign-in that it is to finish, zero for none
}

// SentCodes keeps what decides about codes that were sent.
type SentCodes interface {
	// KeepCode keeps the code that is about to be sent to the recipient, as
	// Recipient.Add does, for CodeLife. If it is of a sign-in, it returns what
	// Unfinished returns if that cannot be finished, ErrTooManyCodes if that has
	// asked for MaxCodes, and counts one more. All of it is one step; an error
	// changes nothing.
	KeepCode(ctx context.Context, c OneTimeCode, now time.Time) error
	// UseCode judges a code that somebody shows, as Recipient.Use does, and keeps
	// what was counted, as one step: of any number of concurrent calls MaxGuesses
	// are compared at most, and one uses a right code. A code that was kept before a
	// restore is ErrCodeNone.
	UseCode(ctx context.Context, c OneTimeCode, now time.Time) error
}

// CodeHash is the HMAC of a OneTimeCode.
type CodeHash [sha256.Size]byte

// SentCode is what is kept of a code that was sent.
type SentCode struct {
	Purpose   string
	Hash      CodeHash
	Of        OneTimeKey // zero: whoever shows it may use it
	ExpiresAt time.Time
	Guesses   int
	Used      bool
}

// Recipient is what is kept of a pool's number or address to which codes were sent,
// under an HMAC of it.
type Recipient struct {
	Sent  []time.Time // of the last day, oldest first
	Codes []SentCode  // one of a purpose at most
}

// EndsAt returns from when on the record says nothing any more.
func (r Recipient) EndsAt() time.Time {
	if len(r.Sent) == 0 {
		return time.Time{}
	}
	return r.Sent[len(r.Sent)-1].Add(codeDay)
}

// Add puts the code in place of the former one of its purpose, and counts it as
// sent now. If the recipient was sent enough it returns a *RateLimitError; r is not
// to be kept then. Stores use it.
func (r *Recipient) Add(c SentCode, now time.Time) error {
	r.Sent = slices.DeleteFunc(r.Sent, func(at time.Time) bool {
		// One that is to come was counted by a clock that was put back since.
		return !now.Before(at.Add(codeDay)) || at.After(now.Add(codeInterval))
	})
	if n := len(r.Sent); n > 0 {
		if wait := r.Sent[n-1].Add(codeInterval).Sub(now); wait > 0 {
			return &RateLimitError{RetryAfter: wait}
		}
		if n >= codesPerDay {
			return &RateLimitError{RetryAfter: r.Sent[n-codesPerDay].Add(codeDay).Sub(now)}
		}
	}
	r.Sent = append(r.Sent, now)
	r.Codes = slices.DeleteFunc(r.Codes, func(old SentCode) bool { return old.Purpose == c.Purpose || !now.Before(old.ExpiresAt) })
	r.Codes = append(r.Codes, c)
	return nil
}

// Use judges whether somebody may use the code of that purpose for that sign-in, and
// marks it used. hash returns the HMAC of what they have shown as if it had been
// sent for that sign-in. It returns ErrCodeWrong in one of its kinds otherwise; r is
// to be kept all the same if counted tells so. What is shown for another sign-in
// than the code's is not compared, so that nobody uses up the guesses of others.
// Stores use it.
func (r *Recipient) Use(purpose string, of OneTimeKey, hash func(of OneTimeKey) CodeHash, now time.Time) (counted bool, err error) {
	i := slices.IndexFunc(r.Codes, func(c SentCode) bool { return c.Purpose == purpose })
	if i < 0 {
		return false, ErrCodeNone
	}
	c := &r.Codes[i]
	switch {
	case c.Of != (OneTimeKey{}) && c.Of != of:
		return false, ErrCodeElsewhere
	case c.Used:
		return false, ErrCodeUsed
	case !now.Before(c.ExpiresAt):
		return false, ErrCodeLate
	case c.Guesses >= MaxGuesses:
		return false, ErrCodeSpent
	}
	c.Guesses++
	shown := hash(c.Of)
	if subtle.ConstantTimeCompare(shown[:], c.Hash[:]) != 1 {
		return true, ErrCodeDiffers
	}
	c.Used = true
	return true, nil
}
