package wechat

import (
	"fmt"
	"sync"

	"app2wxapp/userpool"
)

// maxInFlight is how many calls of one mini program may be under way. WeChat
// answers in some 50 ms, so this is thousands of sign-ins a second; when it
// hangs, this bounds the connections and memory that wait for it.
const maxInFlight = 256

var errLimited = fmt.Errorf("too many calls of this mini program are under way: %w", userpool.ErrUnsent)

// inFlight counts the calls under way, by AppID. The zero value is ready for
// use.
type inFlight struct {
	mu    sync.Mutex
	calls map[string]int
}

// begin counts one more call, if there may be one.
func (f *inFlight) begin(app string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls[app] >= maxInFlight {
		return false
	}
	if f.calls == nil {
		f.calls = make(map[string]int)
	}
	f.calls[app]++
	return true
}

// end takes back what begin counted.
func (f *inFlight) end(app string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls[app]--; f.calls[app] == 0 {
		delete(f.calls, app)
	}
}
