package userpool

import (
	"fmt"
	"testing"
	"time"
)

// A code is remembered for codeMemory at least, and not for ever.
func TestSpentCodesGenerations(t *testing.T) {
	t0 := time.Date(2026, 11, 20, 8, 30, 0, 0, time.UTC)
	c := newSpentCodes()
	claim := func(code string, after time.Duration, want bool) {
		t.Helper()
		if got := c.claim(codeKey("login", "wx", code), t0.Add(after)); got != want {
			t.Errorf("claim(%s) after %v: got %v, want %v", code, after, got, want)
		}
	}
	claim("a", 0, true)
	claim("a", 0, false)
	claim("late", codeMemory-1, true)    // the last moment of its generation
	claim("b", codeMemory, true)         // a new generation
	claim("a", codeMemory, false)        // in the older one
	claim("late", 2*codeMemory-2, false) // within its time
	claim("c", 2*codeMemory, true)       // the first generation is dropped
	claim("b", 2*codeMemory, false)      //
	claim("a", 2*codeMemory, true)       // as if new: WeChat forgot it, too
	claim("a", -time.Hour, false)        // a clock that was set back forgets nothing
	claim("a", 100*codeMemory, false)    // nothing came in between
	claim("a", 200*codeMemory, true)
	if n := len(c.young) + len(c.old); n > 3 {
		t.Errorf("%d codes are kept", n)
	}
}

func TestSpentCodesAreByKindAndApp(t *testing.T) {
	c := newSpentCodes()
	now := time.Unix(1e9, 0)
	for _, k := range [][3]string{{"login", "wx1", "code"}, {"phone", "wx1", "code"}, {"login", "wx2", "code"}, {"login", "wx1", "code2"}} {
		if !c.claim(codeKey(k[0], k[1], k[2]), now) {
			t.Errorf("%v: claimed before", k)
		}
	}
}

// A flood of codes cannot fill the memory, nor push out the latest ones.
func TestSpentCodesAreBounded(t *testing.T) {
	c := newSpentCodes()
	now := time.Unix(1e9, 0)
	c.claim(codeKey("login", "wx", "first"), now)
	for i := range maxCodes {
		c.young[[16]byte(fmt.Appendf(nil, "%016d", i))] = struct{}{}
	}
	if !c.claim(codeKey("login", "wx", "last"), now) || len(c.young) != 1 {
		t.Errorf("past the bound: %d codes in the young generation, want 1", len(c.young))
	}
	if c.claim(codeKey("login", "wx", "first"), now) {
		t.Error("a code of the full generation was forgotten at once")
	}
}
