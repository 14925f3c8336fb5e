package userpool

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what costs money or time, and sign-ins that are to be finished.
type Metrics struct {
	phones    *prometheus.CounterVec
	begun     *prometheus.CounterVec
	finished  *prometheus.CounterVec
	codes     *prometheus.CounterVec
	passwords *prometheus.CounterVec
	hashings  prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		phones: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "app2wxapp_phone_verifications_total", Help: "Phone numbers that WeChat verified; WeChat charges for each.",
		}, []string{"pool"}),
		begun: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "app2wxapp_signins_begun_total", Help: "Unknown users who were told to bind an account or to register.",
		}, []string{"pool"}),
		finished: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "app2wxapp_signins_finished_total", Help: "What became of tries to bind an account or to register.",
		}, []string{"pool", "result"}),
		codes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "app2wxapp_codes_total", Help: "One-time codes that were asked for; providers charge for those that are sent.",
		}, []string{"pool", "channel", "result"}),
		passwords: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "app2wxapp_passwords_total", Help: "Passwords that users showed, by what became of them.",
		}, []string{"pool", "result"}),
		hashings: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "app2wxapp_password_hashings_total", Help: "Hashings of passwords, comparisons among them; each takes memory and time.",
		}),
	}
	reg.MustRegister(m.phones, m.begun, m.finished, m.codes, m.passwords, m.hashings)
	return m
}

// sendResult returns what became of a code, as a label.
func sendResult(err error) string {
	switch {
	case err == nil:
		return "sent"
	case errors.Is(err, ErrRateLimited), errors.Is(err, ErrTooManyCodes):
		return "limited"
	}
	return "failed"
}
