package ticket

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/userpool"
)

// Metrics counts what happens to tickets. Labels come from fixed sets; a pool
// is one that exists.
type Metrics struct {
	issued   *prometheus.CounterVec
	redeemed *prometheus.CounterVec
	age      prometheus.Histogram
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		issued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "app2wxapp_tickets_issued_total", Help: "Tickets issued.",
		}, []string{"pool"}),
		redeemed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "app2wxapp_ticket_redemptions_total", Help: "Attempts to redeem a ticket, by result.",
		}, []string{"pool", "result"}),
		age: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "app2wxapp_ticket_age_ratio", Help: "Age of tickets at redemption as a share of their life.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, .75, .9, 1},
		}),
	}
	reg.MustRegister(m.issued, m.redeemed, m.age)
	return m
}

// result names the outcome of a redemption for the metric.
func result(done Redeemed, err error) string {
	if err == nil {
		if done.Repeated {
			return "repeated"
		}
		return "ok"
	}
	for _, r := range []struct {
		err  error
		name string
	}{
		{ErrUnknown, "unknown"}, {ErrExpired, "expired"}, {ErrVoid, "void"}, {ErrVerifier, "verifier"}, {ErrRedeemed, "replayed"},
		{userpool.ErrSecretRequired, "secret_required"}, {userpool.ErrSecretWrong, "invalid_secret"},
		{userpool.ErrBlocked, "blocked"}, {userpool.ErrRateLimited, "rate_limited"},
	} {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	if bad := (*userpool.InvalidError)(nil); errors.As(err, &bad) {
		return "invalid_request"
	}
	return "error"
}
