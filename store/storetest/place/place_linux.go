package place

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/store"
	"app2wxapp/store/postgres/pgtest"
)

// Main runs a package's tests, tidies up after them and returns what to exit
// with: func TestMain(m *testing.M) { os.Exit(place.Main(m)) }.
func Main(m *testing.M) int { return pgtest.Main(m) }

// patient is for a machine that is busy with other things, or stops us for a
// while.
const patient = "&statement_timeout=600000&connect_timeout=600&pool_max_conns=8"

// NewDatabase is New for what is about several processes.
func NewDatabase(t testing.TB) Place {
	t.Helper()
	url := pgtest.NewLike(t, makeTables)
	return Place{url + patient, func(t testing.TB) []byte { t.Helper(); return pgtest.Content(t, url) }}
}

// makeTables opens a store for the first time.
func makeTables(url string) error {
	s, err := store.Open(store.Config{URL: url + patient, Key: Key, Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry()})
	if err != nil {
		return err
	}
	return s.Close()
}
