package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A server that is busy is asked again; one that is not ours to ask, or is gone,
// ends the import.
func TestImportAndServersTroubles(t *testing.T) {
	for _, row := range []struct {
		name     string
		answers  []int // one after the other; then 201
		imported int
		refused  int
		want     string // in the error
	}{
		{"well", nil, 3, 0, ""},
		{"busy", []int{503, 503}, 3, 0, ""},
		{"there already", []int{409}, 2, 1, ""},
		{"a wrong token", []int{401, 401, 401}, 0, 0, "401"},
		{"no such pool", []int{404, 404, 404}, 0, 0, "404"},
		{"broken", []int{500, 500, 500}, 0, 0, "500"},
	} {
		var n atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			status := http.StatusCreated
			if at := int(n.Add(1)); at <= len(row.answers) {
				status = row.answers[at-1]
			}
			w.WriteHeader(status)
			fmt.Fprint(w, "no JSON")
		}))
		i := &importer{client: &adminClient{url: server.URL}, pool: "p", told: io.Discard, pause: time.Millisecond}
		err := i.run(t.Context(), strings.NewReader("{}\n{}\n\n{}"))
		if fmt.Sprint(err) != "<nil>" && (row.want == "" || !strings.Contains(err.Error(), row.want)) || err == nil && row.want != "" || i.imported != row.imported || i.refused != row.refused {
			t.Errorf("%s: %d imported, %d refused, %v; want %d, %d, %q", row.name, i.imported, i.refused, err, row.imported, row.refused, row.want)
		}
		server.Close()
		if err := i.run(t.Context(), strings.NewReader(strings.Repeat("{}\n", 1000))); err == nil || !strings.Contains(err.Error(), "is the server running?") {
			t.Errorf("a server that is gone: %v", err)
		}
	}
}
