package bridge

import (
	"fmt"
	"log/slog"
	"maps"
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

// addr returns the caller's address, the zero Addr if there is none.
func addr(c echo.Context) netip.Addr {
	a, err := netip.ParseAddr(c.RealIP())
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

// requestID is made here for every request; a caller's is not believed.
func requestID(c echo.Context) string {
	return c.Response().Header().Get(echo.HeaderXRequestID)
}

var alwaysSent = http.Header{
	echo.HeaderCacheControl:        {"no-store"},
	echo.HeaderXContentTypeOptions: {"nosniff"},
	echo.HeaderReferrerPolicy:      {"no-referrer"},
}

func secureHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		maps.Copy(c.Response().Header(), alwaysSent)
		if c.Request().TLS != nil { // else it is for the proxy to say
			c.Response().Header().Set(echo.HeaderStrictTransportSecurity, "max-age=31536000")
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
	keyPool     = "pool"     // id of a pool that exists
	keyEnvelope = "envelope" // true: errors as HTTP 200 in Authing's envelope
	keyDialect  = "dialect"  // wire.Dialect in which errors are told, if not in our own
	keyOutcome  = "outcome"  // slug of the error that was answered
)

// observe is around every request: it gives it an id, turns a panic into an
// error, has errors answered, and counts and logs the request by its route,
// never by its URL.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		c.Response().Header().Set(echo.HeaderXRequestID, uuid.NewString())
		if err := s.guarded(next, c); err != nil {
			c.Error(err)
		}
		took, status := time.Since(start), c.Response().Status
		route, method := labels(c)
		s.metrics.requests.WithLabelValues(route, method, strconv.Itoa(status)).Observe(took.Seconds())
		s.logRequest(c, route, method, status, took)
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
func labels(c echo.Context) (route, method string) {
	route, method = c.Path(), c.Request().Method
	if route == "" || c.Response().Status == http.StatusNotFound && c.Get(keyOutcome) == "not_found" {
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
func (s *Server) logRequest(c echo.Context, route, method string, status int, took time.Duration) {
	outcome, _ := c.Get(keyOutcome).(string)
	level := slog.LevelDebug
	if outcome != "" {
		level = slog.LevelInfo
	}
	ctx := c.Request().Context()
	if !s.log.Enabled(ctx, level) {
		return
	}
	pool, _ := c.Get(keyPool).(string)
	s.log.LogAttrs(ctx, level, "request", slog.String("route", route), slog.String("method", method), slog.Int("status", status),
		slog.String("error", outcome), slog.Float64("seconds", took.Seconds()), slog.String("pool", pool), slog.String("request_id", requestID(c)))
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
