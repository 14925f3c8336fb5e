package openapi_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"app2wxapp/bridge/bridgetest"
)

const (
	form      = "application/x-www-form-urlencoded"
	jsonBody  = "application/json"
	multipart = "multipart/form-data"
)

// world is a live bridge, a pool of it, and what its two listeners say of
// themselves.
type world struct {
	*bridgetest.Bridge
	t    *testing.T
	pool bridgetest.Pool
	ops  map[string]described
}

// described is an operation of a description.
type described struct {
	doc          *openapi3.T
	path, method string
	item         *openapi3.PathItem
	op           *openapi3.Operation
	admin        bool
	told         map[string]string // the answers' own descriptions, by status
}

func newWorld(t *testing.T) *world {
	t.Helper()
	b := bridgetest.New(t)
	b.PutRSAKey()
	w := &world{Bridge: b, t: t, pool: b.NewPool(`"tokenAlg":"ES256"`), ops: map[string]described{}}
	for _, admin := range []bool{false, true} {
		doc, told := w.document(admin)
		for path, item := range doc.Paths.Map() {
			for method, op := range item.Operations() {
				if op.OperationID == "" {
					t.Errorf("%s %s has no operationId", method, path)
				}
				id := op.OperationID
				if admin && slices.Contains(op.Tags, "service") {
					id = "admin " + id
				}
				if _, there := w.ops[id]; there {
					t.Errorf("two operations are %s", id)
				}
				w.ops[id] = described{doc, path, method, item, op, admin, map[string]string{}}
				for status, answer := range told.Paths[path][strings.ToLower(method)].Responses {
					w.ops[id].told[status] = answer.Description
				}
			}
		}
	}
	return w
}

// document returns the description of a listener, read from it and found to be
// OpenAPI 3.1, its examples included.
func (w *world) document(admin bool) (doc *openapi3.T, told answers) {
	w.t.Helper()
	at := w.URL
	if admin {
		at = w.AdminURL
	}
	r := w.Do("GET", at+"/openapi.json", "").Want(200)
	doc, err := openapi3.NewLoader().LoadFromData([]byte(r.Body))
	if err != nil {
		w.t.Fatalf("%s/openapi.json: %v", at, err)
	}
	if err := doc.Validate(context.Background(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation()); err != nil {
		w.t.Fatalf("%s/openapi.json: %v", at, err)
	}
	r.Decode(&told)
	return doc, told
}

// answers is a description as far as it tells of answers. kin-openapi forgets a
// description beside a $ref.
type answers struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct{ Description string }
	}
}

// call is a request to an operation.
type call struct {
	op      string
	path    map[string]string // its parameters
	query   url.Values
	headers map[string]string
	media   string // "" for no body
	body    string
}

// with returns the call with a header.
func (c call) with(name, value string) call {
	c.headers = maps.Clone(c.headers)
	if c.headers == nil {
		c.headers = map[string]string{}
	}
	if c.headers[name] = value; value == "" {
		delete(c.headers, name)
	}
	return c
}

// target is the call's path and query.
func (w *world) target(c call) string {
	path := w.ops[c.op].path
	for name, value := range c.path {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
	}
	if len(c.query) > 0 {
		path += "?" + c.query.Encode()
	}
	return path
}

// send makes the call, and fails the test if the answer is not as described. It
// returns why the description refuses the call, nil if it does not.
func (w *world) send(what string, c call) (r bridgetest.Response, refused error) {
	w.t.Helper()
	d, ok := w.ops[c.op]
	if !ok {
		w.t.Fatalf("%s: no operation %s", what, c.op)
	}
	at := w.URL
	if d.admin {
		at = w.AdminURL
	}
	req, err := http.NewRequest(d.method, at+w.target(c), strings.NewReader(c.body))
	if err != nil {
		w.t.Fatal(err)
	}
	var headers []string
	if c.media != "" {
		headers = append(headers, "Content-Type: "+c.media)
	}
	for _, name := range slices.Sorted(maps.Keys(c.headers)) {
		headers = append(headers, name+": "+c.headers[name])
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	in := &openapi3filter.RequestValidationInput{
		Request: req, PathParams: c.path, QueryParams: c.query,
		Route: &routers.Route{Spec: d.doc, Path: d.path, PathItem: d.item, Method: d.method, Operation: d.op},
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: false, SkipSettingDefaults: true,
			AuthenticationFunc: shown,
		},
	}
	refused = openapi3filter.ValidateRequest(context.Background(), in)
	r = w.Do(d.method, at+w.target(c), c.body, headers...)
	if r.Status >= 500 {
		w.t.Errorf("%s: got %d %s", what, r.Status, r.Body)
	}
	if d.method == http.MethodHead { // which kin-openapi does not look at
		if d.op.Responses.Status(r.Status) == nil {
			w.t.Errorf("%s: HEAD is %d, which is not described", what, r.Status)
		}
		return r, refused
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: r.Status, Header: r.Header,
		Body: io.NopCloser(strings.NewReader(r.Body)), Options: in.Options,
	})
	if err != nil {
		w.t.Errorf("%s: %d %s is not as described: %v", what, r.Status, brief(r.Body), err)
	}
	w.named(what, d, r)
	return r, refused
}

// named fails the test unless the description of the answer names its error.
func (w *world) named(what string, d described, r bridgetest.Response) {
	w.t.Helper()
	code, told := refusal(r), d.told[strconv.Itoa(r.Status)]
	if code != "" && code != "error" && !strings.Contains(told, code) {
		w.t.Errorf("%s: %d is the error %s, which the description of the answer, %q, does not name", what, r.Status, code, told)
	}
}

// refusal returns the error of an answer, "" for none: its slug or, in Authing's
// dialect, its number.
func refusal(r bridgetest.Response) string {
	var body struct {
		Error  *string
		IDaaS  *string `json:"error_code"`
		Code   *json.Number
		Status any
		Data   any
		Errors []struct{ Message struct{ Code json.Number } }
	}
	if json.Unmarshal([]byte(r.Body), &body) != nil {
		return ""
	}
	switch {
	case body.Error != nil:
		return *body.Error
	case body.IDaaS != nil:
		return *body.IDaaS
	case body.Status == "ACCESS_DENIED":
		return "ACCESS_DENIED"
	case len(body.Errors) > 0:
		return string(body.Errors[0].Message.Code)
	case body.Status == "error":
		return "error"
	case body.Status == nil && body.Code != nil && *body.Code != "200":
		return string(*body.Code)
	}
	return ""
}

// shown is satisfied with any Authorization header: whether it is a good one is
// the server's to say.
func shown(_ context.Context, in *openapi3filter.AuthenticationInput) error {
	if in.RequestValidationInput.Request.Header.Get("Authorization") == "" {
		return in.NewError(nil)
	}
	return nil
}

func brief(s string) string {
	if len(s) > 600 {
		return s[:600] + "…"
	}
	return s
}

// later turns the clock until no limit remembers what was refused.
func (w *world) later() { w.Clock.Turn(3*time.Minute + time.Second) }

// pairs encodes a form; values are name and value in turn.
func pairs(values ...string) string {
	var all []string
	for i := 0; i < len(values); i += 2 {
		all = append(all, url.QueryEscape(values[i])+"="+url.QueryEscape(values[i+1]))
	}
	return strings.Join(all, "&")
}

func object(members map[string]any) string {
	b, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestMain(m *testing.M) {
	// What kin-openapi cannot read by itself is text to it.
	for _, media := range []string{"text/html", "application/x-pem-file", "image/png"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.PlainBodyDecoder)
	}
	os.Exit(bridgetest.Main(m))
}
