// Package store opens the place where everything is kept. What it must do is
// said by the interfaces of the domain and tested by storetest.
package store

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/audit"
	"app2wxapp/store/bolt"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// Store is what the domain asks of a store, together.
type Store interface {
	userpool.Store
	ticket.Store
	audit.Store
	token.Store
	// Ready returns nil if the store can answer, else an error that wraps
	// userpool.ErrUnavailable.
	Ready() error
	// Close ends the store after the writes under way.
	Close() error
}

// Config says how to open a store.
type Config struct {
	URL string   // "bolt:" and a path
	Key [32]byte // the encryption key
	Log *slog.Logger
	Reg prometheus.Registerer
	Now func() time.Time // the clock to watch for being put back; nil for none
}

// Path returns the file of a bolt URL.
func Path(url string) (string, error) {
	path, ok := strings.CutPrefix(url, "bolt:")
	if !ok || path == "" {
		return "", fmt.Errorf("store.url must be bolt: and a path, such as bolt:data/app2wxapp.db; this version has no other store")
	}
	return path, nil
}

// Open opens the store, or creates it.
func Open(c Config) (Store, error) {
	path, err := Path(c.URL)
	if err != nil {
		return nil, err
	}
	return bolt.Open(bolt.Config{Path: path, Key: c.Key, Log: c.Log, Reg: c.Reg, Now: c.Now})
}
