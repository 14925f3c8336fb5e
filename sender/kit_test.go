package sender_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"app2wxapp/sender"
	"app2wxapp/userpool"
)

// What the tests send, and what must be seen nowhere else.
const (
	number  = "13876543210"
	address = "planted.person@example.com"
	code    = "824613"
	key     = "planted-provider-key"
)

// at is the clock.
var at = time.Date(2026, 11, 22, 3, 4, 5, 0, time.UTC)

func sms() userpool.Message {
	return userpool.Message{To: "+86" + number, Code: code, Purpose: "bind", Life: 5 * time.Minute}
}

func email() userpool.Message {
	m := sms()
	m.To = address
	return m
}

// pool returns a pool with that sender, which must be valid.
func pool(t testing.TB, c userpool.Channel, s userpool.Sender) userpool.Pool {
	t.Helper()
	settings := userpool.Settings{Name: "Shop", AppID: "wx0", AppSecret: "s"}
	settings.SetSender(c, s)
	if err := settings.Validate(); err != nil {
		t.Fatal(err)
	}
	return userpool.Pool{ID: "p1", Settings: settings}
}

// post is a Service and what it told of itself.
type post struct {
	*sender.Service
	t   testing.TB
	reg *prometheus.Registry
}

func newPost(t testing.TB, roots *x509.CertPool) *post {
	reg := prometheus.NewRegistry()
	return &post{t: t, reg: reg, Service: sender.New(sender.Config{Now: func() time.Time { return at }, Roots: roots, Observe: sender.Metrics(reg)})}
}

// send sends, and fails the test if anything of the message shows.
func (p *post) send(c userpool.Channel, s userpool.Sender, m userpool.Message) *userpool.SendError {
	p.t.Helper()
	return p.sendWithin(context.Background(), c, s, m)
}

func (p *post) sendWithin(ctx context.Context, c userpool.Channel, s userpool.Sender, m userpool.Message) *userpool.SendError {
	p.t.Helper()
	err := p.Send(ctx, pool(p.t, c, s), c, m)
	p.hides(err)
	if err == nil {
		return nil
	}
	var e *userpool.SendError
	if !errors.As(err, &e) {
		p.t.Fatalf("Send returned %T: %v, want a *SendError", err, err)
	}
	if !errors.Is(err, userpool.ErrSendFailed) {
		p.t.Errorf("%v is no ErrSendFailed", err)
	}
	return e
}

// hides fails the test if the error, a log of it or the metrics show what was
// sent or the keys.
func (p *post) hides(err error) {
	p.t.Helper()
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Error("send", "err", err)
	fmt.Fprintf(&b, "%v %+v %#v", err, err, err)
	for e := err; e != nil; e = errors.Unwrap(e) {
		fmt.Fprintf(&b, " %v", e)
	}
	families, gathered := p.reg.Gather()
	if gathered != nil {
		p.t.Fatal(gathered)
	}
	for _, f := range families {
		b.WriteString(f.String())
	}
	for _, secret := range []string{number, "planted.person", code, key} {
		if strings.Contains(b.String(), secret) {
			p.t.Errorf("%s shows in %s", secret, b.String())
		}
	}
}

// wantResult fails the test unless there was one Send of that result.
func (p *post) wantResult(c userpool.Channel, provider userpool.Provider, result string) {
	p.t.Helper()
	want := fmt.Sprintf("# HELP app2wxapp_sends_total One-time codes handed to a provider, by result; setup is the operator's to mend.\n"+
		"# TYPE app2wxapp_sends_total counter\napp2wxapp_sends_total{channel=%q,pool=\"p1\",provider=%q,result=%q} 1\n", c, provider, result)
	if err := testutil.GatherAndCompare(p.reg, strings.NewReader(want), "app2wxapp_sends_total"); err != nil {
		p.t.Error(err)
	}
}

// want fails the test unless the error means that, with that code of the
// provider.
func want(t testing.TB, what string, got *userpool.SendError, means error, code string) {
	t.Helper()
	switch {
	case means == nil && got != nil:
		t.Errorf("%s: %v, want it sent", what, got)
	case means == nil:
	case got == nil:
		t.Errorf("%s: sent, want %v", what, means)
	case got.Means != means || got.Code != code:
		t.Errorf("%s: %v, code %q, want %v, %q", what, got, got.Code, means, code)
	}
}

// standIn answers in a provider's place.
type standIn struct {
	*httptest.Server
	mu    sync.Mutex
	calls []call
}

// call is a request as it came.
type call struct {
	*http.Request
	body string
}

// newStandIn answers with answer, which is told how many calls there were before.
func newStandIn(t testing.TB, answer func(n int, w http.ResponseWriter, c call)) *standIn {
	s := &standIn{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c := call{r, string(b)}
		s.mu.Lock()
		s.calls = append(s.calls, c)
		n := len(s.calls) - 1
		s.mu.Unlock()
		answer(n, w, c)
	}))
	t.Cleanup(s.Close)
	return s
}

// answering answers always so.
func answering(t testing.TB, status int, body string, header ...string) *standIn {
	return newStandIn(t, func(_ int, w http.ResponseWriter, _ call) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

// all returns the calls.
func (s *standIn) all() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]call{}, s.calls...)
}

// wantCalls fails the test unless there were so many.
func (s *standIn) wantCalls(t testing.TB, what string, n int) {
	t.Helper()
	if got := len(s.all()); got != n {
		t.Errorf("%s: %d calls, want %d", what, got, n)
	}
}

// hanging takes connections and answers nothing.
func hanging(t testing.TB) string {
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		on.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
	})
	go func() {
		for {
			c, err := on.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
		}
	}()
	return on.Addr().String()
}

// closed returns an address where nobody listens.
func closed(t testing.TB) string {
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer on.Close()
	return on.Addr().String()
}

// certificate returns a certificate for the host, and what trusts it.
func certificate(t testing.TB, host string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if ip := net.ParseIP(host); ip != nil {
		cert.DNSNames, cert.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if parsed, err := x509.ParseCertificate(der); err == nil {
		roots.AddCert(parsed)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}, roots
}
