// Package sender sends one-time codes: by an operator's webhook, by Aliyun SMS
// and Tencent Cloud SMS, and by a mail server.
//
// A Service fits userpool.Senders. What it promises:
//
//   - Send ends within ten seconds, a try of it within five.
//   - A message is sent again only where nothing can have been sent before, or
//     where the second one does no harm: each provider's comment says which. An
//     SMS goes out once: it costs money, and a second one counts against the
//     number's limit.
//   - Neither errors nor Observe ever hold a number, an address, a code or a key,
//     whatever a provider answers.
//   - Certificates are checked, redirects are not followed, and no proxy of the
//     environment is asked: it would learn the code. Of an answer 64 KiB are read
//     at most, and nothing of it is shown but the provider's code.
//
// Where a webhook, a mail server or an endpoint stands is the operator's to say,
// private networks included: whoever sets it has the admin token. What is
// answered there reaches nobody, so that a wrong one cannot be read through this
// program.
package sender

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"app2wxapp/userpool"
)

const (
	// timeout bounds Send, tryTimeout one try of it.
	timeout    = 10 * time.Second
	tryTimeout = 5 * time.Second
)

// pauses are those before the second and the third try.
var pauses = []time.Duration{200 * time.Millisecond, time.Second}

// What Config.Observe is told of a Send.
const (
	ResultSent    = "sent"
	ResultRefused = "refused" // the number or address
	ResultLimited = "limited" // a limit of the provider
	ResultSetup   = "setup"   // the operator's settings or account: an alarm
	ResultFailed  = "failed"  // the provider does not answer, or fails
)

// Config is what a Service needs to know. The zero value sends.
type Config struct {
	// Now is the clock that requests are signed by. Nil means time.Now.
	Now func() time.Time
	// Roots are the certificates to trust. Nil means the system's.
	Roots *x509.CertPool
	// Observe is told of every Send that asked a provider: one of the Result
	// constants, and how long it took. Nil means that nobody wants to know.
	Observe func(poolID string, c userpool.Channel, p userpool.Provider, result string, took time.Duration)
}

// Service sends for any number of pools. It is safe for concurrent use.
type Service struct {
	now     func() time.Time
	tls     *tls.Config
	http    *http.Client
	observe func(poolID string, c userpool.Channel, p userpool.Provider, result string, took time.Duration)
}

var _ userpool.Senders = (*Service)(nil)

// New returns a Service. It makes no connection.
func New(c Config) *Service {
	s := &Service{now: c.Now, tls: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots}, observe: c.Observe}
	if s.now == nil {
		s.now = time.Now
	}
	if s.observe == nil {
		s.observe = func(string, userpool.Channel, userpool.Provider, string, time.Duration) {}
	}
	s.http = newHTTP(s.tls)
	return s
}

// Can implements userpool.Senders.
func (s *Service) Can(pool userpool.Pool, c userpool.Channel) bool {
	return pool.Sender(c).Provider != userpool.ProviderNone
}

// message is a message on its way.
type message struct {
	userpool.Message
	id      string // the same for all tries
	pool    userpool.Pool
	channel userpool.Channel
}

// try is one try to send. again tells that another one does no harm.
type try func(ctx context.Context, m message) (again bool, err error)

