package seal

import "testing"

// A record of the size of a user, sealed and opened.
func BenchmarkSeal(b *testing.B) {
	s := New(1, [32]byte{1})
	key, plain := []byte("64b7f0a1c2d3e4f506172839/01936f2c-4f1e-7a3b-9c5d-2e8f6a7b9c0d"), make([]byte, 300)
	buf := make([]byte, 0, 1024)
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Seal(buf, "users", key, plain)
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		record := s.Seal(buf, "users", key, plain)
		for b.Loop() {
			if _, err := s.Open(buf, "users", key, record); err != nil {
				b.Fatal(err)
			}
		}
	})
}
