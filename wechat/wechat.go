// Package wechat asks WeChat what a mini program's one-time codes stand for.
//
// A Client makes three calls, named as WeChat's documentation names them:
//
//	Client.Code2Session   jscode2session       login code → openid, unionid
//	Client.Phone          getuserphonenumber   phone code → phone number
//	(inside Phone)        stable_token         AppID, AppSecret → access token
//
// OpenPhone and OpenProfile are Code2Session for clients that send data sealed
// under the session_key.
//
// What it promises:
//
//   - A one-time code is sent once. The only exception is a phone code whose
//     access token was rejected: WeChat looks at the token first.
//   - Neither error texts nor Observe ever hold an AppSecret, a code, an access
//     token, an openid or a session_key. The session_key is not even decoded.
//   - At most 256 calls of a mini program are under way: when WeChat hangs, the
//     next one fails at once and holds nothing.
//   - Every error wraps one of userpool.ErrCode, ErrWeChatRisk, ErrWeChatSetup
//     and ErrWeChatUnavailable. One that WeChat gave by errcode is an *Error.
//
// Package wechat/sandbox simulates the other side.
package wechat

import (
	"context"
	"fmt"
	"strings"
	"time"

	"app2wxapp/userpool"
)

const (
	// DefaultBaseURL is WeChat's API host.
	DefaultBaseURL = "https://api.weixin.qq.com"
	// DefaultTimeout is how long one call may take in all.
	DefaultTimeout = 5 * time.Second

	connectTimeout = 2 * time.Second
	// idleTimeout is short: a call on a connection that WeChat has just closed
	// fails, and is not made again.
	idleTimeout = 5 * time.Second
)

// The three calls, as Config.Observe and Error name them.
const (
	JSCode2Session     = "jscode2session"
	StableToken        = "stable_token"
	GetUserPhoneNumber = "getuserphonenumber"
)

// Config is what a Client needs to know. The zero value is a client of WeChat
// itself.
type Config struct {
	// BaseURL is where the paths of the calls are appended, scheme and host.
	// It is used as it is: who reads it from a person checks it. Empty means
	// DefaultBaseURL.
	BaseURL string
	// Timeout ends a call, whatever it is doing; connecting ends after two
	// seconds at most. Zero means DefaultTimeout.
	Timeout time.Duration
	// Now is the clock that tokens expire by and watermarks are checked with.
	// Nil means time.Now.
	Now func() time.Time
	// Observe is told of every call that was made, and of those that were
	// ResultLimited: which one, one of the Result constants, and how long it took. It is called from several
	// goroutines. Nil means that nobody wants to know.
	Observe func(api, result string, took time.Duration)
}

// Client calls WeChat for any number of mini programs. It is safe for
// concurrent use and fits userpool.WeChat.
type Client struct {
	baseURL string
	timeout time.Duration
	now     func() time.Time
	observe func(api, result string, took time.Duration)

	http     transport
	tokens   tokens
	inFlight inFlight
}

var _ userpool.WeChat = (*Client)(nil)

// New returns a client. It makes no call.
func New(cfg Config) *Client {
	c := &Client{
		baseURL: strings.TrimRight(cfg.BaseURL, "/"),
		timeout: cfg.Timeout,
		now:     cfg.Now,
		observe: cfg.Observe,
		http:    &conns{keep: idleTimeout},
	}
	if c.baseURL == "" {
		c.baseURL = DefaultBaseURL
	}
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.observe == nil {
		c.observe = func(string, string, time.Duration) {}
	}
	return c
}

// session is WeChat's answer to jscode2session. It leaves session_key out: it
// opens what clients of an old SDK send, see keyedSession, and must not reach
// anybody.
type session struct {
	status
	OpenID  string `json:"openid"`
	UnionID string `json:"unionid"`
}

// Code2Session tells whose login code this is. The code may be spent even when
// an error is returned: a new attempt needs a new one.
//
// WeChat's page: api_code2session.
func (c *Client) Code2Session(ctx context.Context, app userpool.App, code string) (userpool.Session, error) {
	if err := checkInput(JSCode2Session, app, code); err != nil {
		return userpool.Session{}, err
	}
	s, err := do(ctx, c, codeRequest(app, code), session.check)
	return s.known(), err
}

// known is what others may know of it.
func (s session) known() userpool.Session {
	return userpool.Session{OpenID: s.OpenID, UnionID: s.UnionID}
}

func (s session) check() error {
	switch {
	case !wellFormedID(s.OpenID):
		return garbage("no well-formed openid")
	case s.UnionID != "" && !wellFormedID(s.UnionID):
		return garbage("malformed unionid")
	}
	return nil
}

// maxID bounds openid and unionid. Openids are seen with 28 characters; no page
// gives a length of either.
const maxID = 128

// wellFormedID tells whether s can be an openid or a unionid.
func wellFormedID(s string) bool {
	for _, r := range s {
		switch {
		case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '_', r == '-':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxID
}

// maxCode is the longest code that is worth a call, in bytes.
const maxCode = 512

// checkInput returns what is wrong with the arguments of a call that is not
// worth making.
func checkInput(api string, app userpool.App, code string) error {
	if app.ID == "" || app.Secret == "" {
		return fmt.Errorf("wechat: %s: no AppID or AppSecret: %w", api, userpool.ErrWeChatSetup)
	}
	if code == "" || len(code) > maxCode {
		return fmt.Errorf("wechat: %s: a code of %d bytes: %w", api, len(code), userpool.ErrCode)
	}
	for i := range len(code) {
		if code[i] < ' ' || code[i] > '~' {
			return fmt.Errorf("wechat: %s: a code that is not printable ASCII: %w", api, userpool.ErrCode)
		}
	}
	return nil
}