// Send implements userpool.Senders.
func (s *Service) Send(ctx context.Context, pool userpool.Pool, c userpool.Channel, m userpool.Message) error {
	if !s.Can(pool, c) {
		return userpool.ErrNoSender
	}
	if err := m.Validate(c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	to := pool.Sender(c).WithDefaults()
	start := time.Now()
	unsent, err := send(ctx, s.by(to), message{m, userpool.NewID(s.now()), pool, c})
	if err != nil {
		err = concealed(to.Provider, m, unsent, err)
	}
	s.observe(pool.ID, c, to.Provider, resultOf(err), time.Since(start))
	return err
}

// by returns how a sender's messages are sent.
func (s *Service) by(to userpool.Sender) try {
	switch to.Provider {
	case userpool.ProviderWebhook:
		return webhook{s, to.Webhook}.try
	case userpool.ProviderAliyun:
		return aliyun{s, to.Aliyun}.try
	case userpool.ProviderTencent:
		return tencent{s, to.Tencent}.try
	case userpool.ProviderSMTP:
		return mailServer{s, to.SMTP}.try
	}
	return func(context.Context, message) (bool, error) {
		return false, refusal{means: userpool.ErrSenderSetup, cause: errors.New("no such provider")}
	}
}

// send tries until it is sent, it makes no sense, or ctx ends. unsent tells that
// no try had a connection.
func send(ctx context.Context, one try, m message) (unsent bool, err error) {
	unsent = true
	for i := 0; ; i++ {
		within, cancel := context.WithTimeout(ctx, tryTimeout)
		again, err := one(within, m)
		cancel()
		unsent = unsent && unconnected(err)
		if err == nil || !again || i == len(pauses) {
			return unsent, err
		}
		select {
		case <-ctx.Done():
			return unsent, err
		case <-time.After(pauses[i]):
		}
	}
}

// refusal is why a try failed.
type refusal struct {
	means      error  // as that of a SendError
	code       string // as the provider spells it
	retryAfter time.Duration
	cause      error // a text of ours or of the network's, nothing of an answer
}

func (r refusal) Error() string { return fmt.Sprint(r.means, " ", r.code, " ", r.cause) }

func (r refusal) Unwrap() error { return r.cause }

// failed is the refusal of a provider that does not do its work.
func failed(cause error) refusal { return refusal{means: userpool.ErrSendFailed, cause: cause} }

// codeShape is what a provider's code looks like.
var codeShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$`)

// concealed returns the *userpool.SendError of what a try returned. A code that
// has no code's shape, or holds what was sent, is left out: answers may quote it.
func concealed(p userpool.Provider, m userpool.Message, unsent bool, err error) error {
	var r refusal
	if !errors.As(err, &r) {
		r = failed(networkCause(err))
	}
	number := strings.TrimPrefix(m.To, "+")
	if !codeShape.MatchString(r.code) || strings.Contains(r.code, m.Code) || strings.Contains(r.code, number) || strings.Contains(r.code, strings.TrimPrefix(number, "86")) {
		r.code = ""
	}
	return &userpool.SendError{Means: r.means, Provider: string(p), Code: r.code, RetryAfter: r.retryAfter, Unsent: unsent, Cause: r.cause}
}

// Causes that stand for errors whose own texts may quote what was sent or
// answered.
var (
	errTimeout  = errors.New("no answer in time")
	errBroken   = errors.New("the connection broke off")
	errCanceled = fmt.Errorf("given up: %w", context.Canceled)
)

// networkCause returns what an error of the network may be told as: those of
// looking up, connecting and certificates as they are.
func networkCause(err error) error {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return errCanceled
	case isTimeout(err):
		return errTimeout
	case badCertificate(err) != nil:
		return badCertificate(err)
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &op) && op.Op == "dial":
		return op
	}
	return errBroken
}

// unconnected tells whether a name was not found or a connection was refused, as
// networkCause tells it.
func unconnected(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	return errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial"
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// badCertificate returns what is wrong with the other side's TLS, nil if that is
// not it.
func badCertificate(err error) error {
	var cert *tls.CertificateVerificationError
	var header tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.As(err, &cert):
		return cert
	case errors.As(err, &header), errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("no TLS is spoken there")
	case errors.As(err, &alert):
		return alert
	}
	return nil
}

func resultOf(err error) string {
	switch {
	case err == nil:
		return ResultSent
	case errors.Is(err, userpool.ErrRecipientRefused):
		return ResultRefused
	case errors.Is(err, userpool.ErrSendLimited):
		return ResultLimited
	case errors.Is(err, userpool.ErrSenderSetup):
		return ResultSetup
	}
	return ResultFailed
}
