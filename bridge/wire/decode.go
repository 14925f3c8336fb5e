// Package wire is what every dialect needs of HTTP: strict reading of JSON,
// and the errors of contract section 4.3.
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"app2wxapp/userpool"
)

const (
	// MaxBody is the largest request body, in bytes.
	MaxBody = 64 << 10
	// maxDepth is how deep objects and lists may be nested.
	maxDepth = 16
)

// What a request can be refused for before anything is read.
var (
	ErrTooLarge  = errors.New("wire: the body is over 64 KiB")
	ErrMediaType = errors.New("wire: the body is not application/json")
)

// Fields names the members of a JSON object that are read, and where their
// values go: *string, *bool, *int, *[]string, Fields for an object in it,
// *Optional of one of the five, or *any for whatever comes: map[string]any,
// []any, string, int64, float64, bool or nil.
type Fields map[string]any

// Optional is a member of a JSON merge patch (RFC 7396): absent, null, or a
// value.
type Optional[T any] struct {
	Set   bool // present
	Null  bool // present and null
	Value T
}

// Read reads the request's body into the fields. An empty body has no members.
// Members that are not named are checked and ignored. It returns ErrMediaType,
// ErrTooLarge, or an *userpool.InvalidError for anything but one JSON object
// with each name once, the named ones in their exact spelling and of their
// type, valid UTF-8, no NUL, nested at most 16 deep, and nothing after it.
func Read(r *http.Request, f Fields) error {
	return read(r, f, false)
}

// ReadStrict is Read for a body whose sender knows all its members: one that is
// not named is refused.
func ReadStrict(r *http.Request, f Fields) error {
	return read(r, f, true)
}

func read(r *http.Request, f Fields, strict bool) error {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	d.body.Reset()
	if err := readBody(r, &d.body); err != nil || d.body.Len() == 0 {
		return err
	}
	return d.decode(f, strict)
}

// ReadText is Read for JSON text that was read already, and must not be empty.
func ReadText(b []byte, f Fields) error {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	d.body.Reset()
	d.body.Write(b)
	return d.decode(f, false)
}

var decoders = sync.Pool{New: func() any { return &decoder{Decoder: new(jsontext.Decoder)} }}

// ReadBody reads the request's body, and leaves it to be read again. It returns
// ErrTooLarge, or an *userpool.InvalidError if the body breaks off.
func ReadBody(r *http.Request) ([]byte, error) {
	var body bytes.Buffer
	if err := readAll(r, &body); err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body.Bytes()))
	return body.Bytes(), nil
}

func readAll(r *http.Request, body *bytes.Buffer) error {
	if r.ContentLength > MaxBody {
		return ErrTooLarge
	}
	if _, err := body.ReadFrom(io.LimitReader(r.Body, MaxBody+1)); err != nil {
		return userpool.Invalid("body", "could not be read to its end", "读取不完整")
	}
	if body.Len() > MaxBody {
		return ErrTooLarge
	}
	return nil
}

// readBody reads the request's body, and checks what is said of it if it is not
// empty.
func readBody(r *http.Request, body *bytes.Buffer) error {
	if err := readAll(r, body); err != nil || body.Len() == 0 {
		return err
	}
	if Encoded(r.Header) {
		return ErrMediaType
	}
	given := r.Header.Get("Content-Type")
	if given == "application/json" {
		return nil
	}
	media, params, err := mime.ParseMediaType(given)
	patch := media == "application/merge-patch+json" && r.Method == http.MethodPatch // RFC 7396
	if err != nil || media != "application/json" && !patch {
		return ErrMediaType
	}
	if !IsUTF8(params["charset"]) {
		return ErrMediaType
	}
	return nil
}

// Encoded tells whether any line of Content-Encoding says that the body is not as
// it is.
func Encoded(h http.Header) bool {
	return slices.ContainsFunc(h.Values("Content-Encoding"), func(enc string) bool { return enc != "" && !strings.EqualFold(enc, "identity") })
}

// IsUTF8 tells whether a content type's charset, "" for none, is UTF-8 under
// either of the names that clients have for it (WHATWG Encoding §4.2).
func IsUTF8(charset string) bool {
	return charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}

// decode reads the body, which it uses up.
func (d *decoder) decode(f Fields, strict bool) error {
	if !utf8.Valid(d.body.Bytes()) {
		return errNotJSON
	}
	d.Reset(&d.body)
	d.strict = strict
	if d.PeekKind() != '{' {
		return userpool.Invalid("body", "must be a JSON object", "必须为 JSON 对象")
	}
	if err := d.object(f, ""); err != nil {
		return err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return userpool.Invalid("body", "must have nothing after the JSON object", "JSON 对象之后不能有其他内容")
	}
	return nil
}

var (
	errNotJSON = userpool.Invalid("body", "must be valid JSON in UTF-8, with each name once", "必须为合法的 UTF-8 JSON，且没有重复的字段名")
	errDeep    = userpool.Invalid("body", "must be nested at most 16 deep", "嵌套不能超过 16 层")
	errNUL     = userpool.Invalid("body", "must have no NUL characters", "不能含 NUL 字符")
)

// decoder walks a JSON text. jsontext itself refuses duplicate names, invalid
// UTF-8 and lone surrogates.
type decoder struct {
	*jsontext.Decoder
	body   bytes.Buffer
	strict bool
}

