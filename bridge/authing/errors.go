package authing

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/upload"
	"app2wxapp/userpool"
)

// What this dialect refuses by itself.
var (
	errOthers      = errors.New("authing: another user's data")
	errField       = errors.New("authing: not a user's to change")
	errEmail       = errors.New("authing: the e-mail address is not changed so")
	errPhone       = errors.New("authing: the phone is not changed so")
	errUnsupported = errors.New("authing: not spoken here")
)

var unsupported = wire.Problem{Status: 404, Code: 4040, Slug: "not_supported", ZH: "本服务不支持该接口", EN: "this server does not speak this call"}

// table has Authing's numbers for what wire.ProblemOf tells in ours, or does not
// know. The first that fits counts.
var table = []struct {
	err error
	wire.Problem
}{
	{userpool.ErrSignupClosed, wire.Problem{Status: 403, Code: 2031, Slug: "signup_closed", ZH: "该用户池已关闭注册", EN: "this user pool takes no new users"}},
	{token.ErrMissing, wire.Problem{Status: 401, Code: 2020, Slug: "unauthenticated", ZH: "尚未登录，无权限访问此请求", EN: "not signed in"}},
	{token.ErrExpired, wire.Problem{Status: 401, Code: 2206, Slug: "token_expired", ZH: "登录信息已过期", EN: "the login has expired"}},
	{token.ErrInvalid, wire.Problem{Status: 401, Code: 2207, Slug: "invalid_token", ZH: "登录信息有误", EN: "the login is not valid"}},
	{errOthers, wire.Problem{Status: 403, Code: 2202, Slug: "not_yours", ZH: "该数据属于其他用户", EN: "the data is another user's"}},
	{errField, wire.Problem{Status: 403, Code: 2018, Slug: "field_not_allowed", ZH: "没有权限修改该字段", EN: "this field is not a user's to change"}},
	{errEmail, wire.Problem{Status: 400, Code: 2225, Slug: "use_update_email", ZH: "不能在此修改邮箱", EN: "the e-mail address cannot be changed here"}},
	{errPhone, wire.Problem{Status: 400, Code: 2226, Slug: "use_update_phone", ZH: "不能在此修改手机号，请用手机号登录", EN: "the phone cannot be changed here; sign in by phone"}},
	{errUnsupported, unsupported},
	{echo.ErrNotFound, unsupported},
	{echo.ErrMethodNotAllowed, wire.MethodNotAllowed},
	{userpool.ErrUserExists, wire.Problem{Status: 409, Code: 2026, Slug: "user_exists", ZH: "该用户名已被使用", EN: "the username is taken"}},
	{upload.ErrTooLarge, wire.Problem{Status: 413, Code: 4130, Slug: "too_large", ZH: "图片不能超过 1 MiB", EN: "the picture must not exceed 1 MiB"}},
	{upload.ErrType, wire.Problem{Status: 415, Code: 4150, Slug: "unsupported_media_type", ZH: "只能上传 PNG、JPEG、GIF 或 WebP 图片，长宽各不超过 8192 像素", EN: "the file must be a PNG, JPEG, GIF or WebP picture of at most 8192 pixels each way"}},
	{upload.ErrFull, wire.Problem{Status: 429, Code: 4290, Slug: "rate_limited", ZH: "待使用的图片过多，请稍后再试", EN: "too many pictures wait to be used; try again later"}},
}

func problem(err error) wire.Problem {
	for _, row := range table {
		if errors.Is(err, row.err) {
			return row.Problem
		}
	}
	return wire.ProblemOf(err)
}

// status is the answer's: 200 for what is the caller's to mend, and the truth
// for what is ours, which those before us should see. No SDK sends another
// method than the call has: whoever does is told as HTTP has it, with Allow.
func status(p wire.Problem) int {
	if p.Status >= 500 || p.Status == http.StatusMethodNotAllowed {
		return p.Status
	}
	return http.StatusOK
}

// TellREST is how REST calls fail.
func TellREST(r *http.Request, err error, _ string) wire.Told {
	p := problem(err)
	return wire.Told{Problem: p, Status: status(p), Body: envelope{p.Code, p.Message(r), nil}}
}

// TellUpload is TellREST with an empty object for data. The SDK reads data.url
// in a callback: of null it throws there, and its promise never settles.
func TellUpload(r *http.Request, err error, _ string) wire.Told {
	p := problem(err)
	return wire.Told{Problem: p, Status: status(p), Body: envelope{p.Code, p.Message(r), struct{}{}}}
}

// TellGraphQL is how GraphQL calls fail. The SDKs want an object where GraphQL
// has a text.
func TellGraphQL(r *http.Request, err error, _ string) wire.Told {
	p := problem(err)
	path := []string{}
	if at := (*fieldError)(nil); errors.As(err, &at) {
		path = append(path, at.field)
	}
	type gqlError struct {
		Message   envelope `json:"message"`
		Locations []int    `json:"locations"`
		Path      []string `json:"path"`
	}
	return wire.Told{Problem: p, Status: status(p), Body: struct {
		Errors []gqlError `json:"errors"`
		Data   any        `json:"data"`
	}{[]gqlError{{envelope{p.Code, p.Message(r), nil}, []int{}, path}}, nil}}
}

// fieldError is an error of one field of the root.
type fieldError struct {
	field string
	error
}

func (e *fieldError) Unwrap() error { return e.error }
