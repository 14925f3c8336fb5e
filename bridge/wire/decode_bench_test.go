package wire_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"app2wxapp/bridge/wire"
)

// Strict decoding of the body of a redemption.
func BenchmarkRead(b *testing.B) {
	body := strings.NewReader(`{"ticket":"AZrM1a2bQ0j4TwGTfTJ8rD0l9yYd3v1KkPz5nXwqHs7uEmBcRoVt","secret":"pZ0mQ4n8s1vT6xB3cD9fG2hJ5kL7wR0yU4iO8aE1tN6"}`)
	r := &http.Request{Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: body.Size(), Body: io.NopCloser(body)}
	b.ReportAllocs()
	for b.Loop() {
		body.Seek(0, io.SeekStart)
		var ticket, misspelt, secret, verifier string
		if err := wire.Read(r, wire.Fields{"ticket": &ticket, "tickett": &misspelt, "secret": &secret, "code_verifier": &verifier}); err != nil || secret == "" {
			b.Fatal(err, secret)
		}
	}
}
