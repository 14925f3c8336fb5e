package wechat

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// maxBody bounds what is read of an answer, and of its header. The longest
// answer is a token of some 512 characters.
const maxBody = 64 << 10

// request is one call.
type request struct {
	api    string
	app    string // AppID
	method string
	path   string
	query  url.Values
	body   any      // sent as JSON; nil for none
	hide   []string // what an error must not show
}

// answer is the answer to a call. It embeds a status.
type answer interface{ state() status }

// status is what every answer may have.
type status struct {
	Code int    `json:"errcode"` // absent and 0 both mean success
	Msg  string `json:"errmsg"`
}

func (s status) state() status { return s }

// do makes the call once and returns WeChat's answer. Errcode is
// looked at before the rest of the answer, and check before it is returned. With
// maxInFlight calls of the mini program under way it makes none.
func do[A answer](ctx context.Context, c *Client, r request, check func(A) error) (A, error) {
	if !c.inFlight.begin(r.app) {
		c.observe(r.api, ResultLimited, 0)
		var zero A
		return zero, unavailable(r.api, errLimited)
	}
	defer c.inFlight.end(r.app)
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()

	start := c.now()
	a, err := exchange(ctx, c, r, check)
	c.observe(r.api, resultOf(err), c.now().Sub(start))
	return a, err
}

// exchange is do without the measuring.
func exchange[A answer](ctx context.Context, c *Client, r request, check func(A) error) (A, error) {
	var zero, a A
	body, err := c.send(ctx, r)
	if err != nil {
		return zero, unavailable(r.api, err)
	}
	var said status
	if err = json.Unmarshal(body, &a); err == nil {
		said = a.state()
	} else if json.Unmarshal(body, &said) != nil {
		// What json says of a bad body may quote it: it is not passed on.
		return zero, unavailable(r.api, garbage("not the JSON of an answer"))
	}
	if said.Code != 0 {
		return zero, newError(r.api, said.Code, said.Msg, r.hide)
	}
	if err != nil {
		return zero, unavailable(r.api, garbage("not the JSON of this answer"))
	}
	if err := check(a); err != nil {
		return zero, unavailable(r.api, err)
	}
	return a, nil
}

// send returns the body of an HTTP 200 answer, whatever its content type:
// jscode2session says text/plain. Its errors can be shown.
func (c *Client) send(ctx context.Context, r request) ([]byte, error) {
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return nil, cause(err)
	}
	status, body, err := c.http.roundTrip(ctx, req)
	switch {
	case err != nil:
		return nil, cause(err)
	case status != http.StatusOK:
		return nil, fmt.Errorf("status %d", status)
	case len(body) > maxBody:
		return nil, garbage("more than 64 KiB")
	}
	return body, nil
}

// newRequest is where every request is built: what WeChat calls API signing
// would go here.
func (c *Client) newRequest(ctx context.Context, r request) (*http.Request, error) {
	target := c.baseURL + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	if r.body == nil {
		return http.NewRequestWithContext(ctx, r.method, target, nil)
	}
	body, err := json.Marshal(r.body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

var (
	errBroken  = errors.New("no HTTP answer")
	errTimeout = errors.New("timeout")
)

// cause returns what can be shown of a transport error. The text of a
// *url.Error is the URL, with AppSecret and code or access token in it; the
// texts of some others quote what the server sent. What is passed on is of
// kinds that name addresses and certificates at most.
func cause(err error) error {
	for ue := (*url.Error)(nil); errors.As(err, &ue); {
		err = ue.Err
	}
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.As(err, &op):
		return op
	case errors.As(err, &cert):
		return cert
	case isTimeout(err):
		return errTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	}
	return errBroken
}

// isTimeout tells whether err is that of an ended wait.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, errTimeout) || errors.As(err, &ne) && ne.Timeout()
}
