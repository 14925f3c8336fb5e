package wire

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/text/language"

	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// Problem is an error as a caller sees it.
type Problem struct {
	Status int    // HTTP
	Code   int    // Authing's number where it has a fitting one
	Slug   string // stable, for programs
	ZH, EN string // for people
	// RetryAfter is when to try again, 0 if that is no use.
	RetryAfter time.Duration
}

// Message returns the text in the language of the request.
func (p Problem) Message(r *http.Request) string {
	if English(r) {
		return p.EN
	}
	return p.ZH
}

// Problems that are no domain errors.
var (
	NotFound         = Problem{Status: 404, Code: 4040, Slug: "not_found", ZH: "没有这个地址", EN: "there is nothing at this address"}
	MethodNotAllowed = Problem{Status: 405, Code: 4050, Slug: "method_not_allowed", ZH: "不支持该请求方法，见 Allow 响应头", EN: "this method is not allowed here; see the Allow header"}
	Unauthenticated  = Problem{Status: 401, Code: 2020, Slug: "unauthenticated", ZH: "未登录", EN: "a Bearer token is required"}
	WrongAdminToken  = Problem{Status: 401, Code: 2020, Slug: "unauthenticated", ZH: "这不是本服务的管理令牌，请使用其存储旁的 admin.token，或其设置中的那一个", EN: "this is not the server's admin token; give the one in admin.token beside its store, or in its settings"}
	ServerError      = Problem{Status: 500, Code: 1000, Slug: "server_error", ZH: "系统繁忙，请把 requestId 告诉运维人员", EN: "an error of ours; give the requestId to the operator"}
)

