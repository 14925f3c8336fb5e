package wire_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// members are what the tests read: one of each kind.
type members struct {
	s, inner string
	b        bool
	n        int
	list     []string
	os       wire.Optional[string]
	ob       wire.Optional[bool]
	on       wire.Optional[int]
	ol       wire.Optional[[]string]
}

func (m *members) fields() wire.Fields {
	return wire.Fields{
		"s": &m.s, "b": &m.b, "n": &m.n, "list": &m.list, "object": wire.Fields{"inner": &m.inner},
		"os": &m.os, "ob": &m.ob, "on": &m.on, "ol": &m.ol,
	}
}

func post(body string) *http.Request {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestReadValues(t *testing.T) {
	for _, row := range []struct {
		body string
		want members
	}{
		{``, members{}},
		{`{}`, members{}},
		{`{"s":"a\n\u00e9😀","b":true,"n":-7,"list":["x","y"],"object":{"inner":"z"}}`,
			members{s: "a\né😀", b: true, n: -7, list: []string{"x", "y"}, inner: "z"}},
		{`{"list":[],"object":{}}`, members{list: []string{}}},
		{`{"os":"a","ob":false,"on":0,"ol":["x"]}`, members{
			os: wire.Optional[string]{Set: true, Value: "a"}, ob: wire.Optional[bool]{Set: true},
			on: wire.Optional[int]{Set: true}, ol: wire.Optional[[]string]{Set: true, Value: []string{"x"}},
		}},
		{`{"os":null,"ob":null,"on":null,"ol":null}`, members{
			os: wire.Optional[string]{Set: true, Null: true}, ob: wire.Optional[bool]{Set: true, Null: true},
			on: wire.Optional[int]{Set: true, Null: true}, ol: wire.Optional[[]string]{Set: true, Null: true},
		}},
		{`{"other":{"s":1,"S":2},"s":"a"}`, members{s: "a"}}, // names count where they stand
		{`{"object":{"s":1,"inner":"z"}}`, members{inner: "z"}},
	} {
		var got members
		if err := wire.Read(post(row.body), got.fields()); err != nil || !reflect.DeepEqual(got, row.want) {
			t.Errorf("Read %s: %+v, %v; want %+v", row.body, got, err, row.want)
		}
	}
}

// The error says which member, as its sender spells it, and what to write; never
// the value.
func TestReadErrors(t *testing.T) {
	for body, field := range map[string]string{
		`{"s":1}`:                             "s",
		`{"s":null}`:                          "s",
		`{"b":"true"}`:                        "b",
		`{"b":null}`:                          "b",
		`{"n":"1"}`:                           "n",
		`{"n":1.5}`:                           "n",
		`{"n":1e3}`:                           "n",
		`{"n":99999999999999999999}`:          "n",
		`{"list":"x"}`:                        "list",
		`{"list":["x",1]}`:                    "list[1]",
		`{"list":null}`:                       "list",
		`{"object":"x"}`:                      "object",
		`{"object":{"inner":1}}`:              "object.inner",
		`{"object":{"Inner":"planted"}}`:      "object.inner",
		`{"S":"planted"}`:                     "s",
		`{"on":true}`:                         "on",
		`{"ol":["x",null]}`:                   "ol[1]",
		`{"s":"planted","s":"planted"}`:       "body",
		`{"s":"planted\u0000"}`:               "body",
		`{"s":"planted`:                       "body",
		`{"s":"planted"}planted`:              "body",
		`planted`:                             "body",
		`[]`:                                  "body",
		`{"x":"` + "planted\xff" + `"}`:       "body",
		`{"x":"planted\ud800"}`:               "body",
		`{"x":` + nested(16) + `}`:            "body",
		`{"object":{"x":` + nested(15) + `}}`: "body",
	} {
		var got members
		err := wire.Read(post(body), got.fields())
		bad := (*userpool.InvalidError)(nil)
		if !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("Read %s: %v, want an InvalidError of %s", body, err, field)
			continue
		}
		if bad.EN == "" || bad.ZH == "" || strings.Contains(bad.Error()+bad.ZH, "planted") {
			t.Errorf("Read %s: %q, %q; want two texts without the value", body, bad.EN, bad.ZH)
		}
	}
}

