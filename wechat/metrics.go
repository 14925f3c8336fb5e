package wechat

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics registers the metrics of the calls and returns what Config.Observe
// takes.
func Metrics(reg prometheus.Registerer) func(api, result string, took time.Duration) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "app2wxapp_wechat_requests_total", Help: "Calls to WeChat, by result.",
	}, []string{"api", "result"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "app2wxapp_wechat_request_duration_seconds", Help: "Time of a call to WeChat.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"api"})
	reg.MustRegister(requests, duration)
	return func(api, result string, took time.Duration) {
		requests.WithLabelValues(api, result).Inc()
		if result != ResultLimited {
			duration.WithLabelValues(api).Observe(took.Seconds())
		}
	}
}
