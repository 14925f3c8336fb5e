package casdoor

import (
	"errors"
	"fmt"
	"net/http"

	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// problem is an error of the OAuth calls as Casdoor tells it.
type problem struct {
	status int
	code   string // error
	text   string // error_description, "" for none
}

// sessionError begins what is told of a code that WeChat refused.
const sessionError = "get wechat mini program session error: err: invalid code"

const forbidden = "the user is forbidden to sign in, please contact the administrator"

// table maps errors of the OAuth calls. The first that fits counts; what is not
// in it is ours.
var table = []struct {
	err error
	problem
}{
	{errNoClient, problem{400, "invalid_request", ""}},
	{errClientID, problem{401, "invalid_client", "client_id is invalid"}},
	{userpool.ErrSecretWrong, problem{401, "invalid_client", "client_secret is invalid"}},
	{errClientAuth, problem{401, "invalid_client", "Invalid application or wrong clientSecret"}},
	{errGrantType, problem{400, "unsupported_grant_type", "grant_type must be refresh_token, or tag wechat_miniprogram"}},
	{errRefreshGrant, problem{400, "unsupported_grant_type", "grant_type should be refresh_token"}},
	{errScope, problem{400, "invalid_scope", "scope must not be more than was granted"}},
	{errOtherClient, problem{400, "invalid_grant", "the token is for wrong application (client_id)"}},
	{token.ErrSessionExpired, problem{400, "invalid_grant", "refresh token is expired"}},
	{token.ErrSession, problem{400, "invalid_grant", "refresh token is invalid or revoked"}},
	{userpool.ErrCode, problem{400, "invalid_grant", sessionError}},
	{userpool.ErrSignupClosed, problem{400, "invalid_grant", "the application does not allow to sign up new account"}},
	{userpool.ErrBlocked, problem{400, "invalid_grant", forbidden}},
	{userpool.ErrMFA, problem{400, "invalid_grant", "the user must show a second factor, for which this flow cannot ask"}},
	{userpool.ErrMFAUnenrolled, problem{400, "invalid_grant", "the application requires a second factor and the user has none, please contact the administrator"}},
	{userpool.ErrPhoneRequired, problem{400, "invalid_grant", "the application asks for a phone number, which is not given in this flow"}},
	{userpool.ErrWeChatRisk, problem{400, "invalid_grant", "WeChat refuses this user as high-risk"}},
	{userpool.ErrAppNotAllowed, problem{400, "unauthorized_client", "the application lets only named apps sign users in (allowedApps)"}},
	{userpool.ErrRateLimited, problem{429, "temporarily_unavailable", "too many attempts; try again later"}},
	{userpool.ErrWeChatQuota, problem{429, "temporarily_unavailable", "WeChat is busy; call wx.login again and retry"}},
	{userpool.ErrWeChatUnavailable, problem{503, "temporarily_unavailable", "WeChat does not answer; call wx.login again and retry"}},
	{userpool.ErrUnavailable, problem{503, "temporarily_unavailable", "temporarily unavailable; try again"}},
	{wire.ErrTooLarge, problem{413, "invalid_request", "the body must not exceed 64 KiB"}},
}

var serverError = problem{500, "server_error", "an error of ours; give the X-Request-Id to the operator"}

// Tell is the wire.Dialect of the OAuth calls.
func Tell(_ *http.Request, err error, _ string) wire.Told {
	p := problemOf(err)
	told := wire.Told{
		Problem: wire.Problem{Status: p.status, Slug: p.code, RetryAfter: wire.ProblemOf(err).RetryAfter}, Status: p.status,
		Body: struct {
			Error       string `json:"error"`
			Description string `json:"error_description,omitempty"`
		}{p.code, p.text},
	}
	if p.code == "invalid_client" {
		told.Header = http.Header{"Www-Authenticate": {`Basic realm="OAuth2"`}}
	}
	return told
}

func problemOf(err error) problem {
	if bad := (*userpool.InvalidError)(nil); errors.As(err, &bad) {
		return problem{400, "invalid_request", bad.Error()}
	}
	for _, row := range table {
		if errors.Is(err, row.err) {
			p := row.problem
			// WeChat's number, which Casdoor drops, says what is wrong with it.
			if refused := interface{ ErrCode() int }(nil); row.err == userpool.ErrCode && errors.As(err, &refused) {
				p.text = fmt.Sprintf("%s, errcode: %d", p.text, refused.ErrCode())
			}
			return p
		}
	}
	return serverError
}

// own marks an error of a request that OrElse found to be this dialect's.
type own struct{ error }

func (o own) Unwrap() error { return o.error }

// TellOr returns the dialect of a route that OrElse shares with another one.
func TellOr(other wire.Dialect) wire.Dialect {
	return func(r *http.Request, err error, requestID string) wire.Told {
		if errors.As(err, new(own)) {
			return Tell(r, err, requestID)
		}
		return other(r, err, requestID)
	}
}

// envelope is what the calls that are not OAuth's answer.
type envelope struct {
	Status  string `json:"status"` // ok or error
	Message string `json:"msg"`
	Subject string `json:"sub"`
	Name    string `json:"name"`
	Data    any    `json:"data"`
	Data2   any    `json:"data2"`
	Data3   any    `json:"data3"`
}

// refusal is an error of those calls.
type refusal struct {
	status int
	slug   string // for the log
	msg    string
}

func (r refusal) Error() string { return "casdoor: " + r.msg }

// What those calls refuse.
var (
	errNoToken     = refusal{401, "unauthenticated", "Please login first"}
	errOtherRecord = refusal{403, "forbidden", "Unauthorized operation"}
	errImmutableID = refusal{403, "forbidden", "The ID is immutable."}
	errNoName      = refusal{400, "invalid_request", "Display name cannot be empty"}
	errNoUser      = refusal{404, "user_not_found", "The user does not exist"}
)

// onlyAdmin is the refusal of a change to a field that is not the caller's.
func onlyAdmin(field string) error {
	return refusal{403, "forbidden", "Only admin can modify the " + field + "."}
}

// refusals maps errors of those calls as table does.
var refusals = []struct {
	err error
	refusal
}{
	{token.ErrMissing, errNoToken},
	{token.ErrExpired, refusal{401, "token_expired", "Access token has expired"}},
	{userpool.ErrBlocked, refusal{403, "user_blocked", "The user is forbidden to sign in, please contact the administrator"}},
	{token.ErrInvalid, refusal{401, "invalid_token", "Access token doesn't exist in database"}},
	{errClientAuth, refusal{401, "invalid_client", "Invalid application or wrong clientSecret"}},
	{userpool.ErrUserNotFound, errNoUser},
	{userpool.ErrRateLimited, refusal{429, "rate_limited", "too many attempts; try again later"}},
	{userpool.ErrUnavailable, refusal{503, "unavailable", "temporarily unavailable; try again"}},
	{wire.ErrTooLarge, refusal{413, "too_large", "the body must not exceed 64 KiB"}},
}

// TellEnvelope is the wire.Dialect of the calls that are not OAuth's: Casdoor's
// envelope with the status that the error has, where Casdoor sends 200.
func TellEnvelope(_ *http.Request, err error, _ string) wire.Told {
	r := refusalOf(err)
	told := wire.Told{
		Problem: wire.Problem{Status: r.status, Slug: r.slug, RetryAfter: wire.ProblemOf(err).RetryAfter}, Status: r.status,
		Body: envelope{Status: "error", Message: r.msg},
	}
	if r == errNoToken {
		told.Body = envelope{Status: "error", Message: r.msg, Data: r.msg} // some look there
	}
	if r.status == http.StatusUnauthorized {
		told.Header = http.Header{"Www-Authenticate": {"Bearer"}}
	}
	return told
}

func refusalOf(err error) refusal {
	if r := (refusal{}); errors.As(err, &r) {
		return r
	}
	if bad := (*userpool.InvalidError)(nil); errors.As(err, &bad) {
		return refusal{400, "invalid_request", bad.Error()}
	}
	for _, row := range refusals {
		if errors.Is(err, row.err) {
			return row.refusal
		}
	}
	return refusal{500, "server_error", "an error of ours; give the X-Request-Id to the operator"}
}