// Chinese is set apart from what is not.
func TestReadSpaces(t *testing.T) {
	var b bool
	err := wire.Read(post(`{"b":1}`), wire.Fields{"b": &b})
	if bad := (*userpool.InvalidError)(nil); !errors.As(err, &bad) || bad.ZH != "必须为 true 或 false" {
		t.Errorf("a number for a boolean: %v, %+v", err, bad)
	}
}

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// ReadStrict refuses what Read ignores; a name that may hold anything is quoted
// only if it is harmless.
func TestReadStrict(t *testing.T) {
	for body, field := range map[string]string{
		`{"other":1}`:                              "other",
		`{"object":{"other":1}}`:                   "object.other",
		`{"a\nb":1}`:                               "…",
		`{"名":1}`:                                  "…",
		`{"` + strings.Repeat("a", 65) + `":1}`:    "…",
		`{"s":"a","S":"b"}`:                        "s",
		`{"other":{"deep":` + nested(20) + `}}`:    "other",
		`{"object":{"inner":"x","inner2":"y"}}`:    "object.inner2",
		`{"` + strings.Repeat("a", 64) + `":null}`: strings.Repeat("a", 64),
	} {
		var got members
		err := wire.ReadStrict(post(body), got.fields())
		if bad := (*userpool.InvalidError)(nil); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("ReadStrict %s: %v, want an InvalidError of %s", body, err, field)
		}
	}
	for want, f := range map[string]wire.Fields{
		"is not known here; the names here are a, b": {"b": new(string), "a": wire.Fields{"c": new(string)}},
		"is not known here":                          {},
	} {
		bad := (*userpool.InvalidError)(nil)
		if err := wire.ReadStrict(post(`{"other":1}`), f); !errors.As(err, &bad) || bad.EN != want {
			t.Errorf("ReadStrict of another name: %v, want %q", err, want)
		}
	}
	var got members
	if err := wire.ReadStrict(post(`{"s":"a","object":{"inner":"z"}}`), got.fields()); err != nil {
		t.Errorf("ReadStrict of known members: %v", err)
	}
}

