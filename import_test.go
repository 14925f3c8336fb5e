package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// importInto imports the lines into a server that gives these answers, one after
// the other, and then 201. It returns how many times it was asked.
func importInto(t *testing.T, in io.Reader, answers ...int) (i *importer, told string, asked int, err error) {
	t.Helper()
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusCreated
		if at := int(n.Add(1)); at <= len(answers) {
			status = answers[at-1]
		}
		w.WriteHeader(status)
		fmt.Fprint(w, "no JSON")
	}))
	defer server.Close()
	var said bytes.Buffer
	i = &importer{client: &adminClient{url: server.URL}, pool: "p", told: &said, pause: time.Millisecond}
	err = i.run(t.Context(), in)
	return i, said.String(), int(n.Load()), err
}

// users are so many lines.
func users(n int) io.Reader { return strings.NewReader(strings.Repeat(`{"id":"u"}`+"\n", n)) }

// answers are so many of one status.
func answers(n, status int) (all []int) {
	for range n {
		all = append(all, status)
	}
	return all
}

// A server that is busy is asked again; what is refused is told.
func TestImport(t *testing.T) {
	for _, row := range []struct {
		name              string
		lines             string
		answers           []int
		imported, refused int
		told              string // of one of the lines
	}{
		{"well", "{\"id\":\"u\"}\n\r\n {\"openid\":\"o\"}", nil, 2, 0, ""},
		{"of a Windows editor", "\uFEFF{\"id\":\"u\"}\r\n", nil, 1, 0, ""},
		{"busy", `{"id":"u"}`, answers(5, 503), 1, 0, ""},
		{"busy, and it was done", `{"id":"u"}`, []int{503, 409}, 1, 0, ""},
		{"there already", "\n\n" + `{"id":"u"}`, []int{409}, 0, 1, "line 3: POST "},
		{"not what it should be", "{\"id\":\"u\"}\n\n{\"id\":", nil, 1, 1, "line 3: this is no JSON"},
		{"nobody in particular", `{"phone":"+8613800138000"}`, nil, 0, 1, "line 1: give it an id"},
	} {
		i, told, _, err := importInto(t, strings.NewReader(row.lines), row.answers...)
		if err != nil || i.imported != row.imported || i.refused != row.refused || !strings.HasPrefix(told, row.told) || row.told == "" && told != "" {
			t.Errorf("%s: %d imported, %d refused, told %q, %v; want %d, %d, %q", row.name, i.imported, i.refused, told, err, row.imported, row.refused, row.told)
		}
	}
}

// What is true of all lines ends the import, whatever is still to come.
func TestImportEnds(t *testing.T) {
	const lines = 1000
	for _, row := range []struct {
		status, most int
		want         string
	}{
		{401, importers, "401 Unauthorized"},
		{404, importers, "404 Not Found"},
		{500, importers, "500 Internal Server Error"},
		{503, importers * patientTries, "503 Service Unavailable"},
	} {
		_, told, asked, err := importInto(t, users(lines), answers(lines, row.status)...)
		if err == nil || !strings.Contains(err.Error(), row.want) || asked > row.most || told != "" {
			t.Errorf("%d: asked %d times, told %q, %v; want %d times at most, and %s", row.status, asked, told, err, row.most, row.want)
		}
	}
	gone := &importer{client: &adminClient{url: "http://127.0.0.1:1"}, pool: "p", told: io.Discard}
	if err := gone.run(t.Context(), users(lines)); err == nil || !strings.Contains(err.Error(), "is the server running?") {
		t.Errorf("a server that is gone: %v", err)
	}

	long := io.MultiReader(users(3), strings.NewReader(strings.Repeat("x", 2<<20)))
	if i, _, _, err := importInto(t, long); err == nil || !strings.Contains(err.Error(), "line 4: is longer than 1 MiB") || i.imported != 3 {
		t.Errorf("a line that does not end: %d imported, %v", i.imported, err)
	}

	silent, says := io.Pipe()
	defer says.Close()
	go io.WriteString(says, `{"id":"u"}`+"\n")
	if _, _, _, err := importInto(t, silent, 401); err == nil {
		t.Error("it waits for more to be said")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := gone.run(ctx, silent); err == nil {
		t.Error("it goes on without being wanted")
	}
}
