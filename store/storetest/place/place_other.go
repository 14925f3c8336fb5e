//go:build !linux

package place

import "testing"

// Main runs a package's tests and returns what to exit with.
func Main(m *testing.M) int { return m.Run() }

// NewDatabase is not to be had here.
func NewDatabase(t testing.TB) Place {
	t.Helper()
	t.Fatal("package pgtest starts PostgreSQL on Linux only")
	return Place{}
}
