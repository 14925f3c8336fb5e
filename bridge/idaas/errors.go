package idaas

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/captcha"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// problem is an error as the dialect tells it.
type problem struct {
	status int
	code   string // error_code
	zh, en string // error_msg
}

// table maps errors to what a client sees. The first that fits counts; what is
// not in it is ours. Codes of SDK.WECHAT, SDK.MFA and SDK.HTTP are not the
// vendor's, who published none for these cases.
var table = []struct {
	err error
	problem
}{
	{echo.ErrNotFound, problem{404, "SDK.HTTP.0404", wire.NotFound.ZH, wire.NotFound.EN}},
	{echo.ErrMethodNotAllowed, problem{405, "SDK.HTTP.0405", wire.MethodNotAllowed.ZH, wire.MethodNotAllowed.EN}},
	{errNoClient, problem{400, "SDK.COMMON.1001", "缺少请求头 X-client-id", "the header X-client-id is missing"}},
	{wire.ErrTooLarge, problem{413, "SDK.COMMON.1001", "请求体不能超过 64 KiB", "the body must not exceed 64 KiB"}},
	{errDevice, problem{400, "SDK.COMMON.1003", "设备信息不完整", "device information is incomplete: X-operating-sys-version, X-device-fingerprint and X-agent are required"}},
	{userpool.ErrStateUsed, problem{400, "SDK.COMMON.1005", "state_token 已过期", "state_token has expired"}},
	{userpool.ErrStateExpired, problem{400, "SDK.COMMON.1005", "state_token 已过期", "state_token has expired"}},
	{userpool.ErrTooManyTries, problem{400, "SDK.COMMON.1005", "state_token 已过期", "state_token has expired"}},
	{userpool.ErrStateInvalid, problem{400, "SDK.COMMON.1007", "state_token 参数错误", "state_token parameter error"}},
	{userpool.ErrPoolNotFound, problem{400, "SDK.COMMON.1012", "应用不存在，请核对 X-client-id", "there is no such application; check X-client-id"}},
	{userpool.ErrAccountNotFound, problem{400, "SDK.COMMON.1013", "用户不存在", "user not found"}},
	{token.ErrSession, problem{400, "SDK.PARAM.0023", "会话令牌无效或已过期", "Invalid or expired session token"}},
	{userpool.ErrCode, problem{400, "SDK.WECHAT.0001", "微信 code 无效或已使用，请重新获取", "the WeChat code is invalid or used; get a new one"}},
	{userpool.ErrPasswordWrong, problem{400, "SDK.LOGIN.1005", "用户名或密码错误", "wrong user name or password"}},
	{captcha.ErrFailed, problem{400, "SDK.CAPTCHA.0002", "图形验证失败，请重试", "the captcha was not solved; try again"}},
	{userpool.ErrCodeWrong, problem{400, "SDK.CAPTCHA.0002", "验证码错误、已过期或已使用", "the code is wrong, expired or used"}},
	{userpool.ErrTooManyCodes, problem{400, "SDK.CAPTCHA.0006", "获取验证码次数过多，请重新登录", "too many codes were asked for; sign in again"}},
	{userpool.ErrRecipientRefused, problem{400, "SDK.CAPTCHA.0006", "无法向该手机号或邮箱发送验证码", "no code can be sent to this number or address"}},
	{userpool.ErrSendLimited, problem{429, "SDK.CAPTCHA.0006", "该手机号或邮箱收到的验证码过多，请稍后再试", "no more codes go to this number or address for now"}},
	{userpool.ErrSendFailed, problem{503, "SDK.CAPTCHA.0006", "验证码发送失败，请稍后再试", "the code could not be sent; try again"}},
	{userpool.ErrNoSender, problem{400, "SDK.CAPTCHA.0006", "应用没有开启这种验证码", "the application sends no such codes"}},
	{errNotSent, problem{400, "SDK.CAPTCHA.0006", "应用没有开启这种验证码", "the application sends no such codes"}},
	{userpool.ErrWeChatRisk, problem{400, "SDK.WECHAT.0002", "微信判定该用户为高风险", "WeChat refuses this user as high-risk"}},
	{userpool.ErrTOTPWrong, problem{400, "SDK.MFA.0001", "动态码不正确或已使用", "the code is wrong or used"}},
	{userpool.ErrRateLimited, problem{429, "SDK.WECHAT.0003", "请求过于频繁，请稍后再试", "too many attempts; try again later"}},
	{userpool.ErrWeChatQuota, problem{429, "SDK.WECHAT.0003", "请求过于频繁，请稍后再试", "too many attempts; try again later"}},
	{userpool.ErrIdentityTaken, problem{400, "SDK.WECHAT.0004", "该账号已绑定其他微信", "the account is bound to another WeChat user"}},
	{userpool.ErrWeChatUnavailable, problem{503, "SDK.WECHAT.0005", "微信暂时不可用，请稍后重新登录", "WeChat does not answer; sign in again later"}},
	{userpool.ErrWeChatSetup, problem{503, "SDK.WECHAT.0005", "微信暂时不可用，请稍后重新登录", "WeChat does not answer; sign in again later"}},
	{userpool.ErrAccountUnclear, problem{400, "SDK.WECHAT.0006", "有多个账号使用该手机号，请联系管理员", "more than one account has this phone; ask the operator"}},
	{userpool.ErrUnavailable, problem{503, "SDK.COMMON.5000", "服务暂时不可用，请稍后再试", "temporarily unavailable; try again"}},
}

