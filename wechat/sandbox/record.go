package sandbox

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Call is a simulated call as it arrived. It holds what a client sent, secrets
// and all.
type Call struct {
	Time   time.Time
	Method string
	Query  url.Values
	Body   string
}

// maxKept is how many calls of a kind are kept: enough for a test, little
// enough for a day's load.
const maxKept = 1000

// recorder keeps what arrived. The zero value is ready for use.
type recorder struct {
	mu    sync.Mutex
	calls map[string]*ring[Call] // by call
	stray ring[string]
}

// ring keeps the latest maxKept of all that were added.
type ring[T any] struct {
	kept  []T
	total int
}

func (r *ring[T]) add(v T) {
	if len(r.kept) < maxKept {
		r.kept = append(r.kept, v)
	} else {
		r.kept[r.total%maxKept] = v
	}
	r.total++
}

// list returns what is kept, oldest first.
func (r *ring[T]) list() []T {
	if r.total <= maxKept {
		return slices.Clone(r.kept)
	}
	oldest := r.total % maxKept
	return append(slices.Clone(r.kept[oldest:]), r.kept[:oldest]...)
}

func (rec *recorder) record(api string, c Call) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.calls == nil {
		rec.calls = make(map[string]*ring[Call])
	}
	if rec.calls[api] == nil {
		rec.calls[api] = new(ring[Call])
	}
	rec.calls[api].add(c)
}

func (rec *recorder) unknown(r *http.Request) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.stray.add(r.Method + " " + r.URL.Path)
}

// Calls returns the calls of this kind that arrived, failed ones too, oldest
// first; of more than 1000 the last 1000.
func (s *Server) Calls(api string) []Call {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	if r := s.calls.calls[api]; r != nil {
		return r.list()
	}
	return nil
}

// Count returns how many calls of this kind arrived.
func (s *Server) Count(api string) int {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	if r := s.calls.calls[api]; r != nil {
		return r.total
	}
	return 0
}

// Unknown returns method and path of the requests for what the sandbox does not
// have. A test should find none.
func (s *Server) Unknown() []string {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	return s.calls.stray.list()
}
