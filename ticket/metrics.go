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
	revoked  *prometheus.CounterVec
	age      prometheus.Histogram
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		issued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "app2wxapp_tickets_issued_total", Help: "Tickets issued.",
		}, []string{"pool"}),
		redeemed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "app2wxapp_ticket_redemptions_total", Help: "Attempts to redeem a ticket, by result, and other calls that were refused for the pool secret.",
		}, []string{"pool", "result"}),
		revoked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "app2wxapp_replay_revocations_total", Help: "Tokens that a replay of their ticket revoked.",
		}, []string{"pool"}),
		age: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "app2wxapp_ticket_age_ratio", Help: "Age of tickets at redemption as a share of their life.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, .75, .9, 1},
		}),
	}
	reg.MustRegister(m.issued, m.redeemed, m.revoked, m.age)
	return m
}

// Results that are more than a name for the metric.
const (
	resultOK       = "ok"
	resultRepeated = "repeated"
	resultReplayed = "replayed"
	resultError    = "error" // not the caller's
)

// result names the outcome of a redemption for the metric.
func result(done Redeemed, err error) string {
	if err == nil {
		if done.Repeated {
			return resultRepeated
		}
		return resultOK
	}
	for _, r := range []struct {
		err  error
		name string
	}{
		{ErrUnknown, "unknown"}, {ErrExpired, "expired"}, {ErrVoid, "void"}, {ErrVerifier, "verifier"}, {ErrRedeemed, resultReplayed},
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
	return resultError
}
