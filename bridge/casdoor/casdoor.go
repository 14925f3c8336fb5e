// Package casdoor speaks the dialect of Casdoor and of Hanzo IAM, which is made
// from it, as far as a WeChat mini program and its back end use it: the token
// endpoint with tag=wechat_miniprogram, refresh, introspection, revocation,
// userinfo, get-account, update-user, discovery, JWKS. README.md says which
// subset, and where it departs.
//
// An application and an organization are a user pool: client_id, organization
// and application name are the pool's id, client_secret is a pool secret. A
// user's name is userpool.User.Username.
//
// Every handler answers under one URL, below /v1/iam; Canonical says which other
// URLs are names of it.
package casdoor

import (
	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// Config is what an API is made of; every field is required.
type Config struct {
	Pools   *userpool.Service
	Tickets *ticket.Service // for the limit of wrong secrets
	Tokens  *token.Service
	Issuer  string // the server's public URL, without a slash at its end
}

// API answers the dialect's calls.
type API struct {
	pools   *userpool.Service
	tickets *ticket.Service
	tokens  *token.Service
	issuer  string
}

// New returns an API.
func New(c Config) *API {
	return &API{
		pools: c.Pools, tickets: c.Tickets, tokens: c.Tokens, issuer: c.Issuer,
	}
}

// as has the request act in that role from now on.
func as(c echo.Context, role audit.Role) {
	c.SetRequest(c.Request().WithContext(audit.With(c.Request().Context(), audit.Actor{Role: role, Addr: wire.Addr(c)})))
}

// of notes which pool the request is about.
func of(c echo.Context, pool userpool.Pool) { c.Set(wire.KeyPool, pool.ID) }

// nameOf is what Casdoor calls a user's name. A user who has no username did
// not come this way.
func nameOf(u userpool.User) string {
	if u.Username == "" {
		return u.ID
	}
	return u.Username
}
