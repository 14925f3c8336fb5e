//go:build linux

package postgres_test

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/store"
	"app2wxapp/store/postgres"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s, err := postgres.Open(postgres.Config{
			URL: pgtest.New(t), Key: [32]byte{1}, Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry(),
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
