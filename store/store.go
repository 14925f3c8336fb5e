// Package store opens the place where everything is kept. What it must do is
// said by the interfaces of the domain and tested by storetest.
package store

import (
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/audit"
	"app2wxapp/store/bolt"
	"app2wxapp/store/postgres"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/upload"
	"app2wxapp/userpool"
)

// Store is what the domain asks of a store, together.
type Store interface {
	userpool.Store
	ticket.Store
	audit.Store
	token.Store
	upload.Store
	// Ready returns nil if the store can answer, else an error that wraps
	// userpool.ErrUnavailable.
	Ready() error
	// Close ends the store after the writes under way.
	Close() error
}

// Config says how to open a store.
type Config struct {
	URL string   // "bolt:" and a path, or "postgres://…"
	Key [32]byte // the encryption key
	Log *slog.Logger
	Reg prometheus.Registerer
	Now func() time.Time // the clock to watch; nil for none
}

// Path returns the file of a bolt URL. A store on a server has none: beside it
// no keys can lie.
func Path(url string) (string, error) {
	path, ok := strings.CutPrefix(url, "bolt:")
	if !ok || path == "" {
		return "", errors.New("store.url is not bolt: and a path, such as bolt:data/app2wxapp.db")
	}
	return path, nil
}

// Remote tells whether the URL is that of a store on a server.
func Remote(url string) bool { return postgres.IsURL(url) }

// Check returns what is wrong with the URL, nil if nothing is, without opening
// the store. The error completes a sentence that begins with the value, and does
// not contain it.
func Check(url string) error {
	if Remote(url) {
		return postgres.CheckURL(url)
	}
	path, bolt := strings.CutPrefix(url, "bolt:")
	switch {
	case !bolt:
		return errors.New("begins neither with bolt: nor with postgres:// as it must")
	case path == "":
		return errors.New("has bolt: and no file after it")
	case strings.HasPrefix(path, "//"):
		return errors.New("has // where bolt: is followed by a plain path")
	}
	return nil
}

// Name is the URL as it may be shown: without user and password.
func Name(url string) string {
	if Remote(url) {
		return postgres.Name(url)
	}
	return url
}

// Open opens the store, or creates it.
func Open(c Config) (Store, error) {
	if Remote(c.URL) {
		return postgres.Open(postgres.Config{URL: c.URL, Key: c.Key, Log: c.Log, Reg: c.Reg, Now: c.Now})
	}
	path, err := Path(c.URL)
	if err != nil {
		return nil, err
	}
	return bolt.Open(bolt.Config{Path: path, Key: c.Key, Log: c.Log, Reg: c.Reg, Now: c.Now})
}
