package userpool

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// codeMemory is at least how long a code is remembered: WeChat's codes live
	// five minutes.
	codeMemory = 5 * time.Minute
	// maxCodes bounds the memory: about 40 bytes a code and two generations.
	maxCodes = 500_000
)

// spentCodes remembers which one-time codes were sent to WeChat, so that none
// is sent twice: after a time-out the first try may have succeeded, and a
// second one would lose the session. It keeps two generations of hashes and
// drops the older one when the younger is codeMemory old or full.
type spentCodes struct {
	mu         sync.Mutex
	young, old map[[16]byte]struct{}
	since      time.Time
}

func newSpentCodes() *spentCodes {
	return &spentCodes{young: map[[16]byte]struct{}{}}
}

// codeKey is what is kept of a code of this kind ("login", "phone") and mini
// program.
func codeKey(kind, appID, code string) [16]byte {
	sum := sha256.Sum256([]byte(kind + "\x00" + appID + "\x00" + code))
	return [16]byte(sum[:16])
}

// release forgets a code that was claimed and then not sent.
func (c *spentCodes) release(k [16]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.young, k)
	delete(c.old, k)
}

// claim tells whether the code is fresh, and remembers it.
func (c *spentCodes) claim(k [16]byte, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.since) >= codeMemory || len(c.young) >= maxCodes {
		c.old, c.young, c.since = c.young, make(map[[16]byte]struct{}), now
	}
	if _, ok := c.young[k]; ok {
		return false
	}
	if _, ok := c.old[k]; ok {
		return false
	}
	c.young[k] = struct{}{}
	return true
}