// table maps the domain's errors to what a caller sees: contract section 4.3.
// The first that fits counts. What is not in it is a ServerError.
var table = []struct {
	err error
	Problem
}{
	{ErrTooLarge, Problem{Status: 413, Code: 4130, Slug: "too_large", ZH: "请求体不能超过 64 KiB", EN: "the body must not exceed 64 KiB"}},
	{ErrMediaType, Problem{Status: 415, Code: 4150, Slug: "unsupported_media_type", ZH: "请求体必须为 application/json（UTF-8，不压缩）", EN: "the body must be application/json (UTF-8, not compressed)"}},
	{ticket.ErrInvalid, Problem{Status: 400, Code: 4001, Slug: "invalid_ticket", ZH: "票据无效、已过期或已使用，请重新登录", EN: "the ticket is invalid, expired or used; sign in again"}},
	{userpool.ErrCode, Problem{Status: 400, Code: 4002, Slug: "invalid_code", ZH: "微信拒绝了该 code，请重新调用 wx.login（手机号 code 需用户重新点击）", EN: "WeChat refused the code; call wx.login again (a phone code needs a new tap)"}},
	{userpool.ErrStateInvalid, Problem{Status: 400, Code: 4003, Slug: "invalid_state_token", ZH: "stateToken 无效或已使用，请重新调用 wx.login", EN: "the state token is invalid or used; call wx.login again"}},
	{userpool.ErrStateExpired, Problem{Status: 400, Code: 4004, Slug: "state_token_expired", ZH: "stateToken 已过期，请重新调用 wx.login", EN: "the state token has expired; call wx.login again"}},
	{userpool.ErrTooManyTries, Problem{Status: 400, Code: 4005, Slug: "too_many_tries", ZH: "失败次数过多，请重新调用 wx.login", EN: "too many failures; call wx.login again"}},
	{userpool.ErrCodeWrong, Problem{Status: 400, Code: 4007, Slug: "wrong_code", ZH: "验证码错误、已过期或已使用，请核对或重新获取", EN: "the code is wrong, expired or used; check it, or ask for a new one"}},
	{userpool.ErrTooManyCodes, Problem{Status: 400, Code: 4008, Slug: "too_many_codes", ZH: "该 stateToken 获取验证码次数过多，请重新调用 wx.login", EN: "this state token has asked for too many codes; call wx.login again"}},
	{userpool.ErrRecipientRefused, Problem{Status: 400, Code: 4006, Slug: "recipient_refused", ZH: "无法向该手机号或邮箱发送验证码，请核对", EN: "no code can be sent to this number or address; check it"}},
	{userpool.ErrPasswordWrong, Problem{Status: 400, Code: 2333, Slug: "invalid_password", ZH: "用户名或密码不正确", EN: "the username or the password is wrong"}},
	{userpool.ErrTOTPWrong, Problem{Status: 400, Code: 4009, Slug: "wrong_totp", ZH: "动态码或恢复码不正确，或已使用", EN: "the code of the authenticator app, or the recovery code, is wrong or used"}},
	{userpool.ErrSecretRequired, Problem{Status: 401, Code: 4010, Slug: "secret_required", ZH: "该用户池要求密钥（请求体的 secret），请由应用服务器换取", EN: "this user pool demands its secret (secret in the body); redeem from your server"}},
	{userpool.ErrSecretWrong, Problem{Status: 401, Code: 4011, Slug: "invalid_secret", ZH: "用户池密钥不正确", EN: "the user pool secret is wrong"}},
	{userpool.ErrBlocked, Problem{Status: 403, Code: 2005, Slug: "user_blocked", ZH: "该用户已被锁定", EN: "this user is blocked"}},
	{userpool.ErrSignupClosed, Problem{Status: 403, Code: 4031, Slug: "signup_closed", ZH: "该用户池只允许已有用户登录", EN: "this user pool takes no new users"}},
	{userpool.ErrWeChatRisk, Problem{Status: 403, Code: 4032, Slug: "wechat_risk", ZH: "微信判定该用户为高风险，拒绝登录", EN: "WeChat refuses this user as high-risk"}},
	{userpool.ErrAppNotAllowed, Problem{Status: 403, Code: 4033, Slug: "app_not_allowed", ZH: "发起的应用不在该用户池的 allowedApps 中", EN: "the launching app is not in this user pool's allowedApps"}},
	{userpool.ErrPhoneRequired, Problem{Status: 403, Code: 4034, Slug: "phone_required", ZH: "该用户池要求手机号，请用手机号方式重试（phoneCode，或 phone 和 smsCode）", EN: "this user pool requires a phone number; send phoneCode, or phone and smsCode"}},
	{userpool.ErrAccountNotFound, Problem{Status: 403, Code: 4035, Slug: "account_not_found", ZH: "没有这个手机号或邮箱的账号，而该用户池不允许注册", EN: "there is no account with this phone or e-mail address, and this user pool lets nobody register"}},
	{userpool.ErrWayClosed, Problem{Status: 403, Code: 4036, Slug: "way_not_allowed", ZH: "该用户池没有开启这种绑定方式，见 ways", EN: "this user pool does not allow this way to bind; see ways"}},
	{userpool.ErrNoSender, Problem{Status: 403, Code: 4037, Slug: "no_sender", ZH: "该用户池没有配置这种验证码的发送方式", EN: "this user pool has nothing to send such codes by"}},
	{userpool.ErrMFA, Problem{Status: 403, Code: 4038, Slug: "mfa_required", ZH: "该用户须出示动态码，而此接口不支持", EN: "this user must show a second factor, for which this call cannot ask"}},
	{userpool.ErrMFAUnenrolled, Problem{Status: 403, Code: 4039, Slug: "mfa_not_enrolled", ZH: "该用户池要求两步验证，请联系管理员绑定验证器", EN: "this user pool requires a second factor, and the user has none; ask the operator to enrol them"}},
	{userpool.ErrPoolNotFound, Problem{Status: 404, Code: 2224, Slug: "pool_not_found", ZH: "用户池不存在", EN: "there is no such user pool"}},
	{userpool.ErrUserNotFound, Problem{Status: 404, Code: 2004, Slug: "user_not_found", ZH: "用户不存在", EN: "there is no such user"}},
	{userpool.ErrSecretNotFound, Problem{Status: 404, Code: 4041, Slug: "secret_not_found", ZH: "没有这个密钥", EN: "there is no such secret"}},
	{userpool.ErrIdentityNotFound, Problem{Status: 404, Code: 4042, Slug: "identity_not_found", ZH: "该用户没有这个微信身份", EN: "the user has no such identity"}},
	{userpool.ErrTOTPNotFound, Problem{Status: 404, Code: 4044, Slug: "totp_not_found", ZH: "该用户没有绑定验证器", EN: "the user has no second factor"}},
	{userpool.ErrTOTPExists, Problem{Status: 409, Code: 4095, Slug: "totp_exists", ZH: "该用户已绑定验证器，请先移除", EN: "the user has a second factor; remove it first"}},
	{userpool.ErrPoolExists, Problem{Status: 409, Code: 4090, Slug: "pool_exists", ZH: "该 id 的用户池已存在", EN: "a user pool with this id exists"}},
	{userpool.ErrUserExists, Problem{Status: 409, Code: 2026, Slug: "user_exists", ZH: "该 id、unionid、openid、用户名或邮箱的用户已存在", EN: "a user with this id, unionid, openid, username or e-mail address exists"}},
	{userpool.ErrSecretLimit, Problem{Status: 409, Code: 4091, Slug: "secret_limit", ZH: "已有两个有效密钥，请先删除一个", EN: "there are two live secrets; delete one first"}},
	{userpool.ErrIdentityTaken, Problem{Status: 409, Code: 4092, Slug: "identity_taken", ZH: "该账号已绑定其他微信用户", EN: "this account is bound to another WeChat user"}},
	{userpool.ErrAccountUnclear, Problem{Status: 409, Code: 4093, Slug: "account_unclear", ZH: "有多个账号使用该手机号，请联系运维人员合并", EN: "more than one account has this phone; ask the operator to merge them"}},
	{userpool.ErrRateLimited, Problem{Status: 429, Code: 4290, Slug: "rate_limited", ZH: "尝试过于频繁，请稍后再试", EN: "too many attempts; try again later", RetryAfter: time.Second}},
	{userpool.ErrSendLimited, Problem{Status: 429, Code: 4291, Slug: "send_limited", ZH: "该手机号或邮箱收到的验证码过多，请稍后再试", EN: "no more codes go to this number or address for now; try again later", RetryAfter: time.Minute}},
	{userpool.ErrSendFailed, Problem{Status: 502, Code: 5021, Slug: "send_failed", ZH: "验证码发送失败，请稍后再试", EN: "the code could not be sent; try again"}},
	{userpool.ErrWeChatQuota, Problem{Status: 502, Code: 5020, Slug: "wechat_unavailable", ZH: "微信暂时不可用，请重新调用 wx.login 后再试", EN: "WeChat does not answer; call wx.login again and retry", RetryAfter: time.Minute}},
	{userpool.ErrWeChatUnavailable, Problem{Status: 502, Code: 5020, Slug: "wechat_unavailable", ZH: "微信暂时不可用，请重新调用 wx.login 后再试", EN: "WeChat does not answer; call wx.login again and retry"}},
	{userpool.ErrUnavailable, Problem{Status: 503, Code: 5030, Slug: "unavailable", ZH: "服务暂时不可用，请稍后再试", EN: "temporarily unavailable; try again", RetryAfter: time.Second}},
}

