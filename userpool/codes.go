package userpool

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// CodeMemory is at least how long a one-time code is remembered: WeChat's codes
// live five minutes.
const CodeMemory = 5 * time.Minute

// CodeKey is what is kept of a one-time code: half of a hash.
type CodeKey [16]byte

// newCodeKey returns the key of a code of this kind ("login", "phone") and mini
// program.
func newCodeKey(kind, appID, code string) CodeKey {
	sum := sha256.Sum256([]byte(kind + "\x00" + appID + "\x00" + code))
	return CodeKey(sum[:])
}

// Codes remembers which one-time codes were sent to WeChat, so that none is
// sent twice: after a time-out the first try may have succeeded, and a second
// one would lose the session.
type Codes interface {
	// ClaimCode tells whether the code is fresh, and remembers it for CodeMemory,
	// as one step: of any number of calls, of all processes on the store, one is
	// told so. A crash may forget codes, which costs no more than a call: WeChat
	// itself takes a code once.
	ClaimCode(ctx context.Context, k CodeKey, now time.Time) (fresh bool, err error)
	// ReleaseCode forgets a code that was claimed and then not sent.
	ReleaseCode(ctx context.Context, k CodeKey) error
}

// spend lets send send the code, if that was not done before.
func (s *Service) spend(ctx context.Context, kind, appID, code string, now time.Time, send func() error) error {
	k := newCodeKey(kind, appID, code)
	fresh, err := s.store.ClaimCode(ctx, k, now)
	if err != nil {
		return fmt.Errorf("claim %s code: %w", kind, err)
	}
	if !fresh {
		return fmt.Errorf("%s code was used before: %w", kind, ErrCode)
	}
	err = send()
	if errors.Is(err, ErrUnsent) {
		err = errors.Join(err, s.store.ReleaseCode(ctx, k))
	}
	if err != nil {
		return fmt.Errorf("exchange %s code: %w", kind, err)
	}
	return nil
}
