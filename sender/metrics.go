package sender

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/userpool"
)

// Metrics registers the metrics of sending and returns what Config.Observe takes.
func Metrics(reg prometheus.Registerer) func(poolID string, c userpool.Channel, p userpool.Provider, result string, took time.Duration) {
	sends := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "app2wxapp_sends_total", Help: "One-time codes handed to a provider, by result; setup is the operator's to mend.",
	}, []string{"pool", "channel", "provider", "result"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "app2wxapp_send_duration_seconds", Help: "Time to hand a one-time code to a provider, with all tries.",
		Buckets: []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"channel", "provider"})
	reg.MustRegister(sends, duration)
	return func(poolID string, c userpool.Channel, p userpool.Provider, result string, took time.Duration) {
		sends.WithLabelValues(poolID, string(c), string(p), result).Inc()
		duration.WithLabelValues(string(c), string(p)).Observe(took.Seconds())
	}
}
