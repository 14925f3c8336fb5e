// Package sandbox simulates the WeChat calls that package wechat makes. It is
// not WeChat: codes, openids, unionids, tokens and phone numbers are made up
// here, and nothing was confirmed against the live servers. Never let a real
// user near it.
//
// A Server is an http.Handler that knows the mini programs that AddApp names.
// LoginCode and PhoneCode make the one-time codes that wx.login and the phone
// button would give. Its answers are those of WeChat, down to content types,
// rids and the order of checks; see README.md for all of them.
//
// It misbehaves on request: Fail spoils the next calls of one kind, and a code
// made for a user named after a Failure spoils the call it is used in.
package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"
)

// The simulated calls, as Fail, Calls and Count name them.
const (
	Login = "jscode2session"
	Token = "stable_token"
	Phone = "getuserphonenumber"
)

// Config is what a Server needs to know. The zero value will do.
type Config struct {
	// Now is the clock by which codes and tokens expire. Nil means time.Now.
	// Slow and Hang do not follow it: they take real time.
	Now func() time.Time
	// OpenIDMismatch is the errcode for a phone code that comes with the openid
	// of another user. WeChat does not document it. Zero means 40029.
	OpenIDMismatch int
	// LongTokens makes access tokens of 512 characters, the length that WeChat
	// asks callers to be ready for.
	LongTokens bool
}

// App is a mini program.
type App struct {
	ID     string // AppID
	Secret string // AppSecret
	// Platform names the Open Platform account that the mini program is bound
	// to. Apps of one account see the same unionids. Empty means not bound:
	// there are no unionids.
	Platform string
	// AllowedIPs may ask for access tokens. Empty means anyone may.
	AllowedIPs []netip.Addr
}

// Server is the simulator. It is safe for concurrent use.
type Server struct {
	cfg   Config
	codes codeStore
	calls recorder

	mu      sync.Mutex
	apps    map[string]*app   // by AppID
	tokenOf map[string]string // access token to AppID, of tokens that apps hold
	plans   map[string]plan   // by call
}

// app is an App and what stable_token keeps of it.
type app struct {
	App
	current, previous accessToken
	forced            []time.Time // force_refresh within the last day
}

// New returns a Server that knows no mini program yet.
func New(cfg Config) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OpenIDMismatch == 0 {
		cfg.OpenIDMismatch = 40029
	}
	return &Server{
		cfg:     cfg,
		apps:    make(map[string]*app),
		tokenOf: make(map[string]string),
		plans:   make(map[string]plan),
	}
}

// AddApp makes a mini program known. One that is known already gets the new
// secret and platform and keeps its access tokens.
func (s *Server) AddApp(a App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.apps[a.ID]; known != nil {
		known.App = a
		return
	}
	s.apps[a.ID] = &app{App: a}
}

// app returns the mini program's settings.
func (s *Server) app(id string) (App, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.apps[id]; a != nil {
		return a.App, true
	}
	return App{}, false
}

// ServeHTTP answers the simulated calls and the control calls. Anything else
// gets 404 and is kept for Unknown.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/sns/jscode2session":
		s.serveCall(w, r, Login)
	case "/cgi-bin/stable_token":
		s.serveCall(w, r, Token)
	case "/wxa/business/getuserphonenumber":
		s.serveCall(w, r, Phone)
	case "/sandbox/wechat/login-code":
		s.serveCode(w, r, Login)
	case "/sandbox/wechat/phone-code":
		s.serveCode(w, r, Phone)
	case "/sandbox/wechat/sealed":
		s.serveSealed(w, r)
	case "/sandbox/wechat/fail":
		s.serveFail(w, r)
	case "/sandbox/wechat/kill-token":
		s.serveKillToken(w, r)
	default:
		s.calls.unknown(r)
		http.Error(w, "This is app2wxapp's WeChat simulator, not WeChat. It has no "+r.URL.Path+".", http.StatusNotFound)
	}
}

// call is one simulated call on its way to an answer.
type call struct {
	now     time.Time
	method  string
	query   url.Values
	body    []byte
	remote  netip.Addr
	failure Failure // "" for none
}

// maxRequest bounds what is read of a request.
const maxRequest = 1 << 20

// serveCall carries the call out and then, if it is to fail, spoils the answer:
// what the call changed stays changed, as when an answer is lost on its way. A
// rejected access token is the exception, because WeChat checks it first.
func (s *Server) serveCall(w http.ResponseWriter, r *http.Request, api string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, "body too large", http.StatusRequestEntityTooLarge)
		return
	}
	c := call{now: s.cfg.Now(), method: r.Method, query: r.URL.Query(), body: body}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.remote = ap.Addr().Unmap()
	}
	s.calls.record(api, Call{Time: c.now, Method: c.method, Query: c.query, Body: string(body)})

	if c.failure = s.takePlan(api); c.failure == "" {
		c.failure = s.takeTrigger(api, c)
	}
	if c.failure == KillTokenFirst && api == Phone {
		s.killToken(c.query.Get("access_token"))
	}
	var a answer
	if !c.failure.beforeCode(api) {
		switch api {
		case Login:
			a = s.login(c)
		case Token:
			a = s.stableToken(c)
		case Phone:
			a = s.phone(c)
		}
	}
	a.contentType = "application/json; encoding=utf-8"
	if api == Login {
		a.contentType = "text/plain"
	}
	c.failure.spoil(w, r, api, c.now, a)
}

// answer is what WeChat would say, always with HTTP 200.
type answer struct {
	contentType string
	body        []byte
}

func (a answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", a.contentType)
	w.Write(a.body)
}

// ok returns the answer that is v as JSON.
func ok(v any) answer {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // of the fixed types here, none
	}
	return answer{body: bytes.TrimSuffix(b.Bytes(), []byte("\n"))}
}

// refuse returns the answer with errcode and errmsg. WeChat puts a comma before
// the rid of jscode2session only; the rid begins with the time.
func refuse(api string, now time.Time, code int, msg string) answer {
	sep := " "
	if api == Login {
		sep = ", "
	}
	return ok(struct {
		Code int    `json:"errcode"`
		Msg  string `json:"errmsg"`
	}{code, fmt.Sprintf("%s%srid: %08x-%08x-%08x", msg, sep, uint32(now.Unix()), rand.Uint32(), rand.Uint32())}) // #nosec G115 G404 -- looks like WeChat's rid and is no secret
}
