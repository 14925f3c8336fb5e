package casdoor

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// maxParts is how many parts a multipart body has at most.
const maxParts = 64

// params are the parameters of an OAuth call, from wherever they came.
type params struct {
	Tag, Code, Username, Avatar    string
	ClientID, ClientSecret         string
	GrantType, RefreshToken, Scope string
	Token, TokenTypeHint           string
	basicID, basicSecret           string
	basic                          bool
}

// names are those of the parameters.
var names = []string{
	"tag", "code", "username", "avatar", "client_id", "client_secret", "grant_type", "refresh_token", "scope", "token", "token_type_hint",
}

// field returns where the parameter of that name is, nil if it is not known.
func (p *params) field(name string) *string {
	switch name {
	case "tag":
		return &p.Tag
	case "code":
		return &p.Code
	case "username":
		return &p.Username
	case "avatar":
		return &p.Avatar
	case "client_id":
		return &p.ClientID
	case "client_secret":
		return &p.ClientSecret
	case "grant_type":
		return &p.GrantType
	case "refresh_token":
		return &p.RefreshToken
	case "scope":
		return &p.Scope
	case "token":
		return &p.Token
	case "token_type_hint":
		return &p.TokenTypeHint
	}
	return nil
}

var (
	errForm  = userpool.Invalid("body", "must be a form, multipart or JSON", "必须为表单、multipart 或 JSON")
	errText  = userpool.Invalid("body", "must be UTF-8 without NUL", "必须为 UTF-8，且不含 NUL")
	errQuery = userpool.Invalid("query", "must be well-formed", "格式不正确")
)

// readParams reads the parameters of a request: those of the query, and of a body
// that is a form, multipart, or JSON under any Content-Type. One that is given
// twice must agree; one that is not known is ignored. It returns an
// *userpool.InvalidError or wire.ErrTooLarge.
func readParams(r *http.Request) (p params, err error) {
	if r.URL.RawQuery != "" {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return p, errQuery
		}
		if err := p.take(query); err != nil {
			return p, err
		}
	}
	body, err := readBody(r)
	if err != nil {
		return p, err
	}
	if len(body) > 0 {
		if err := p.takeBody(body, r.Header.Get("Content-Type")); err != nil {
			return p, err
		}
	}
	p.basicID, p.basicSecret, p.basic = r.BasicAuth()
	return p, nil
}

// readBody reads the body, and leaves it to be read again.
func readBody(r *http.Request) ([]byte, error) {
	body, err := wire.ReadBody(r)
	if err == nil && len(body) > 0 && wire.Encoded(r.Header) {
		return nil, userpool.Invalid("body", "must not be compressed", "不能压缩")
	}
	return body, err
}

// takeBody takes the parameters of a body, which is not empty.
func (p *params) takeBody(body []byte, contentType string) error {
	media, attributes, err := mime.ParseMediaType(contentType)
	if contentType != "" && err != nil {
		return errForm
	}
	switch {
	case media == "multipart/form-data":
		return p.takeParts(multipart.NewReader(bytes.NewReader(body), attributes["boundary"]))
	case looksLikeJSON(body):
		return p.takeJSON(body)
	case media == "" || media == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return errForm
		}
		return p.take(form)
	}
	return errForm
}

// looksLikeJSON tells JSON from a form: wx.request sends either, whatever the
// header says, and no name of a parameter begins with a brace.
func looksLikeJSON(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
}

func (p *params) takeJSON(body []byte) error {
	given := make([]wire.Optional[string], len(names)) // null is none
	fields := make(wire.Fields, len(names))
	for i, name := range names {
		fields[name] = &given[i]
	}
	if err := wire.ReadText(body, fields); err != nil {
		return err
	}
	for i, name := range names {
		if err := p.put(name, given[i].Value); err != nil {
			return err
		}
	}
	return nil
}

func (p *params) takeParts(r *multipart.Reader) error {
	for range maxParts {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errForm
		}
		if part.FileName() != "" {
			continue
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return errForm
		}
		if err := p.put(part.FormName(), string(value)); err != nil {
			return err
		}
	}
	return errForm
}

func (p *params) take(values url.Values) error {
	for name, list := range values {
		for _, v := range list {
			if err := p.put(name, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// put keeps a parameter that is known. An empty one is none.
func (p *params) put(name, value string) error {
	to := p.field(name)
	switch {
	case to == nil || value == "":
		return nil
	case !utf8.ValidString(value) || strings.IndexByte(value, 0) >= 0:
		return errText
	case *to == "":
		*to = value
	case *to != value:
		return userpool.Invalid(name, "is given twice and differs", "给出了两个不同的值")
	}
	return nil
}

// unset returns "" for what JavaScript makes of a value that is not there.
func unset(s string) string {
	if s == "undefined" || s == "null" {
		return ""
	}
	return s
}
