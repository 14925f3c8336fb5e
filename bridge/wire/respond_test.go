package wire_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
)

// Clients of the field cannot all read chunks.
func TestBlobIsNotChunked(t *testing.T) {
	for _, n := range []int{0, 1, 2047, 2048, 2049, 8192} {
		e := echo.New()
		e.GET("/", func(c echo.Context) error { return wire.Blob(c, http.StatusOK, bytes.Repeat([]byte{'1'}, n)) })
		server := httptest.NewServer(e)
		r, err := http.Get(server.URL)
		server.Close()
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.ContentLength != int64(n) || r.Header.Get("Content-Type") != wire.ContentType {
			t.Errorf("%d bytes: Content-Length %d, Content-Type %q", n, r.ContentLength, r.Header.Get("Content-Type"))
		}
	}
}

func TestStamp(t *testing.T) {
	shanghai := time.FixedZone("CST", 8*3600)
	for want, at := range map[string]time.Time{
		"2026-01-02T03:04:05.000Z": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02T03:04:05.006Z": time.Date(2026, 1, 2, 3, 4, 5, 6_999_999, time.UTC),
		"2025-12-31T23:59:59.070Z": time.Date(2026, 1, 1, 7, 59, 59, 70_000_000, shanghai),
		"1969-12-31T23:59:59.899Z": time.Unix(-1, 899_000_000),
	} {
		if got := wire.Stamp(at); got != want {
			t.Errorf("Stamp(%v) = %s, want %s", at, got, want)
		}
	}
}