// What a body is refused for before it is read as JSON.
func TestReadMedia(t *testing.T) {
	long := strings.Repeat(" ", wire.MaxBody+1)
	for _, row := range []struct {
		name, body, mediaType, encoding string
		length                          int64 // -1 for none
		want                            error
	}{
		{"JSON", `{}`, "application/json", "", 2, nil},
		{"charset", `{}`, `application/json; charset="utf-8"`, "", 2, nil},
		{"identity", `{}`, "application/json", "Identity", 2, nil},
		{"nothing needs no type", ``, "", "", 0, nil},
		{"nothing in chunks", ``, "", "", -1, nil},
		{"nothing, compressed", ``, "", "gzip", 0, nil},
		{"64 KiB", `{` + long[3:] + `}`, "application/json", "", wire.MaxBody, nil},
		{"a byte more", long, "application/json", "", wire.MaxBody + 1, wire.ErrTooLarge},
		{"a byte more in chunks", long, "application/json", "", -1, wire.ErrTooLarge},
		{"declared", ``, "application/json", "", 50 << 20, wire.ErrTooLarge},
		{"too large comes first", long, "text/plain", "gzip", -1, wire.ErrTooLarge},
		{"no type", `{}`, "", "", 2, wire.ErrMediaType},
		{"text", `{}`, "text/json", "", 2, wire.ErrMediaType},
		{"two types", `{}`, "application/json, text/plain", "", 2, wire.ErrMediaType},
		{"charset gbk", `{}`, "application/json; charset=gbk", "", 2, wire.ErrMediaType},
		{"charset twice", `{}`, "application/json; charset=utf-8; charset=gbk", "", 2, wire.ErrMediaType},
		{"gzip", `{}`, "application/json", "gzip", 2, wire.ErrMediaType},
		{"identity and gzip", `{}`, "application/json", "identity, gzip", 2, wire.ErrMediaType},
	} {
		r := httptest.NewRequest("POST", "/", io.NopCloser(strings.NewReader(row.body)))
		r.ContentLength = row.length
		for name, value := range map[string]string{"Content-Type": row.mediaType, "Content-Encoding": row.encoding} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if err := wire.Read(r, wire.Fields{}); !errors.Is(err, row.want) || (row.want == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
}

// A body that breaks off is the caller's mistake.
func TestReadBrokenBody(t *testing.T) {
	r := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader(`{"s":`), broken{}))
	r.Header.Set("Content-Type", "application/json")
	err := wire.Read(r, wire.Fields{})
	if bad := (*userpool.InvalidError)(nil); !errors.As(err, &bad) {
		t.Errorf("got %v, want an InvalidError", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Whatever the body, the caller gets their values or an InvalidError; and what
// is taken, another reader of the same body takes for the same.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"s":"a"}`, `{"s":"a","s":"b"}`, `{"S":"a"}`, `{"s":null}`, `{"s":1}`, `{"n":1e400}`, `{"n":-0}`, `{"b":true,"n":7}`,
		`{"list":["a",["b"]]}`, `{"object":{"inner":"a","inner":"b"}}`, `{"object":{}} {}`, `{"os":null,"ob":null,"on":1,"ol":["a"]}`,
		`{"x":{"y":[{"z":1,"z":2}]}}`, nested(20), `{"x":` + nested(15) + `}`, `{"x":` + nested(16) + `}`, `{"s":"\u0000"}`, "{\"s\":\"\x00\"}",
		"{\"s\":\"\xff\"}", `{"s":"\ud800"}`, `{"s":"\ud83d\ude00"}`, "\ufeff{}", `{"s":"a"`, `{"s"`, `{`, `}`, `[`, `nul`, `{"ſ":"a"}`, `{"\u0073":"a"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got members
		err := wire.Read(post(string(body)), got.fields())
		if len(body) > wire.MaxBody {
			if !errors.Is(err, wire.ErrTooLarge) {
				t.Fatalf("%d bytes: %v, want ErrTooLarge", len(body), err)
			}
			return
		}
		if err != nil {
			if bad := (*userpool.InvalidError)(nil); !errors.As(err, &bad) {
				t.Fatalf("got %v, want an InvalidError", err)
			}
			return
		}
		if len(body) == 0 {
			return
		}
		var other struct {
			S      string
			B      bool
			N      int
			List   []string
			Object struct{ Inner string }
		}
		if err := json.Unmarshal(body, &other); err != nil {
			t.Fatalf("Read takes what encoding/json does not: %v", err)
		}
		if got.s != other.S || got.b != other.B || got.n != other.N || got.inner != other.Object.Inner || !reflect.DeepEqual(got.list, other.List) {
			t.Fatalf("Read has %+v, encoding/json %+v", got, other)
		}
		if strings.ContainsRune(got.s, 0) {
			t.Fatalf("NUL in %q", got.s)
		}
	})
}

// Whatever comes, as it was written, under the rules of every other value.
func TestReadAny(t *testing.T) {
	read := func(body string) (v any, err error) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		return v, wire.Read(r, wire.Fields{"v": &v})
	}
	got, err := read(`{"v":{"a":[1,-2.5,"x",true,null,{}],"b":false}}`)
	want := map[string]any{"a": []any{int64(1), -2.5, "x", true, nil, map[string]any{}}, "b": false}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, %v", got, err)
	}
	for _, body := range []string{`{"v":{"a":1,"a":2}}`, `{"v":"\u0000"}`, `{"v":` + strings.Repeat("[", 17) + strings.Repeat("]", 17) + `}`, `{"v":[1,]}`, `{"v":}`} {
		if v, err := read(body); err == nil {
			t.Errorf("%s: %#v, want an error", body, v)
		}
	}
}
