// Package place gives tests a place for a store of their own: a file, or a
// database of a cluster that package pgtest starts. Which of them says the
// environment (Env), so that the same tests run on each store.
package place

import (
	"os"
	"path/filepath"
	"testing"
)

// Env is the variable that says where the stores of a process lie: "bolt", in
// files, or "postgres", in databases. Unset means bolt. make test runs with each.
const Env = "APP2WXAPP_TEST_STORE"

// Key is the encryption key of every store.
var Key = [32]byte{7}

// Place is where a store lies.
type Place struct {
	URL string
	// Content returns all that the store keeps, as it keeps it: the bytes of its
	// file or the values in its tables.
	Content func(testing.TB) []byte
}

// New returns an empty place of the kind that the environment says.
func New(t testing.TB) Place {
	t.Helper()
	switch kind := os.Getenv(Env); kind {
	case "", "bolt":
		return NewFile(t)
	case "postgres":
		return NewDatabase(t)
	default:
		t.Fatalf("%s=%s: there are bolt and postgres", Env, kind)
		return Place{}
	}
}

// NewFile is New for what is about bbolt, or about a clock that the store watches.
func NewFile(t testing.TB) Place {
	path := filepath.Join(t.TempDir(), "data", "store.db")
	return Place{"bolt:" + path, func(t testing.TB) []byte {
		t.Helper()
		b, err := os.ReadFile(path) // #nosec G304 -- a test's own file
		if err != nil {
			t.Fatal(err)
		}
		return b
	}}
}
