package wechat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"app2wxapp/userpool"
)

// What Config.Observe is told of a call.
const (
	ResultOK          = "ok"
	ResultInvalidCode = "invalid_code" // unknown, expired, foreign or of the wrong kind
	ResultCodeUsed    = "code_used"    // 40163: hints at a replay of ours
	ResultRisk        = "risk"         // WeChat blocks this user
	ResultToken       = "token"        // the access token was rejected
	ResultQuota       = "quota"        // of a minute
	ResultQuotaDay    = "quota_day"
	ResultBusy        = "busy"        // WeChat's -1
	ResultSetup       = "setup"       // AppID, AppSecret, IP list or permission
	ResultBug         = "bug"         // we sent what WeChat cannot read
	ResultOther       = "other"       // an errcode that no table of ours has
	ResultGarbage     = "garbage"     // HTTP 200 and not an answer to the call
	ResultTimeout     = "timeout"     // no whole answer in time
	ResultCanceled    = "canceled"    // the caller gave up
	ResultUnavailable = "unavailable" // no connection, a broken one, or not HTTP 200
	ResultLimited     = "limited"     // not made: too many of the mini program are under way
)

// Error is a refusal by errcode. It unwraps to the userpool error that it
// means.
type Error struct {
	API  string // one of the three calls
	Code int    // errcode, never 0
	// Msg is errmsg without the secrets that we sent. It may name our IP or
	// settings: for an operator's eyes, never for a caller's. Error leaves it
	// out.
	Msg string
	RID string // WeChat's id of the request, "" if errmsg had none
}

func (e *Error) Error() string {
	text := fmt.Sprintf("wechat: %s: errcode %d", e.API, e.Code)
	if e.outcome().result == ResultSetup {
		text += " (" + fixes[e.Code] + ")"
	}
	if e.RID != "" {
		text += ", rid " + e.RID
	}
	return text
}

func (e *Error) Unwrap() error { return e.outcome().means }

// ErrCode returns the errcode, for those who do not know this package.
func (e *Error) ErrCode() int { return e.Code }

// outcome is what an errcode comes to: for the caller and for the metrics.
type outcome struct {
	means  error
	result string
}

// outcomes says what each errcode comes to. WeChat's codes are global, one list
// for all calls, so the table does not ask which call answered; rejectedToken
// has the exception.
//
// WeChat's pages: api_code2session, api_getstableaccesstoken and
// api_getphonenumber, whose lists are incomplete; the others are known from the
// global list and from reports.
var outcomes = map[int]outcome{
	-1: {userpool.ErrWeChatUnavailable, ResultBusy},

	40029: {userpool.ErrCode, ResultInvalidCode},
	40163: {userpool.ErrCode, ResultCodeUsed},
	42003: {userpool.ErrCode, ResultInvalidCode}, // timed out

	40226: {userpool.ErrWeChatRisk, ResultRisk},

	45009: {userpool.ErrWeChatUnavailable, ResultQuotaDay},
	45011: {userpool.ErrWeChatQuota, ResultQuota},

	40001: {userpool.ErrWeChatSetup, ResultSetup}, // AppSecret, where no token was sent
	40013: {userpool.ErrWeChatSetup, ResultSetup}, // AppID
	40125: {userpool.ErrWeChatSetup, ResultSetup}, // AppSecret
	40164: {userpool.ErrWeChatSetup, ResultSetup}, // our IP is not in the list
	40243: {userpool.ErrWeChatSetup, ResultSetup}, // AppSecret frozen
	48001: {userpool.ErrWeChatSetup, ResultSetup}, // not authorized
	50002: {userpool.ErrWeChatSetup, ResultSetup}, // account limited
	89503: {userpool.ErrWeChatSetup, ResultSetup}, // an administrator must confirm our IP

	40002: {userpool.ErrWeChatSetup, ResultBug}, // grant_type
	41001: {userpool.ErrWeChatSetup, ResultBug}, // access_token missing
	41002: {userpool.ErrWeChatSetup, ResultBug}, // appid missing
	41004: {userpool.ErrWeChatSetup, ResultBug}, // secret missing
	41008: {userpool.ErrWeChatSetup, ResultBug}, // code missing
	43002: {userpool.ErrWeChatSetup, ResultBug}, // needs POST
	44002: {userpool.ErrWeChatSetup, ResultBug}, // empty body
	47001: {userpool.ErrWeChatSetup, ResultBug}, // bad JSON
}

// fixes says what the operator can do about each errcode that is ResultSetup.
var fixes = map[int]string{
	40001: "correct the pool's appSecret",
	40013: "correct the pool's appId",
	40125: "correct the pool's appSecret",
	40164: "add this server's IP address to the list in WeChat's console",
	40243: "the AppSecret is frozen: see WeChat's console",
	48001: "the mini program may not make this call: see WeChat's console",
	50002: "the mini program's account is restricted: see WeChat's console",
	89503: "an administrator must confirm this server's IP address at WeChat",
}

func (e *Error) outcome() outcome {
	if e.rejectedToken() {
		return outcome{userpool.ErrWeChatUnavailable, ResultToken}
	}
	if o, ok := outcomes[e.Code]; ok {
		return o
	}
	return outcome{userpool.ErrWeChatUnavailable, ResultOther}
}

// rejectedToken tells whether WeChat refused the access token, before it looked
// at the code. Only getuserphonenumber sends one.
func (e *Error) rejectedToken() bool {
	return e.API == GetUserPhoneNumber && (e.Code == 40001 || e.Code == 40014 || e.Code == 42001)
}

// ridPattern finds WeChat's request id in errmsg.
var ridPattern = regexp.MustCompile(`rid: ([0-9a-f]{8}(?:-[0-9a-f]{8}){2})`)

// newError returns the Error of an answer, without the texts to hide in any
// spelling that we sent them in. None of them is empty.
func newError(api string, code int, msg string, hide []string) *Error {
	e := &Error{API: api, Code: code}
	if m := ridPattern.FindStringSubmatch(msg); m != nil {
		e.RID = m[1]
	}
	for _, h := range hide {
		inJSON, _ := json.Marshal(h) // in quotes
		for _, spelled := range []string{h, url.QueryEscape(h), url.PathEscape(h), string(inJSON[1 : len(inJSON)-1])} {
			msg = strings.ReplaceAll(msg, spelled, "***")
		}
	}
	e.Msg = msg
	return e
}

// garbage is what is wrong with an answer that WeChat does not give. It quotes
// nothing of the answer.
type garbage string

func (g garbage) Error() string { return "garbage: " + string(g) }

// unavailable returns the error of a call that WeChat did not answer.
func unavailable(api string, cause error) error {
	return fmt.Errorf("wechat: %s: %w: %w", api, userpool.ErrWeChatUnavailable, cause)
}

// resultOf returns the Result constant for what a call returned.
func resultOf(err error) string {
	var e *Error
	var g garbage
	switch {
	case err == nil:
		return ResultOK
	case errors.As(err, &e):
		return e.outcome().result
	case errors.As(err, &g):
		return ResultGarbage
	case errors.Is(err, context.Canceled):
		return ResultCanceled
	case isTimeout(err):
		return ResultTimeout
	}
	return ResultUnavailable
}
