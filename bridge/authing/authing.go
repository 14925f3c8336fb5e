// Package authing speaks what Authing's mini program SDK (npm
// authing-wxapp-sdk, from 4.0) and its management SDK say to Authing's servers.
// README.md says which subset, and where it departs.
//
// REST calls answer {"code","message","data"}, GraphQL ones {"data"} or
// {"errors","data"}; what a caller can mend in a call is HTTP 200 with a number
// in it, since half of the clients look at nothing else and the other half throws
// away the body of any other status.
//
// A handler decodes, makes one call of the domain, and encodes.
package authing

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/vektah/gqlparser/v2/ast"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/upload"
	"app2wxapp/userpool"
)

const (
	uploadsPerMinute = 4  // from one address
	maxReading       = 32 // uploads that are being read at a time
)

// Config is what an API is made of; every field is required.
type Config struct {
	Pools   *userpool.Service
	Tickets *ticket.Service // for the limit of wrong secrets
	Tokens  *token.Service
	Uploads *upload.Service
	Now     func() time.Time
}

// API is the dialect's handlers.
type API struct {
	pools   *userpool.Service
	tickets *ticket.Service
	tokens  *token.Service
	uploads *upload.Service
	now     func() time.Time
	sent    *userpool.Limiter[netip.Addr] // uploads, by address
	reading chan struct{}                 // has one for each upload that is being read
	v1, v2  *ast.Schema
}

// New returns an API.
func New(c Config) *API {
	return &API{
		pools: c.Pools, tickets: c.Tickets, tokens: c.Tokens, uploads: c.Uploads, now: c.Now,
		sent:    userpool.NewLimiter[netip.Addr](uploadsPerMinute),
		reading: make(chan struct{}, maxReading),
		v1:      mustSchema("schema_v1.graphql", schemaV1), v2: mustSchema("schema.graphql", schemaV2),
	}
}

// acting returns the request's context, in which the caller acts in that role.
func acting(c echo.Context, role audit.Role) context.Context {
	return audit.With(c.Request().Context(), audit.Actor{Role: role, Addr: wire.Addr(c)})
}

// named returns the pool that the request names by x-authing-userpool-id or, as
// clients made with an application's id do, by x-authing-app-id: the pool is its
// own only application. Some write "undefined" for nothing.
func (a *API) named(c echo.Context) (userpool.Pool, error) {
	for _, header := range []string{"x-authing-userpool-id", "x-authing-app-id"} {
		if id := strings.TrimSpace(c.Request().Header.Get(header)); id != "" && id != "undefined" {
			return a.pool(c, id)
		}
	}
	return userpool.Pool{}, userpool.Invalid("x-authing-userpool-id", "is required (or x-authing-app-id)", "必填（或 x-authing-app-id）")
}

func (a *API) pool(c echo.Context, id string) (userpool.Pool, error) {
	pool, err := a.pools.Pool(c.Request().Context(), id)
	if err == nil {
		c.Set("pool", pool.ID) // for the log
	}
	return pool, err
}

// bearer returns the token of the Authorization header, which has it as Bearer
// or bare; "" for none.
func bearer(r *http.Request) string {
	header := strings.TrimSpace(r.Header.Get(echo.HeaderAuthorization))
	if scheme, raw, ok := strings.Cut(header, " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(raw)
	}
	if strings.EqualFold(header, "Bearer") || header == "undefined" {
		return ""
	}
	return header
}

// ok answers a REST call.
func ok(c echo.Context, message string, data any) error {
	return wire.OK(c, envelope{200, message, data})
}

// envelope is every answer of a REST call.
type envelope struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data"`
}
