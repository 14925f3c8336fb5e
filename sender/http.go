package sender

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"app2wxapp/userpool"
)

const (
	// maxAnswer is how much of an answer is read, in bytes.
	maxAnswer = 64 << 10

	connectTimeout = 3 * time.Second
	idleTimeout    = 30 * time.Second
)

// newHTTP returns the client of all calls. What it posts it sends once:
// net/http's Transport makes a POST again only if nothing of it was written.
func newHTTP(config *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSClientConfig:        config.Clone(),
			TLSHandshakeTimeout:    connectTimeout,
			IdleConnTimeout:        idleTimeout,
			MaxIdleConnsPerHost:    4,
			MaxResponseHeaderBytes: maxAnswer,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what came back of a call.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// post posts the body. reached tells that a connection was there, so that the
// other side may have got it. A redirect, wrong TLS and an answer that is too
// long are refusals.
func (s *Service) post(ctx context.Context, to *url.URL, header http.Header, body []byte) (a answer, reached bool, err error) {
	var got atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { got.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return a, false, refusal{means: userpool.ErrSenderSetup, cause: errors.New("the URL cannot be used")}
	}
	req.Header = header
	req.Header.Set("User-Agent", "app2wxapp")
	res, err := s.http.Do(req)
	if err != nil {
		return a, got.Load(), unreached(err)
	}
	defer res.Body.Close()
	a = answer{status: res.StatusCode, header: res.Header}
	if a.body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1)); err != nil {
		return a, true, unreached(err)
	}
	switch {
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return a, true, refusal{means: userpool.ErrSenderSetup, code: status(res.StatusCode), cause: errors.New("redirects are not followed")}
	case len(a.body) > maxAnswer:
		return a, true, failed(fmt.Errorf("an answer of more than %d KiB", maxAnswer>>10))
	}
	return a, true, nil
}

// unreached is the refusal of a call without an answer: wrong TLS is the
// operator's to mend.
func unreached(err error) refusal {
	r := failed(networkCause(err))
	if badCertificate(err) != nil {
		r.means = userpool.ErrSenderSetup
	}
	return r
}

func status(code int) string { return fmt.Sprintf("HTTP-%d", code) }
