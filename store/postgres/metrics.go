package postgres

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	took    prometheus.Histogram
	size    prometheus.Histogram
	retries prometheus.Counter
	skew    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "app2wxapp_store_commit_seconds", Help: "Time of a statement that calls share, from its sending to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		size: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "app2wxapp_store_commit_writes", Help: "Writes that shared a statement.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "app2wxapp_store_retries_total", Help: "Statements and transactions that changed nothing and ran again.",
		}),
		skew: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "app2wxapp_store_clock_skew_seconds", Help: "PostgreSQL's clock less this machine's, at the last look.",
		}),
	}
	reg.MustRegister(m.took, m.size, m.retries, m.skew)
	return m
}
