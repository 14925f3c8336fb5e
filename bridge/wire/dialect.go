package wire

import "net/http"

// Dialect tells an error in the shape that a foreign protocol has for it. Each
// has its own table for its own errors; ProblemOf translates those of the
// domain.
type Dialect func(r *http.Request, err error, requestID string) Told

// Told is an error as a dialect answers it.
type Told struct {
	Problem             // for the log, the metrics and Retry-After: one of 5xx is ours, and is logged
	Status  int         // of the answer: some protocols have errors in a 200
	Header  http.Header // to be set besides
	Body    any         // sent as JSON
}