var serverError = problem{500, "SDK.COMMON.5000", "系统繁忙，请把 X-Request-Id 告诉管理员", "an error of ours; give the X-Request-Id to the operator"}

// denied are the errors that are told as a status: the user cannot come in, and
// no other try helps.
var denied = []error{
	userpool.ErrBlocked, userpool.ErrSignupClosed, userpool.ErrAppNotAllowed, userpool.ErrWayClosed, userpool.ErrPhoneRequired,
	userpool.ErrMFA, userpool.ErrMFAUnenrolled,
}

// Tell is the package's wire.Dialect.
func (a *API) Tell(r *http.Request, err error, _ string) wire.Told {
	for _, d := range denied {
		if errors.Is(err, d) && !errors.Is(err, errNotSent) {
			return wire.Told{Problem: wire.Problem{Status: http.StatusOK, Slug: statusDenied}, Status: http.StatusOK, Body: struct {
				Status string `json:"status"`
			}{statusDenied}}
		}
	}
	p, domain := problemOf(err), wire.ProblemOf(err)
	text := p.zh
	if english(r) {
		text = p.en
	}
	return wire.Told{
		Problem: wire.Problem{Status: p.status, Slug: p.code, RetryAfter: domain.RetryAfter}, Status: p.status,
		Body: struct {
			Code    string `json:"error_code"`
			Message string `json:"error_msg"`
		}{a.prefix + p.code, text},
	}
}

func problemOf(err error) problem {
	if bad := (*userpool.InvalidError)(nil); errors.As(err, &bad) {
		return problem{400, "SDK.COMMON.1001", "参数错误：" + bad.Field + " " + bad.ZH, "invalid parameter: " + bad.Field + " " + bad.EN}
	}
	for _, row := range table {
		if errors.Is(err, row.err) {
			p := row.problem
			if wrong := (*wrongPassword)(nil); errors.As(err, &wrong) {
				p.zh += fmt.Sprintf("，剩余登录尝试次数:%d", wrong.left)
				p.en += fmt.Sprintf("; attempts left:%d", wrong.left)
			}
			return p
		}
	}
	return serverError
}

// wrongPassword is userpool.ErrPasswordWrong of a sign-in that takes so many more
// proofs. Clients read the number at the end of the text.
type wrongPassword struct {
	error
	left int
}

func (w *wrongPassword) Unwrap() error { return w.error }

// english tells whether the request asks for English by X-L.
func english(r *http.Request) bool {
	l := strings.TrimSpace(r.Header.Get("X-L"))
	return len(l) >= 2 && strings.EqualFold(l[:2], "en")
}
