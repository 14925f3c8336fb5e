package bolt

import (
	"context"
	"sync"
	"time"

	"app2wxapp/userpool"
)

// maxCodes bounds a generation: about 40 bytes a code and two generations.
const maxCodes = 500_000

// codes remembers the one-time codes that were claimed. One process has the
// file, so memory is enough, and no sign-in waits for the disk once more. It
// keeps two generations and drops the older one when the younger is
// userpool.CodeMemory old or full.
type codes struct {
	mu         sync.Mutex
	young, old map[userpool.CodeKey]struct{}
	since      time.Time
}

// ClaimCode implements userpool.Codes. A restart forgets, and past a million
// codes in CodeMemory the oldest are forgotten early.
func (s *Store) ClaimCode(_ context.Context, k userpool.CodeKey, now time.Time) (fresh bool, err error) {
	return s.codes.claim(k, now), nil
}

// ReleaseCode implements userpool.Codes.
func (s *Store) ReleaseCode(_ context.Context, k userpool.CodeKey) error {
	s.codes.release(k)
	return nil
}

func (c *codes) claim(k userpool.CodeKey, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young == nil || now.Sub(c.since) >= userpool.CodeMemory || len(c.young) >= maxCodes {
		c.old, c.young, c.since = c.young, make(map[userpool.CodeKey]struct{}), now
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

func (c *codes) release(k userpool.CodeKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.young, k)
	delete(c.old, k)
}