// ProblemOf translates an error of the domain.
func ProblemOf(err error) Problem {
	if bad := (*userpool.InvalidError)(nil); errors.As(err, &bad) {
		return Problem{Status: 400, Code: 2231, Slug: "invalid_request", ZH: "参数错误：" + bad.Field + " " + bad.ZH, EN: "invalid request: " + bad.Field + " " + bad.EN}
	}
	for _, row := range table {
		if errors.Is(err, row.err) {
			p := row.Problem
			if limit := (*userpool.RateLimitError)(nil); errors.As(err, &limit) {
				p.RetryAfter = limit.RetryAfter
			}
			if sent := (*userpool.SendError)(nil); errors.As(err, &sent) && sent.RetryAfter > 0 {
				p.RetryAfter = sent.RetryAfter
			}
			return p
		}
	}
	return ServerError
}

// Spelt returns an error about a member under the name that the call has for it.
func Spelt(err error, names map[string]string) error {
	bad := (*userpool.InvalidError)(nil)
	if !errors.As(err, &bad) {
		return err
	}
	if name, other := names[bad.Field]; other {
		return userpool.Invalid(name, bad.EN, bad.ZH)
	}
	return err
}

// SetRetryAfter sets the header in whole seconds, rounded up, if the problem
// passes (RFC 9110 §10.2.3).
func (p Problem) SetRetryAfter(h http.Header) {
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
}

// Who asks for traditional characters reads simplified ones more easily than
// English; the matcher alone would not say so.
var languages = language.NewMatcher([]language.Tag{language.Chinese, language.English, language.TraditionalChinese})

// English tells whether the request prefers English to Chinese.
func English(r *http.Request) bool {
	accept := r.Header.Get("Accept-Language")
	if accept == "" || len(accept) > 200 {
		return false
	}
	_, i := language.MatchStrings(languages, accept)
	return i == 1
}
