package bolt

import (
	"fmt"
	"testing"
	"time"

	"app2wxapp/userpool"
)

func codeKey(text string) userpool.CodeKey { return userpool.CodeKey(fmt.Appendf(nil, "%16s", text)) }

// A code is remembered for CodeMemory at least, and not for ever.
func TestCodesGenerations(t *testing.T) {
	const memory = userpool.CodeMemory
	t0 := time.Date(2026, 11, 20, 8, 30, 0, 0, time.UTC)
	c := &codes{}
	claim := func(code string, after time.Duration, want bool) {
		t.Helper()
		if got := c.claim(codeKey(code), t0.Add(after)); got != want {
			t.Errorf("claim(%s) after %v: got %v, want %v", code, after, got, want)
		}
	}
	claim("a", 0, true)
	claim("a", 0, false)
	claim("late", memory-1, true)    // the last moment of its generation
	claim("b", memory, true)         // a new generation
	claim("a", memory, false)        // in the older one
	claim("late", 2*memory-2, false) // within its time
	claim("c", 2*memory, true)       // the first generation is dropped
	claim("b", 2*memory, false)      //
	claim("a", 2*memory, true)       // as if new: WeChat forgot it, too
	claim("a", -time.Hour, false)    // a clock that was set back forgets nothing
	claim("a", 100*memory, false)    // nothing came in between
	claim("a", 200*memory, true)
	if n := len(c.young) + len(c.old); n > 3 {
		t.Errorf("%d codes are kept", n)
	}
}

// A flood of codes cannot fill the memory, nor push out the latest ones.
func TestCodesAreBounded(t *testing.T) {
	c := &codes{}
	now := time.Unix(1e9, 0)
	c.claim(codeKey("first"), now)
	for i := range maxCodes {
		c.young[userpool.CodeKey(fmt.Appendf(nil, "%016d", i))] = struct{}{}
	}
	if !c.claim(codeKey("last"), now) || len(c.young) != 1 {
		t.Errorf("past the bound: %d codes in the young generation, want 1", len(c.young))
	}
	if c.claim(codeKey("first"), now) {
		t.Error("a code of the full generation was forgotten at once")
	}
}
