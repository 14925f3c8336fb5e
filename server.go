package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"

	"app2wxapp/bridge"
	"app2wxapp/sender"
	"app2wxapp/store"
	"app2wxapp/store/bolt"
	"app2wxapp/userpool"
	"app2wxapp/wechat"
)

// drainTimeout is how long requests under way may take after SIGTERM.
const drainTimeout = 20 * time.Second

// server is the whole program, listening.
type server struct {
	log           *slog.Logger
	store         store.Store
	bridge        *bridge.Server
	public, admin *http.Server
	onPublic      net.Listener
	onAdmin       net.Listener
	tls           *tls.Config // of the public listener, nil for plain HTTP
	drainDelay    time.Duration

	PublicURL, AdminURL string
	AdminToken          userpool.Secret
}

// newServer opens the store, its keys and the listeners, and serves nothing
// yet. wrap, which may be nil, stands before the public routes.
func newServer(cfg Config, log *slog.Logger, wrap func(http.Handler) http.Handler) (s *server, err error) {
	var undo []io.Closer
	defer func() {
		for _, c := range undo {
			if err != nil {
				err = errors.Join(err, c.Close())
			}
		}
	}()
	reg := prometheus.NewRegistry()
	s = &server{log: log, drainDelay: cfg.DrainDelay}
	if s.tls, err = certificate(cfg); err != nil {
		return nil, err
	}
	var key [32]byte
	if s.store, key, s.AdminToken, err = openStore(cfg, log, reg); err != nil {
		return nil, err
	}
	undo = append(undo, s.store)
	if s.onPublic, err = listen(cfg.Listen.Public, maxPublic); err != nil {
		return nil, fmt.Errorf("listen.public: %w", err)
	}
	undo = append(undo, s.onPublic)
	if s.onAdmin, err = listen(cfg.Listen.Admin, maxAdmin); err != nil {
		return nil, fmt.Errorf("listen.admin: %w", err)
	}

	// With port 0 the address is known only now.
	s.PublicURL = cfg.PublicURL
	if s.PublicURL == publicURL(cfg.Listen.Public, s.tls != nil) {
		s.PublicURL = publicURL(s.onPublic.Addr().String(), s.tls != nil)
	}
	s.AdminURL = publicURL(s.onAdmin.Addr().String(), false)
	s.bridge = bridge.New(bridge.Config{
		Store:         s.store,
		WeChat:        wechat.New(wechat.Config{BaseURL: cfg.WeChat.BaseURL, Timeout: cfg.WeChat.Timeout, Observe: wechat.Metrics(reg)}),
		Senders:       sender.New(sender.Config{Now: now, Observe: sender.Metrics(reg)}),
		WeChatTimeout: cfg.WeChat.Timeout, Now: now, Log: log, Reg: reg,
		PublicURL: s.PublicURL, AdminToken: s.AdminToken, TrustedProxies: cfg.TrustedProxies, Version: version, IDaaSErrorPrefix: cfg.IDaaS.ErrorPrefix,
		Backup: func(ctx context.Context) (*os.File, error) { return store.Backup(ctx, s.store, key, now()) },
	})
	handler := s.bridge.Public()
	if wrap != nil {
		handler = wrap(handler)
	}
	s.public, s.admin = newHTTPServer(handler, log), newHTTPServer(s.bridge.Admin(), log)
	s.public.TLSConfig = s.tls
	return s, nil
}

// listen listens for at most so many connections at a time; further ones wait
// in the system's queue.
func listen(addr string, most int) (net.Listener, error) {
	on, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, portTaken(err)
	}
	return netutil.LimitListener(on, most), nil
}

// portTaken adds what to do where somebody else listens.
func portTaken(err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	return fmt.Errorf("%w; choose another port (listen.public, listen.admin, --port), or stop what uses it", err)
}

// now is the clock: whole milliseconds, as stores and tickets have them.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h,
		// "OPTIONS *" is answered like everything else.
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            5 * time.Second,
		ReadTimeout:                  10 * time.Second,
		WriteTimeout:                 15 * time.Second,
		IdleTimeout:                  60 * time.Second,
		MaxHeaderBytes:               16 << 10,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// openStore opens the store with the keys that lie beside it or that the
// settings give. A store on a server has nothing beside it: there the settings
// give both. The encryption key is made only together with a store: a new one
// for an old store would open nothing.
func openStore(cfg Config, log *slog.Logger, reg prometheus.Registerer) (store.Store, [32]byte, userpool.Secret, error) {
	key, token := cfg.EncryptionKey, cfg.AdminToken
	if !store.Remote(string(cfg.StoreURL)) {
		var err error
		if key, token, err = keysBeside(cfg, log); err != nil {
			return nil, [32]byte{}, "", err
		}
	}
	raw, err := parseKey(string(key))
	if err != nil {
		return nil, [32]byte{}, "", err
	}
	st, err := store.Open(store.Config{URL: string(cfg.StoreURL), Key: raw, Log: log, Reg: reg, Now: now})
	return st, raw, token, err
}

