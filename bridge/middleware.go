package bridge

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/bridge/wire"
)

// callerAddr returns how the caller's address is found. Echo's default believes
// X-Forwarded-For from anybody, and its trusting form trusts every private
// network unless told not to.
func callerAddr(trusted []netip.Prefix) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range trusted {
		options = append(options, echo.TrustIPRange(&net.IPNet{
			IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

// requestID is made here for every request; a caller's is not believed.
func requestID(c echo.Context) string {
	return c.Response().Header().Get(echo.HeaderXRequestID)
}

var alwaysSent = []struct {
	name  string // as http.CanonicalHeaderKey has it
	value []string
}{
	{echo.HeaderCacheControl, []string{"no-store"}},
	{echo.HeaderXContentTypeOptions, []string{"nosniff"}},
	{echo.HeaderReferrerPolicy, []string{"no-referrer"}},
}

func secureHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		for _, a := range alwaysSent {
			h[a.name] = a.value
		}
		if c.Request().TLS != nil { // else it is for the proxy to say
			c.Response().Header().Set(echo.HeaderStrictTransportSecurity, "max-age=31536000")
		}
		return next(c)
	}
}

// lastOnConnection tells callers, while the server drains, that this answer is
// the last on its connection. A balancer of connections cannot move those that
// are open, and to close one that seems idle may cross a request on its way.
func (s *Server) lastOnConnection(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.draining.Load() {
			c.Response().Header().Set(echo.HeaderConnection, "close")
		}
		return next(c)
	}
}

// doubled are slashes that should be one.
var doubled = regexp.MustCompile("//+")

// singleSlashes is before the routes: a client whose base address ends with a
// slash asks for //graphql/v2. A redirect would cost a POST its body.
func singleSlashes(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if u := c.Request().URL; strings.Contains(u.Path, "//") {
			u.Path, u.RawPath = doubled.ReplaceAllString(u.Path, "/"), doubled.ReplaceAllString(u.RawPath, "/")
		}
		return next(c)
	}
}

// Keys of what a handler tells the wall about a request.
const (
	keyPool     = wire.KeyPool
	keyEnvelope = "envelope" // true: errors as HTTP 200 in Authing's envelope
	keyDialect  = "dialect"  // wire.Dialect in which errors are told, if not in our own
	keyOutcome  = "outcome"  // slug of the error that was answered
)

// request is echo's context with fields for these: echo itself would make a map
// for every request.
type request struct {
	echo.Context
	pool, outcome string
	envelope      bool
}

func (r *request) Set(key string, value any) {
	switch key {
	case keyPool:
		r.pool = value.(string)
	case keyOutcome:
		r.outcome = value.(string)
	case keyEnvelope:
		r.envelope = value.(bool)
	default:
		r.Context.Set(key, value)
	}
}

func (r *request) Get(key string) any {
	switch key {
	case keyPool:
		return r.pool
	case keyOutcome:
		return r.outcome
	case keyEnvelope:
		return r.envelope
	}
	return r.Context.Get(key)
}

// observe is around every request: it gives it an id, turns a panic into an
// error, has errors answered, and counts and logs the request by its route,
// never by its URL.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		r := &request{Context: c}
		r.Response().Header().Set(echo.HeaderXRequestID, uuid.NewString())
		if err := s.guarded(next, r); err != nil {
			s.fail(err, r)
		}
		took, status := time.Since(start), r.Response().Status
		route, method := labels(r)
		s.metrics.requests.WithLabelValues(route, method, strconv.Itoa(status)).Observe(took.Seconds())
		s.logRequest(r, route, method, status, took)
		return nil
	}
}

// guarded calls the handler and returns a panic of it as an error. The stack is
// logged, the value is not: it may hold what a caller sent.
func (s *Server) guarded(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			err = fmt.Errorf("panic of type %T\n%s", p, debug.Stack())
		}
	}()
	if allow, _ := c.Get(echo.ContextKeyHeaderAllow).(string); allow != "" && c.Request().Method == http.MethodOptions {
		return echo.ErrMethodNotAllowed // echo would answer it
	}
	return next(c)
}

// labels returns the route's template and the method, each from a fixed set.
func labels(r *request) (route, method string) {
	route, method = r.Path(), r.Request().Method
	if route == "" || r.Response().Status == http.StatusNotFound && r.outcome == "not_found" {
		route = "other"
	}
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodPut, http.MethodHead, http.MethodOptions:
	default:
		method = "other"
	}
	return route, method
}

// logRequest logs what was refused at info and the rest at debug: with
// thousands of logins a second the metrics tell more than a line for each.
// Failures of ours were logged with their cause by fail.
func (s *Server) logRequest(r *request, route, method string, status int, took time.Duration) {
	level := slog.LevelDebug
	if r.outcome != "" {
		level = slog.LevelInfo
	}
	ctx := r.Request().Context()
	if !s.log.Enabled(ctx, level) {
		return
	}
	s.log.LogAttrs(ctx, level, "request", slog.String("route", route), slog.String("method", method), slog.Int("status", status),
		slog.String("error", r.outcome), slog.Float64("seconds", took.Seconds()), slog.String("pool", r.pool), slog.String("request_id", requestID(r)))
}

type metrics struct {
	requests *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer, version string) *metrics {
	m := &metrics{requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "app2wxapp_http_request_duration_seconds", Help: "Time of a request, by route template.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"route", "method", "status"})}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "app2wxapp_build_info", Help: "Always 1; the version is the label."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	reg.MustRegister(m.requests, build)
	return m
}
