// Package bridge is the HTTP side of the program: Authing's app2wxapp and the
// rest of the public API on one listener, what an operator needs on another.
//
// A handler decodes, makes one call of the domain, and encodes. Errors go back
// up to one place, errors.go, which tells the caller what it may know and the
// log the rest. Foreign protocols are packages below this one.
package bridge

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"app2wxapp/bridge/admin"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// Store is what the bridge's domain asks of a store.
type Store interface {
	userpool.Store
	ticket.Store
	token.Store
	Ready() error
}

// Config is what a Server is made of. Every field is required except
// TrustedProxies.
type Config struct {
	Store         Store
	WeChat        userpool.WeChat
	WeChatTimeout time.Duration // of all calls of one sign-in together
	Now           func() time.Time
	Log           *slog.Logger
	Reg           *prometheus.Registry
	PublicURL     string // the tokens' issuer, without a slash at its end
	AdminToken    userpool.Secret
	// TrustedProxies may say in X-Forwarded-For who calls. With none the
	// connection's address counts.
	TrustedProxies []netip.Prefix
	Version        string
}

// Server is the domain and its two HTTP faces.
type Server struct {
	pools    *userpool.Service
	tickets  *ticket.Service
	tokens   *token.Service
	store    Store
	log      *slog.Logger
	metrics  *metrics
	draining atomic.Bool

	public http.Handler
	admin  http.Handler
}

// New returns a Server. It starts nothing.
func New(c Config) *Server {
	c.Reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	pools := userpool.New(userpool.Config{
		Store: c.Store, WeChat: c.WeChat, WeChatTimeout: c.WeChatTimeout, Now: c.Now, Log: c.Log, Metrics: userpool.NewMetrics(c.Reg),
	})
	s := &Server{
		pools:   pools,
		tickets: ticket.NewService(ticket.Config{Store: c.Store, Pools: pools, Now: c.Now, Log: c.Log, Metrics: ticket.NewMetrics(c.Reg)}),
		tokens:  token.New(c.Store, pools, token.Config{Issuer: c.PublicURL, Now: c.Now}),
		store:   c.Store,
		log:     c.Log,
		metrics: newMetrics(c.Reg, c.Version),
	}
	s.public = s.publicRoutes(s.newEcho(c.TrustedProxies))
	s.admin = s.adminRoutes(s.newEcho(nil), c.Reg, admin.New(admin.Config{
		Pools: s.pools, Tokens: s.tokens, Token: c.AdminToken, Now: c.Now,
	}))
	return s
}

// Public returns the handler for mini programs, apps and their servers.
func (s *Server) Public() http.Handler { return s.public }

// Admin returns the handler for operators: it must not be reachable by others.
func (s *Server) Admin() http.Handler { return s.admin }

// Drain makes /readyz fail from now on, so that no new work is sent here.
func (s *Server) Drain() { s.draining.Store(true) }

// flushEvery is how often the secrets' last use is written.
const flushEvery = 10 * time.Second

// Run does the background work until ctx ends: it sweeps tickets and keeps the
// secrets' last use, which it writes once more at the end.
func (s *Server) Run(ctx context.Context) {
	var sweeping sync.WaitGroup
	sweeping.Go(func() { s.tickets.RunSweeper(ctx) })
	defer sweeping.Wait()
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		if err := s.pools.FlushSecretUses(context.WithoutCancel(ctx)); err != nil {
			s.log.Error("keep the secrets' last use", "err", err)
		}
	}
}

func (s *Server) newEcho(trusted []netip.Prefix) *echo.Echo {
	e := echo.New()
	e.HTTPErrorHandler = s.fail
	e.IPExtractor = callerAddr(trusted)
	e.Use(secureHeaders, s.observe)
	return e
}
