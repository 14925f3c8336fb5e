package bridgetest

import (
	"context"
	"slices"
	"sync"

	"app2wxapp/userpool"
)

// Outbox takes every code that a Bridge sends, and keeps it.
type Outbox struct {
	mu      sync.Mutex
	sent    []userpool.Message
	err     error
	without []userpool.Channel
}

// Last returns the code that was sent last to that number or address, "" if none
// was.
func (o *Outbox) Last(to string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range slices.Backward(o.sent) {
		if m.To == to {
			return m.Code
		}
	}
	return ""
}

// Sent returns all that was sent.
func (o *Outbox) Sent() []userpool.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.sent)
}

// Fail makes each sending end with the error, nil for none, after the message was
// taken.
func (o *Outbox) Fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

// Without says by which channels nothing can be sent.
func (o *Outbox) Without(channels ...userpool.Channel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.without = channels
}

// Can implements userpool.Senders.
func (o *Outbox) Can(_ userpool.Pool, c userpool.Channel) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !slices.Contains(o.without, c)
}

// Send implements userpool.Senders.
func (o *Outbox) Send(_ context.Context, _ userpool.Pool, _ userpool.Channel, m userpool.Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = append(o.sent, m)
	return o.err
}

var _ userpool.Senders = (*Outbox)(nil)
