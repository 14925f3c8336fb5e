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
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"app2wxapp/audit"
	"app2wxapp/bridge/admin"
	"app2wxapp/bridge/authing"
	"app2wxapp/bridge/casdoor"
	"app2wxapp/bridge/idaas"
	"app2wxapp/bridge/oauth"
	"app2wxapp/bridge/openapi"
	"app2wxapp/captcha"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/upload"
	"app2wxapp/userpool"
)

// Store is what the bridge's domain asks of a store.
type Store interface {
	userpool.Store
	ticket.Store
	token.Store
	upload.Store
	audit.Store
	Ready() error
}

// Config is what a Server is made of. Every field is required except
// Senders and TrustedProxies.
type Config struct {
	Store         Store
	WeChat        userpool.WeChat
	WeChatTimeout time.Duration    // of all calls of one sign-in together
	Senders       userpool.Senders // of one-time codes; nil for none
	Now           func() time.Time
	Log           *slog.Logger
	Reg           *prometheus.Registry
	PublicURL     string // the tokens' issuer, without a slash at its end
	AdminToken    userpool.Secret
	// TrustedProxies may say in X-Forwarded-For who calls. With none the
	// connection's address counts.
	TrustedProxies []netip.Prefix
	Version        string
	// IDaaSErrorPrefix stands before the error codes of that dialect.
	IDaaSErrorPrefix string
	// Backup returns a copy of the store, which is gone when it is closed.
	Backup func(context.Context) (*os.File, error)
}

// Server is the domain and its two HTTP faces.
type Server struct {
	pools    *userpool.Service
	tickets  *ticket.Service
	tokens   *token.Service
	uploads  *upload.Service
	audit    *audit.Tally
	oauth    *oauth.API
	limits   *userpool.Limits
	now      func() time.Time
	casdoor  *casdoor.API
	idaas    *idaas.API
	store    Store
	room     *room
	log      *slog.Logger
	metrics  *metrics
	draining atomic.Bool

	public http.Handler
	admin  http.Handler
}

// New returns a Server. It starts nothing.
func New(c Config) *Server {
	c.Reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	room := newRoom(c.Reg)
	limits := new(userpool.Limits)
	var senders userpool.Senders
	if c.Senders != nil {
		senders = awaitedSenders{c.Senders, room}
	}
	pools := userpool.New(userpool.Config{
		Store: c.Store, WeChat: awaitedWeChat{c.WeChat, room}, WeChatTimeout: c.WeChatTimeout, Senders: senders, Now: c.Now, Log: c.Log, Metrics: userpool.NewMetrics(c.Reg), Limits: limits,
	})
	tally := audit.NewTally()
	s := &Server{
		pools: pools,
		tickets: ticket.NewService(ticket.Config{
			Store: c.Store, Pools: pools, Now: c.Now, Log: c.Log, Metrics: ticket.NewMetrics(c.Reg), Audit: tally, Limits: limits,
		}),
		audit:   tally,
		limits:  limits,
		now:     c.Now,
		tokens:  token.New(c.Store, pools, token.Config{Issuer: c.PublicURL, Now: c.Now}),
		uploads: upload.New(upload.Config{Store: c.Store, Now: c.Now, Log: c.Log, PublicURL: c.PublicURL}),
		store:   c.Store,
		room:    room,
		log:     c.Log,
		metrics: newMetrics(c.Reg, c.Version),
	}
	s.casdoor = casdoor.New(casdoor.Config{Pools: s.pools, Tickets: s.tickets, Tokens: s.tokens, Issuer: c.PublicURL})
	s.oauth = oauth.New(oauth.Config{Pools: s.pools, Tickets: s.tickets, Tokens: s.tokens, Issuer: c.PublicURL, Now: c.Now})
	s.idaas = idaas.New(idaas.Config{
		Pools: s.pools, Tokens: s.tokens, Captcha: captcha.New(captcha.Config{Claims: c.Store, Now: c.Now, Limits: limits}),
		Limits: limits, Issuer: c.PublicURL, Now: c.Now, ErrorPrefix: c.IDaaSErrorPrefix,
	})
	s.public = s.publicRoutes(s.newEcho(c.TrustedProxies), authing.New(authing.Config{
		Pools: s.pools, Tickets: s.tickets, Tokens: s.tokens, Uploads: s.uploads, Now: c.Now,
	}), openapi.Public(c.PublicURL, c.Version))
	s.admin = s.adminRoutes(s.newEcho(nil), c.Reg, admin.New(admin.Config{
		Pools: s.pools, Tokens: s.tokens, Token: c.AdminToken, Now: c.Now, Events: c.Store, Failures: tally, Limits: limits, Senders: c.Senders, Backup: c.Backup, Log: c.Log,
	}), openapi.Admin(c.Version))
	return s
}

// Public returns the handler for mini programs, apps and their servers.
func (s *Server) Public() http.Handler { return s.public }

// Admin returns the handler for operators: it must not be reachable by others.
func (s *Server) Admin() http.Handler { return s.admin }

// Drain makes /readyz fail from now on, so that no new work is sent here, and
// ends connections with their next answers. What still comes is served.
func (s *Server) Drain() { s.draining.Store(true) }

const (
	// usesEvery is how often the secrets' last use is written.
	usesEvery = 10 * time.Second
	// auditEvery is how often what was refused is written: whoever is refused a
	// thousand times makes one row of it.
	auditEvery = time.Minute
	// shareEvery is how often processes on one store tell each other what they
	// have counted against limits.
	shareEvery = time.Second
)

// Run does the background work until ctx ends: it sweeps, shares what is counted
// against limits, and keeps the secrets' last use and the count of what was
// refused, both once more at the end.
func (s *Server) Run(ctx context.Context) {
	var work sync.WaitGroup
	work.Go(func() { s.tickets.RunSweeper(ctx) })
	work.Go(func() { s.uploads.RunSweeper(ctx) })
	work.Go(func() { s.flush(ctx, usesEvery, "keep the secrets' last use", s.pools.FlushSecretUses) })
	work.Go(func() { s.flush(ctx, auditEvery, "keep the audit events", s.FlushAudit) })
	work.Go(func() { s.share(ctx) })
	work.Wait()
}

// share shares counts time and again until ctx ends. Its failures are told of
// once.
func (s *Server) share(ctx context.Context) {
	tick := time.NewTicker(shareEvery)
	defer tick.Stop()
	for good := true; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := s.ShareCounts(ctx)
		if err != nil && good && ctx.Err() == nil {
			s.log.Error("limits are this process's own until the store takes counts again", "err", err)
		}
		good = err == nil
	}
}

// ShareCounts tells the other processes on the store what this one has counted
// against limits, and counts what they tell.
func (s *Server) ShareCounts(ctx context.Context) error { return s.limits.Share(ctx, s.store, s.now()) }

// flush calls write time and again, and once when ctx has ended.
func (s *Server) flush(ctx context.Context, every time.Duration, what string, write func(context.Context) error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		if err := write(context.WithoutCancel(ctx)); err != nil {
			s.log.Error(what, "err", err)
		}
	}
}

// FlushAudit writes what was refused since the last time.
func (s *Server) FlushAudit(ctx context.Context) error { return s.audit.Flush(ctx, s.store) }

func (s *Server) newEcho(trusted []netip.Prefix) *echo.Echo {
	e := echo.New()
	e.HTTPErrorHandler = s.fail
	e.IPExtractor = callerAddr(trusted)
	e.Use(secureHeaders, s.lastOnConnection, s.observe)
	return e
}
