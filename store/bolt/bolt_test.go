package bolt_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/store"
	"app2wxapp/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s, err := store.Open(store.Config{
			URL: "bolt:" + filepath.Join(t.TempDir(), "data", "store.db"), Key: [32]byte{1},
			Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry(),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}
