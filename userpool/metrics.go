package userpool

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what costs money.
type Metrics struct {
	phones *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{phones: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "app2wxapp_phone_verifications_total", Help: "Phone numbers that WeChat verified; WeChat charges for each.",
	}, []string{"pool"})}
	reg.MustRegister(m.phones)
	return m
}
