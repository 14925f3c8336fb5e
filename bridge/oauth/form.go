package oauth

import (
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// form is the parameters of a request, each once and not empty: one without a
// value is as one that is not there (RFC 6749 §3.2).
type form map[string]string

var (
	errForm      = userpool.Invalid("body", "must be application/x-www-form-urlencoded in UTF-8", "必须为 UTF-8 的 application/x-www-form-urlencoded")
	errMalformed = userpool.Invalid("body", "must be well-formed", "格式不正确")
	errInURL     = userpool.Invalid("query", "must be empty: parameters belong in the body", "必须为空：参数应放在请求体中")
)

// readForm reads the body's parameters. A URL is logged everywhere: parameters
// in it are refused. It returns wire.ErrTooLarge or an *userpool.InvalidError.
func readForm(r *http.Request) (form, error) {
	if r.URL.RawQuery != "" {
		return nil, errInURL
	}
	body, err := wire.ReadBody(r)
	if err != nil {
		return nil, err
	}
	if !isForm(r.Header) {
		return nil, errForm
	}
	return parseForm(string(body))
}

// isForm tells whether the header says that the body is a form as it is.
func isForm(h http.Header) bool {
	if wire.Encoded(h) {
		return false
	}
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && media == "application/x-www-form-urlencoded" && wire.IsUTF8(params["charset"])
}

// parseForm reads application/x-www-form-urlencoded text.
func parseForm(text string) (form, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, errMalformed
	}
	f := form{}
	for name, given := range values {
		switch {
		case !wellFormed(name):
			return nil, errMalformed
		case len(given) > 1:
			return nil, userpool.Invalid(shown(name), "is given more than once", "重复出现")
		case !wellFormed(given[0]):
			return nil, userpool.Invalid(shown(name), "must be UTF-8 without NUL", "必须为不含 NUL 的 UTF-8")
		case given[0] != "":
			f[name] = given[0]
		}
	}
	return f, nil
}

func wellFormed(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// shown returns a name as an error may say it.
func shown(name string) string {
	if len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "a parameter"
	}
	return name
}

// need returns the parameter, which is required.
func (f form) need(name string) (string, error) {
	if f[name] == "" {
		return "", userpool.Invalid(name, "is required", "必填")
	}
	return f[name], nil
}
