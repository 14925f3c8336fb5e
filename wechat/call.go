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

// do makes the call once and returns WeChat's answer. Errcode is
// looked at before the answer is decoded, and check before it is returned. With
// maxInFlight calls of the mini program under way it makes none.
func do[A any](ctx context.Context, c *Client, r request, check func(A) error) (A, error) {
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
func exchange[A any](ctx context.Context, c *Client, r request, check func(A) error) (A, error) {
	var zero, a A
	body, err := c.send(ctx, r)
	if err != nil {
		return zero, unavailable(r.api, err)
	}
	var status struct {
		Code int    `json:"errcode"` // absent and 0 both mean success
		Msg  string `json:"errmsg"`
	}
	// What json says of a bad body may quote it: it is not passed on.
	if json.Unmarshal(body, &status) != nil {
		return zero, unavailable(r.api, garbage("not the JSON of an answer"))
	}
	if status.Code != 0 {
		return zero, newError(r.api, status.Code, status.Msg, r.hide)
	}
	if json.Unmarshal(body, &a) != nil {
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
	resp, err := c.http.RoundTrip(req)
	if err != nil {
		return nil, cause(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, cause(err)
	}
	if len(body) > maxBody {
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
	var body []byte
	if r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, once{bytes.NewReader(body)})
	if err != nil {
		return nil, err
	}
	if r.body != nil {
		req.ContentLength = int64(len(body))
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// once is a body that net/http cannot send a second time. It would silently
// repeat a GET, and a POST of which it wrote nothing yet, when a reused
// connection dies; jscode2session is a GET that spends a code. Of an empty body
// nothing is sent.
type once struct{ io.Reader }

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
