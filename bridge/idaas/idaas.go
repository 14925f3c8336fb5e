// Package idaas speaks the SDK login calls of BambooCloud's IDaaS (竹云), as a
// WeChat mini program uses them: sign-in, binding an account by phone, the
// id_token and the session_token that gives new ones, sign-out. README.md says
// which subset, and where it departs.
//
// An application is a user pool: X-client-id is the pool's id. No secret exists
// in this family; the codes that WeChat takes for this pool's mini program alone
// are what is proved.
package idaas

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// failuresPerMinute is how many state tokens, session tokens and codes that do
// not hold one address may show.
const failuresPerMinute = 60

// Config is what an API is made of; every field is required but Limits and
// ErrorPrefix.
type Config struct {
	Pools  *userpool.Service
	Tokens *token.Service
	Now    func() time.Time
	Issuer string // the server's public URL, without a slash at its end
	// Limits shares what is counted with other processes; nil for none.
	Limits *userpool.Limits
	// ErrorPrefix stands before every error code.
	ErrorPrefix string
}

// API answers the dialect's calls.
type API struct {
	pools    *userpool.Service
	tokens   *token.Service
	now      func() time.Time
	issuer   string
	prefix   string
	failures *userpool.Limiter[netip.Addr]
}

// New returns an API.
func New(c Config) *API {
	return &API{
		pools: c.Pools, tokens: c.Tokens, now: c.Now, issuer: c.Issuer, prefix: c.ErrorPrefix,
		failures: userpool.NewSharedLimiter[netip.Addr](c.Limits, "idaas.failures", failuresPerMinute),
	}
}

// What a caller has to send besides the body.
var (
	errNoClient = errors.New("idaas: no X-client-id")
	errDevice   = errors.New("idaas: a header that tells of the device is missing")
)

// client returns the pool of X-client-id, for a request that tells of its device
// as all must. What it tells proves nothing and is not kept.
func (a *API) client(c echo.Context) (userpool.Pool, error) {
	id := header(c, "X-client-id")
	if id == "" {
		return userpool.Pool{}, errNoClient
	}
	pool, err := a.pools.Pool(c.Request().Context(), id)
	if err != nil {
		return pool, err
	}
	c.Set(wire.KeyPool, pool.ID)
	for _, name := range []string{"X-operating-sys-version", "X-device-fingerprint", "X-agent"} {
		if header(c, name) == "" {
			return pool, errDevice
		}
	}
	c.SetRequest(c.Request().WithContext(audit.With(c.Request().Context(), audit.Actor{Role: audit.User, Addr: wire.Addr(c)})))
	return pool, nil
}

// header returns a header without the white space around it, which the vendor's
// own examples have, in bodies, too.
func header(c echo.Context, name string) string {
	return strings.TrimSpace(c.Request().Header.Get(name))
}

// read reads texts of the body, which is JSON whatever its Content-Type says, and
// trims them.
func read(c echo.Context, texts map[string]*string) error {
	body, err := wire.ReadBody(c.Request())
	if err != nil {
		return err
	}
	fields := wire.Fields{}
	for name, to := range texts {
		fields[name] = to
	}
	if err := wire.ReadText(body, fields); err != nil {
		return err
	}
	for _, to := range texts {
		*to = strings.TrimSpace(*to)
	}
	return nil
}

// guarded calls do unless too much of what came from this address did not hold,
// and counts that it does not.
func (a *API) guarded(c echo.Context, do func() error) error {
	from := userpool.AddrKey(wire.Addr(c))
	if err := a.failures.Check(from, a.now()); err != nil {
		return err
	}
	err := do()
	for _, failure := range []error{
		userpool.ErrStateInvalid, userpool.ErrStateExpired, userpool.ErrTooManyTries, userpool.ErrCode, userpool.ErrAccountNotFound, token.ErrSession,
	} {
		if errors.Is(err, failure) {
			a.failures.Count(from, a.now())
			break
		}
	}
	return err
}