// keysBeside returns the encryption key and the admin token that the settings
// give or that lie beside the store's file.
func keysBeside(cfg Config, log *slog.Logger) (key, token userpool.Secret, err error) {
	path, err := storePath(cfg)
	if err != nil {
		return "", "", err
	}
	folder := filepath.Dir(path)
	if err := bolt.MakeFolder(folder); err != nil {
		return "", "", fmt.Errorf("create the store's folder: %w", err)
	}
	keyFile := keyBeside(path)
	if bolt.Exists(keyFile) && !bolt.Exists(path) {
		log.Warn("encryption.key is there and its store is not: a new, empty one is made; if there should be one, stop this, remove the new one, and put the other back", "store", path)
	}
	key, err = keptSecret(cfg.EncryptionKey, keyFile, !bolt.Exists(path), log)
	if err != nil {
		return "", "", fmt.Errorf("encryption.key: %w", err)
	}
	if _, err := decodeKey(string(key)); err != nil {
		return "", "", fmt.Errorf("encryption.key in %s %w", keyFile, err)
	}
	tokenFile := filepath.Join(folder, adminTokenFile)
	token, err = keptSecret(cfg.AdminToken, tokenFile, true, log)
	if err == nil {
		if _, bad := adminToken(string(token)); bad != nil {
			err = fmt.Errorf("%s %w; %s", tokenFile, bad, newToken)
		}
	} else if errors.Is(err, errEmpty) {
		err = fmt.Errorf("%w; %s", err, newToken)
	}
	if err != nil {
		return "", "", fmt.Errorf("admin.token: %w", err)
	}
	return key, token, nil
}

const newToken = "delete it and restart: a new one is made"

// storePath returns the store's file, which need not exist.
func storePath(cfg Config) (string, error) {
	path, err := store.Path(string(cfg.StoreURL))
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return "", fmt.Errorf("store.url: %s is a folder; name a file in it, such as bolt:%s", path, filepath.Join(path, "app2wxapp.db"))
	}
	return path, nil
}

// adminTokenFile is where the admin token is kept, in the store's folder.
const adminTokenFile = "admin.token"

// keptSecret returns the secret that the settings give, or else the one in the
// file, made if that is allowed.
func keptSecret(given userpool.Secret, path string, mayCreate bool, log *slog.Logger) (userpool.Secret, error) {
	if given != "" {
		return given, nil
	}
	text, created, err := secretFile(path, func() string { return string(userpool.NewSecret()) }, mayCreate)
	if created {
		log.Info("made a secret; keep this file, and back it up apart from the store", "file", path)
	}
	return userpool.Secret(text), err
}

// run serves until ctx ends, then drains: readiness fails, and whoever does not
// look at it yet is served for drainDelay; then the listeners close, requests
// under way are answered, and what was answered is on disk.
func (s *server) run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		s.bridge.Run(background)
	}()
	failed := make(chan error, 2)
	go func() { failed <- s.serve(s.public, s.onPublic) }()
	go func() { failed <- s.serve(s.admin, s.onAdmin) }()

	var err error
	select {
	case <-ctx.Done():
		s.log.Info("draining", "delay", s.drainDelay.String(), "timeout", drainTimeout.String())
		s.bridge.Drain()
		select {
		case <-time.After(s.drainDelay):
		case err = <-failed:
		}
	case err = <-failed:
		s.bridge.Drain()
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err = errors.Join(err, s.public.Shutdown(deadline), s.admin.Shutdown(deadline))
	stop()
	<-swept
	err = errors.Join(err, s.store.Close())
	s.log.Info("stopped")
	return err
}

// close ends a server that never ran.
func (s *server) close() error {
	return errors.Join(s.onPublic.Close(), s.onAdmin.Close(), s.store.Close())
}

func (s *server) serve(srv *http.Server, on net.Listener) error {
	var err error
	if srv.TLSConfig != nil {
		err = srv.ServeTLS(on, "", "")
	} else {
		err = srv.Serve(on)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// certificate reads the public listener's certificate, nil if there is none.
func certificate(cfg Config) (*tls.Config, error) {
	if cfg.Listen.TLS.Cert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(cfg.Listen.TLS.Cert, cfg.Listen.TLS.Key)
	if err != nil {
		return nil, fmt.Errorf("listen.tls: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// newLogger returns the logger that the settings ask for: text for a person at
// a terminal, JSON for a machine.
func newLogger(cfg Config, out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.Log.Level}
	if cmp.Or(cfg.Log.Format, formatFor(out)) == "text" {
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(slog.NewJSONHandler(out, options))
}

func formatFor(out io.Writer) string {
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return "text"
		}
	}
	return "json"
}
