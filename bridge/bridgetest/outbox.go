package bridgetest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// Outbox is the webhook of an operator that takes every code, and keeps it.
type Outbox struct {
	url string

	mu     sync.Mutex
	sent   []Sent
	status int
}

// Sent is a code as it came in.
type Sent struct {
	Channel, To, Code, Purpose, Language, PoolID string
	ExpiresIn                                    int
}

func newOutbox(t testing.TB) *Outbox {
	o := &Outbox{status: http.StatusNoContent}
	hook := httptest.NewServer(o)
	t.Cleanup(hook.Close)
	o.url = hook.URL
	return o
}

func (o *Outbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m Sent
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = append(o.sent, m)
	w.WriteHeader(o.status)
}

// Senders returns a member for NewPool: its codes come here.
func (o *Outbox) Senders() string {
	hook := `{"provider":"webhook","url":"` + o.url + `","secret":"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}`
	return `"senders":{"sms":` + hook + `,"email":` + hook + `}`
}

// Last returns the code that was sent last to that number or address, "" if none
// was.
func (o *Outbox) Last(to string) string {
	for _, m := range slices.Backward(o.Sent()) {
		if m.To == to {
			return m.Code
		}
	}
	return ""
}

// Sent returns all that was sent.
func (o *Outbox) Sent() []Sent {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.sent)
}

// Answer makes the webhook answer with the status from now on.
func (o *Outbox) Answer(status int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.status = status
}
