// Package admin is the operator's API, contract section 5: pools with their
// settings and secrets, the users of a pool, the audit trail, and backups. It is
// served on the admin listener only and asks for the admin token.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

const (
	failuresPerMinute = 60 // wrong admin tokens from one address
	defaultLimit      = 50
	maxLimit          = 200
)

// Calls without the admin token.
var (
	ErrUnauthenticated = errors.New("admin: the admin token is missing")
	// ErrWrongToken says that another one was shown.
	ErrWrongToken = errors.New("admin: the admin token is wrong")
)

// Tokens makes sure that tokens can be signed; *token.Service does.
type Tokens interface {
	Prepare(ctx context.Context, alg string) error
}

// Config is what an API is made of; every field is required but
// Limits.
type Config struct {
	Pools  *userpool.Service
	Tokens Tokens
	Token  userpool.Secret // what callers show as Bearer
	Now    func() time.Time
	Events audit.Store
	// Failures counts calls without the token.
	Failures *audit.Tally
	// Backup returns a copy of the store, which is gone when it is closed.
	Backup func(context.Context) (*os.File, error)
	Log    *slog.Logger
	// Senders send the codes that an operator tries senders with.
	Senders userpool.Senders
	// Limits shares what is counted with other processes; nil for none.
	Limits *userpool.Limits
}

// API is the handlers.
type API struct {
	pools    *userpool.Service
	tokens   Tokens
	token    [sha256.Size]byte
	now      func() time.Time
	failures *userpool.Limiter[netip.Addr]
	events   audit.Store
	failed   *audit.Tally
	senders  userpool.Senders
	backup   func(context.Context) (*os.File, error)
	log      *slog.Logger
}

// New returns an API.
func New(c Config) *API {
	return &API{
		pools: c.Pools, tokens: c.Tokens, token: sha256.Sum256([]byte(c.Token)), now: c.Now,
		failures: userpool.NewSharedLimiter[netip.Addr](c.Limits, "admin.failures", failuresPerMinute),
		events:   c.Events, failed: c.Failures, senders: c.Senders, backup: c.Backup, log: c.Log,
	}
}

// Authenticate lets calls with the admin token pass, as an operator's.
func (a *API) Authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		now := a.now()
		from := wire.Addr(c)
		scheme, shown, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
		bearer, shown := strings.EqualFold(scheme, "Bearer"), strings.TrimSpace(shown)
		sum := sha256.Sum256([]byte(shown))
		if bearer && subtle.ConstantTimeCompare(sum[:], a.token[:]) == 1 {
			ctx := audit.With(c.Request().Context(), audit.Actor{Role: audit.Operator, Addr: from})
			c.SetRequest(c.Request().WithContext(ctx))
			if pool, err := a.pools.Pool(ctx, c.Param("id")); err == nil {
				c.Set(wire.KeyPool, pool.ID) // for the log
			}
			return next(c)
		}
		addr := userpool.AddrKey(from)
		a.failed.Count(audit.Event{At: now, Type: audit.AdminLoginFailed, By: audit.Actor{Role: audit.Caller, Addr: addr}})
		if err := a.failures.Check(addr, now); err != nil {
			return err
		}
		a.failures.Count(addr, now)
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, "Bearer")
		if bearer && shown != "" {
			return ErrWrongToken
		}
		return ErrUnauthenticated
	}
}

// Query is around the handler of a call: it refuses what its query may not have.
// These are the names that it may.
func Query(names ...string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := wire.CheckQuery(c.Request(), names...); err != nil {
				return err
			}
			return next(c)
		}
	}
}

// page reads limit and cursor of a list.
func page(c echo.Context) (after string, limit int, err error) {
	limit = defaultLimit
	if text := c.QueryParam("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxLimit {
			return "", 0, userpool.Invalid("limit", "must be 1 to 200", "必须在 1 到 200 之间")
		}
	}
	after = c.QueryParam("cursor")
	if after != "" && !userpool.ValidID(after) {
		return "", 0, userpool.Invalid("cursor", "must be a nextCursor of an earlier answer", "必须为之前返回的 nextCursor")
	}
	return after, limit, nil
}

// list is a page of a list.
type list[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"nextCursor"`
}

func created(c echo.Context, v any) error { return wire.Respond(c, http.StatusCreated, v) }