// object reads the members of the object that comes next. path is its name for
// errors, "" at the top.
func (d *decoder) object(f Fields, path string) error {
	if _, err := d.token(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.token()
		if err != nil {
			return err
		}
		key := name.String()
		to, known := f[key]
		if !known {
			if err := d.unknown(f, path, key); err != nil {
				return err
			}
			to = nil
		}
		if err := d.value(to, join(path, key)); err != nil {
			return err
		}
	}
	_, err := d.token()
	return err
}

// unknown refuses a name that is a known one in another case: some parser
// behind or before this one would take it for that.
func (d *decoder) unknown(f Fields, path, key string) error {
	for known := range f {
		if strings.EqualFold(known, key) {
			return userpool.Invalid(join(path, known), "must be spelt exactly so", "大小写必须完全一致")
		}
	}
	if d.strict && f != nil {
		if !printable(key) {
			key = "…"
		}
		en, zh := "is not known here", "不是可用的字段"
		if known := strings.Join(slices.Sorted(maps.Keys(f)), ", "); known != "" {
			en, zh = en+"; the names here are "+known, zh+"；可用字段："+known
		}
		return userpool.Invalid(join(path, key), en, zh)
	}
	return nil
}

func printable(s string) bool {
	return len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// token reads the next token.
func (d *decoder) token() (jsontext.Token, error) {
	t, err := d.ReadToken()
	if err != nil {
		return t, errNotJSON
	}
	if d.StackDepth() > maxDepth {
		return t, errDeep
	}
	if t.Kind() == '"' && strings.IndexByte(t.String(), 0) >= 0 {
		return t, errNUL
	}
	return t, nil
}

// value reads the next value into to; nil drops it.
func (d *decoder) value(to any, path string) error {
	switch to := to.(type) {
	case nil:
		return d.drop()
	case Fields:
		if d.PeekKind() != '{' {
			return d.mistyped(path, "an object", "对象")
		}
		return d.object(to, path)
	case *[]string:
		return d.list(to, path)
	case *any:
		v, err := d.any()
		*to = v
		return err
	case *Optional[string]:
		return optional(d, to, path)
	case *Optional[bool]:
		return optional(d, to, path)
	case *Optional[int]:
		return optional(d, to, path)
	case *Optional[[]string]:
		return optional(d, to, path)
	case *Optional[Fields]:
		return optional(d, to, path)
	case *Fields: // the value of an Optional
		return d.value(*to, path)
	}
	t, err := d.token()
	if err != nil {
		return err
	}
	switch to := to.(type) {
	case *string:
		if t.Kind() != '"' {
			return mistyped(path, "a string", "字符串")
		}
		*to = t.String()
	case *bool:
		if t.Kind() != 't' && t.Kind() != 'f' {
			return mistyped(path, "true or false", " true 或 false")
		}
		*to = t.Bool()
	case *int:
		n, err := strconv.Atoi(t.String())
		if t.Kind() != '0' || err != nil {
			return mistyped(path, "a whole number", "整数")
		}
		*to = n
	default:
		panic(fmt.Sprintf("wire: no way to read into %T", to))
	}
	return nil
}

func optional[T any](d *decoder, to *Optional[T], path string) error {
	to.Set = true
	if d.PeekKind() == 'n' {
		to.Null = true
		_, err := d.token()
		return err
	}
	return d.value(&to.Value, path)
}

func (d *decoder) list(to *[]string, path string) error {
	if d.PeekKind() != '[' {
		return d.mistyped(path, "a list of strings", "字符串数组")
	}
	if _, err := d.token(); err != nil {
		return err
	}
	*to = []string{}
	for d.PeekKind() != ']' {
		var s string
		if err := d.value(&s, fmt.Sprintf("%s[%d]", path, len(*to))); err != nil {
			return err
		}
		*to = append(*to, s)
	}
	_, err := d.token()
	return err
}

// any reads the next value, whatever it is.
func (d *decoder) any() (any, error) {
	t, err := d.token()
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case '{':
		object := map[string]any{}
		for d.PeekKind() != '}' {
			name, err := d.token()
			if err != nil {
				return nil, err
			}
			key := name.String()
			if object[key], err = d.any(); err != nil {
				return nil, err
			}
		}
		_, err = d.token()
		return object, err
	case '[':
		list := []any{}
		for d.PeekKind() != ']' {
			v, err := d.any()
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.token()
		return list, err
	case '"':
		return t.String(), nil
	case '0':
		if n, err := strconv.ParseInt(t.String(), 10, 64); err == nil {
			return n, nil
		}
		f, err := strconv.ParseFloat(t.String(), 64)
		if err != nil {
			return nil, errNotJSON
		}
		return f, nil
	case 'n':
		return nil, nil
	}
	return t.Bool(), nil
}

// drop reads the next value, checks it as any other, and forgets it.
func (d *decoder) drop() error {
	switch d.PeekKind() {
	case '{':
		return d.object(nil, "")
	case '[':
		if _, err := d.token(); err != nil {
			return err
		}
		for d.PeekKind() != ']' {
			if err := d.drop(); err != nil {
				return err
			}
		}
	}
	_, err := d.token()
	return err
}

// mistyped is the error of a value of another kind; a text that is no JSON at
// all is that first.
func (d *decoder) mistyped(path, en, zh string) error {
	if _, err := d.token(); err != nil {
		return err
	}
	return mistyped(path, en, zh)
}

func mistyped(path, en, zh string) error {
	return userpool.Invalid(path, "must be "+en, "必须为"+zh)
}
