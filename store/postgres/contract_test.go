//go:build linux

package postgres_test

import (
	"testing"

	"app2wxapp/store"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, pgtest.New(t)) })
}
