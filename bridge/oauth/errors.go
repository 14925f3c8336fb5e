package oauth

import (
	"errors"
	"net/http"
	"strings"

	"app2wxapp/bridge/wire"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// problem is an error as RFC 6749 §5.2 and RFC 6750 §3 tell it.
type problem struct {
	status int
	code   string // error
	text   string // error_description, in the characters that §5.2 allows
	// challenge is the WWW-Authenticate, "" for none.
	challenge string
}

const (
	challengeBasic  = `Basic realm="app2wxapp", charset="UTF-8"`
	challengeBearer = `Bearer realm="app2wxapp"`
)

// table maps errors to what a client sees. The first that fits counts; what is
// not in it is ours.
var table = []struct {
	err error
	problem
}{
	{errClient, problem{401, "invalid_client", "the client is unknown or its secret is wrong", challengeBasic}},
	{userpool.ErrSecretWrong, problem{401, "invalid_client", "the client is unknown or its secret is wrong", challengeBasic}},
	{userpool.ErrSecretRequired, problem{401, "invalid_client", "the client must show its secret here", challengeBasic}},
	{errGrantType, problem{400, "unsupported_grant_type", "grant_type must be " + GrantTicket + " or refresh_token", ""}},
	{errScope, problem{400, "invalid_scope", "scope must be names with one space between them", ""}},
	{errScopeMore, problem{400, "invalid_scope", "scope must not be more than was granted", ""}},
	{ticket.ErrInvalid, problem{400, "invalid_grant", "the ticket is invalid, expired or used; sign in again", ""}},
	{token.ErrSession, problem{400, "invalid_grant", "the refresh token is invalid, expired or used; sign in again", ""}},
	{userpool.ErrBlocked, problem{400, "invalid_grant", "this user is blocked", ""}},
	{errOtherClient, problem{400, "unauthorized_client", "the token was issued to another client", ""}},
	{errNoToken, problem{401, "missing_token", "a Bearer token is required", challengeBearer}},
	{token.ErrMissing, problem{401, "missing_token", "a Bearer token is required", challengeBearer}},
	{token.ErrExpired, problem{401, "invalid_token", "the token has expired", challengeBearer + `, error="invalid_token", error_description="the token has expired"`}},
	{token.ErrInvalid, problem{401, "invalid_token", "the token is not valid", challengeBearer + `, error="invalid_token", error_description="the token is not valid"`}},
	{errNotEnough, problem{403, "insufficient_scope", "the token was not issued for scope openid", challengeBearer + `, error="insufficient_scope", scope="openid"`}},
	{userpool.ErrRateLimited, problem{429, "temporarily_unavailable", "too many attempts; try again later", ""}},
	{userpool.ErrUnavailable, problem{503, "temporarily_unavailable", "temporarily unavailable; try again", ""}},
	{wire.ErrTooLarge, problem{413, "invalid_request", "the body must not exceed 64 KiB", ""}},
}

var serverError = problem{500, "server_error", "an error of ours; give the X-Request-Id to the operator", ""}

// Tell is the package's wire.Dialect.
func Tell(_ *http.Request, err error, _ string) wire.Told {
	p, domain := problemOf(err), wire.ProblemOf(err)
	told := wire.Told{Problem: wire.Problem{Status: p.status, Slug: p.code, RetryAfter: domain.RetryAfter}, Status: p.status}
	if p.challenge != "" {
		told.Header = http.Header{"Www-Authenticate": {p.challenge}}
	}
	told.Body = struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{p.code, p.text}
	return told
}

// TellBearer is Tell where a Bearer token is asked for: there a request that is
// wrong in itself has a challenge, too (RFC 6750 §3.1).
func TellBearer(r *http.Request, err error, requestID string) wire.Told {
	told := Tell(r, err, requestID)
	if p := problemOf(err); p.code == "invalid_request" {
		told.Header = http.Header{"Www-Authenticate": {challengeBearer + `, error="invalid_request", error_description="` + p.text + `"`}}
	}
	return told
}

func problemOf(err error) problem {
	if bad := (*userpool.InvalidError)(nil); errors.As(err, &bad) {
		return problem{400, "invalid_request", plain(bad.Field + " " + bad.EN), ""}
	}
	for _, row := range table {
		if errors.Is(err, row.err) {
			return row.problem
		}
	}
	return serverError
}

// plain replaces what an error_description must not have: quotes, backslashes
// and whatever is not printable ASCII.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < ' ' || r > '~' || r == '\\':
			return '?'
		}
		return r
	}, s)
}
