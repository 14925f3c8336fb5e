// Package oauth is OAuth 2.0 and OpenID Connect over the domain's verbs: a
// ticket is redeemed at the token endpoint as a grant, and what comes of it can
// be refreshed, introspected, revoked and asked about the user.
//
//	POST /oauth/token        ticket or refresh token → access token, refresh token, id_token
//	POST /oauth/introspect   RFC 7662
//	POST /oauth/revoke       RFC 7009
//	GET, POST /oauth/userinfo    OpenID Connect Core §5.3
//	GET, POST /oauth/logout      OpenID Connect RP-Initiated Logout
//	GET /.well-known/…       RFC 8414, OpenID Connect Discovery
//
// The client is the pool: client_id is its id, client_secret the pool secret.
// README.md says which subset is spoken and where it departs.
package oauth

import (
	"time"

	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// GrantTicket is the grant_type of a ticket.
const GrantTicket = "urn:app2wxapp:grant-type:ticket"

const grantRefresh = "refresh_token"

// Config is what an API is made of; every field is required.
type Config struct {
	Pools   *userpool.Service
	Tickets *ticket.Service
	Tokens  *token.Service
	Issuer  string // the server's public URL, without a slash at its end
	Now     func() time.Time
}

// API has a handler for each endpoint.
type API struct {
	pools   *userpool.Service
	tickets *ticket.Service
	tokens  *token.Service
	issuer  string
	now     func() time.Time
}

// New returns an API.
func New(c Config) *API {
	return &API{pools: c.Pools, tickets: c.Tickets, tokens: c.Tokens, issuer: c.Issuer, now: c.Now}
}
