package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A defect whose place is gone could not be planted any more.
func TestPlaces(t *testing.T) {
	for _, m := range all() {
		b, err := os.ReadFile(filepath.Join("..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(b), m.old); n != 1 {
			t.Errorf("%s: its place occurs %d times in %s, want once", m.name, n, m.file)
		}
		if len(m.packages) == 0 || m.old == m.new {
			t.Errorf("%s: nothing to plant or nowhere to look", m.name)
		}
	}
}
