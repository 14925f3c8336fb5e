package bridgetest

import (
	"os"
	"path/filepath"
	"testing"
)

// StoreEnv is the variable that says where the bridges of a process keep
// everything: "bolt", in a file, or "postgres", in a database of a cluster that
// package pgtest starts. Unset means bolt. make test runs all tests through HTTP
// with each.
const StoreEnv = "APP2WXAPP_TEST_STORE"

// storeKey is the encryption key of every store.
var storeKey = [32]byte{7}

// place is where a store lies.
type place struct {
	url     string
	content func(testing.TB) []byte
}

func newPlace(t testing.TB) place {
	t.Helper()
	switch kind := os.Getenv(StoreEnv); kind {
	case "", "bolt":
		return newFile(t)
	case "postgres":
		return newDatabase(t)
	default:
		t.Fatalf("%s=%s: there are bolt and postgres", StoreEnv, kind)
		return place{}
	}
}

func newFile(t testing.TB) place {
	path := filepath.Join(t.TempDir(), "data", "store.db")
	return place{"bolt:" + path, func(t testing.TB) []byte {
		t.Helper()
		b, err := os.ReadFile(path) // #nosec G304 -- a test's own file
		if err != nil {
			t.Fatal(err)
		}
		return b
	}}
}
