//go:build !linux

package bridgetest

import "testing"

// Main runs a package's tests and returns what to exit with.
func Main(m *testing.M) int { return m.Run() }

func newDatabase(t testing.TB) place {
	t.Helper()
	t.Fatal("package pgtest starts PostgreSQL on Linux only")
	return place{}
}
