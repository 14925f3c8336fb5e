package openapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/bridge/casdoor"
	"app2wxapp/bridge/openapi"
)

var update = flag.Bool("update", false, "write the examples anew, from what is answered")

// Every route has its operation, and every operation its route, on the listener
// where it is.
func TestEveryRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	routes := map[string]bool{}
	for admin, handler := range map[bool]any{false: w.Server.Public(), true: w.Server.Admin()} {
		e, ok := handler.(*echo.Echo)
		if !ok {
			t.Fatalf("the handler is %T, which does not tell its routes", handler)
		}
		for _, r := range e.Routes() {
			parts := strings.Split(r.Path, "/")
			for i, part := range parts {
				if name, ok := strings.CutPrefix(part, ":"); ok {
					parts[i] = "{" + name + "}"
				}
			}
			routes[fmt.Sprint(admin, " ", r.Method, " ", strings.Join(parts, "/"))] = true
		}
	}
	for id, d := range w.ops {
		route := fmt.Sprint(d.admin, " ", d.method, " ", d.path)
		if !routes[route] {
			t.Errorf("%s describes %s, which is no route", id, route)
		}
		delete(routes, route)
	}
	for route := range routes {
		t.Errorf("no operation describes the route %s (true: of the admin listener)", route)
	}
}

// Nothing of the admin API is told on the public listener.
func TestPublicKnowsNoAdmin(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	for _, path := range []string{"/openapi.json", "/docs"} {
		if body := b.Do("GET", b.URL+path, "").Want(200).Body; strings.Contains(body, "/admin/") || strings.Contains(body, "/metrics") {
			t.Errorf("%s names the admin API", path)
		}
	}
}

// Other names of Casdoor's calls are names of the operation that has them, and
// are answered as it is.
func TestAliases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := 0
	for id, d := range w.ops {
		also, _ := d.op.Extensions["x-also"].([]any)
		for _, path := range also {
			seen++
			at := strings.ReplaceAll(path.(string), "{application}", w.pool.ID)
			if got, want := casdoor.Canonical(at), strings.ReplaceAll(d.path, "{application}", w.pool.ID); got != want {
				t.Errorf("%s is a name of %s, not of %s (%s)", at, got, want, id)
			}
			if r := w.Do(d.method, w.URL+at, ""); r.Status == 404 || r.Status == 405 {
				t.Errorf("%s %s: got %d", d.method, at, r.Status)
			}
		}
	}
	if seen < 20 {
		t.Errorf("%d other names are told, want those of Casdoor and Hanzo IAM", seen)
	}
}

// Every operation answers, to what it is made for and to what it refuses, as it
// is described; and the examples of the description are such answers.
func TestEveryOperation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	told := map[string]bool{}
	var made []openapi.Example
	for _, s := range stories {
		told[s.op] = true
		w.later()
		c := s.make(w)
		what := s.op + " " + s.name
		r, refused := w.send(what, c)
		if r.Status != s.status || refusal(r) != s.refused {
			t.Errorf("%s: got %d %s, want %d %s", what, r.Status, brief(r.Body), s.status, s.refused)
		}
		if refused != nil && s.status < 400 && s.refused == "" {
			t.Errorf("%s: the description refuses what is answered: %v", what, refused)
		}
		if !strings.HasPrefix(s.op, "admin ") {
			made = append(made, w.example(s, c, r))
		}
	}
	for id := range w.ops {
		if !told[id] {
			t.Errorf("nobody calls %s", id)
		}
	}
	compare(t, made)
}

// What the description refuses of a request is refused, as described.
func TestEveryOperationBroken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sent, against := 0, 0
	for _, s := range stories {
		if s.refused != "" {
			continue
		}
		w.later()
		for i := range w.broken(s.make(w)) {
			w.later()
			b := w.broken(s.make(w))[i] // of a fresh call: the one before spent what it showed
			what := s.op + " " + s.name + ": " + b.what
			r, refused := w.send(what, b.call())
			sent++
			if refused == nil {
				continue
			}
			against++
			if r.Status < 400 && refusal(r) == "" {
				t.Errorf("%s: got %d %s, of which the description says: %v", what, r.Status, brief(r.Body), refused)
			}
		}
	}
	t.Logf("%d broken requests, %d of them against the description", sent, against)
	if sent < 500 || against < 300 {
		t.Errorf("%d broken requests, %d of them against the description: want 500 and 300", sent, against)
	}
}

// anyMedia are operations that take JSON under any Content-Type, since mini
// programs send it so. Their descriptions say that in words.
var anyMedia = []string{"casdoorToken", "casdoorRefresh", "casdoorIntrospect", "casdoorRevoke", "updateUser", "idaasLogin", "idaasLoginByPhone", "idaasBindByPhone", "idaasRegisterBindByPhone", "idaasBindByCode", "idaasRegisterBindByCode", "idaasSendCode", "idaasVerifyCaptcha", "idaasBindByPassword", "idaasLoginByPassword", "idaasVerifyTOTP"}

// broken is a call with one mistake, which call makes: of all only one is.
type broken struct {
	what string
	call func() call
}

// broken returns the call with each mistake that the description tells to be
// one, and some that are none.
func (w *world) broken(c call) (all []broken) {
	d := w.ops[c.op]
	add := func(what string, c call) { all = append(all, broken{what, func() call { return c }}) }
	for _, name := range slices.Sorted(maps.Keys(c.path)) {
		for _, value := range []string{"nobody", "no body", strings.Repeat("a", 65), "%00"} {
			b := c
			b.path = maps.Clone(c.path)
			b.path[name] = value
			add(fmt.Sprintf("path %s=%q", name, value), b)
		}
	}
	if c.headers["Authorization"] != "" {
		add("no Authorization", c.with("Authorization", ""))
		for _, value := range []string{"Bearer nonsense", "Bearer a.b.c", "Basic bm9ib2R5Om5vYm9keQ==", "Digest x"} {
			add("Authorization: "+value, c.with("Authorization", value))
		}
	}
	for _, p := range d.op.Parameters {
		if p.Value.In != "query" {
			continue
		}
		values := []string{"", strings.Repeat("a", 65), "\x00", "-1", "ü"}
		for _, value := range values {
			b := c
			b.query = maps.Clone(c.query)
			if b.query == nil {
				b.query = url.Values{}
			}
			b.query.Set(p.Value.Name, value)
			add(fmt.Sprintf("query %s=%q", p.Value.Name, value), b)
		}
		b := c
		b.query = maps.Clone(c.query)
		b.query.Del(p.Value.Name)
		add("no query "+p.Value.Name, b)
	}
	if d.op.RequestBody == nil || c.media == "" {
		return all
	}
	for _, media := range []string{"text/plain", "application/xml", jsonBody, form} {
		b := c
		if b.media = media; media != c.media && !(slices.Contains(anyMedia, c.op) && c.media == jsonBody) {
			add("as "+media, b)
		}
	}
	for _, body := range []string{"", "{", "[]", "null", `"text"`, "%zz", strings.Repeat("a", 70<<10), "\xff\xfe"} {
		b := c
		b.body = body
		add("body "+brief(body[:min(len(body), 10)]), b)
	}
	content := d.op.RequestBody.Value.Content.Get(c.media)
	switch {
	case content == nil:
	case c.media == jsonBody:
		var body map[string]any
		if json.Unmarshal([]byte(c.body), &body) != nil {
			return all
		}
		for _, p := range members(content.Schema.Value, "") {
			if _, ok := within(body, p); !ok {
				continue
			}
			for _, v := range []any{nil, true, 12, -1, 1.5, "", strings.Repeat("a", 600), "no such", []any{}, map[string]any{"a": 1}, remove} {
				all = append(all, broken{fmt.Sprintf("%s=%v", p, brief(fmt.Sprint(v))), func() call { return mutate(c, p, v) }})
			}
		}
	case c.media == form:
		given, err := url.ParseQuery(c.body)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, name := range slices.Sorted(maps.Keys(given)) {
			for _, values := range [][]string{nil, {""}, {given.Get(name), "twice"}, {"\x00"}, {"\xff"}, {strings.Repeat("a", 600)}} {
				b, changed := c, maps.Clone(given)
				changed[name] = values
				b.body = changed.Encode()
				add(fmt.Sprintf("%s=%q", name, brief(fmt.Sprint(values))), b)
			}
		}
	}
	return all
}

// remove stands for a member that is not there.
var remove = new(int)

// members returns the paths of an object's members, a.b for one of an object in
// it.
func members(s *openapi3.Schema, prefix string) (all []string) {
	for _, of := range [][]*openapi3.SchemaRef{s.AnyOf, s.OneOf} {
		for _, one := range of {
			all = append(all, members(one.Value, prefix)...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		all = append(all, prefix+name)
		all = append(all, members(s.Properties[name].Value, prefix+name+".")...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// mutate sets a member of the call's body, or removes it.
func mutate(c call, path string, v any) call {
	var body map[string]any
	if err := json.Unmarshal([]byte(c.body), &body); err != nil {
		panic(err) // broken has read it
	}
	at, _ := within(body, path)
	last := path[strings.LastIndexByte(path, '.')+1:]
	if at[last] = v; v == remove {
		delete(at, last)
	}
	c.body = object(body)
	return c
}

// within returns the object in which the member of that path is or would be, and
// whether there is one.
func within(body map[string]any, path string) (at map[string]any, ok bool) {
	parts := strings.Split(path, ".")
	for _, part := range parts[:len(parts)-1] {
		if body, ok = body[part].(map[string]any); !ok {
			return nil, false
		}
	}
	return body, true
}

// host stands in the examples for the server's address.
const host = "https://login.example.com"

// example returns the call and its answer as an example.
func (w *world) example(s story, c call, r bridgetest.Response) openapi.Example {
	plain := strings.NewReplacer(w.URL, host, url.QueryEscape(w.URL), url.QueryEscape(host)).Replace
	e := openapi.Example{Operation: s.op, Name: s.name, Method: w.ops[c.op].method, Path: w.target(c), Status: r.Status}
	for _, name := range slices.Sorted(maps.Keys(c.headers)) {
		e.Headers = append(e.Headers, name+": "+plain(c.headers[name]))
	}
	switch {
	case strings.HasPrefix(c.media, multipart):
		e.Type, e.Body = multipart, json.RawMessage(`{"file":"avatar.png"}`)
	case c.media == form:
		e.Type, e.Body = c.media, quote(plain(c.body))
	case c.media != "":
		e.Type, e.Body = c.media, json.RawMessage(plain(c.body))
	}
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch {
	case s.op == "description" || r.Body == "":
	case media == jsonBody:
		e.AnswerType, e.Answer = media, json.RawMessage(plain(r.Body))
	case media == "application/x-pem-file":
		e.AnswerType, e.Answer = media, quote(r.Body)
	}
	return e
}

func quote(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return b
}

// compare fails the test unless the description's examples are what was made,
// but for what is another every time. With -update it writes them.
func compare(t *testing.T, made []openapi.Example) {
	t.Helper()
	const name = "examples.json"
	if *update {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		if err := enc.Encode(made); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var kept []openapi.Example
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	if len(kept) != len(made) {
		t.Fatalf("%s has %d examples, want %d: go test ./bridge/openapi -run TestEveryOperation$ -update", name, len(kept), len(made))
	}
	for i, e := range made {
		k := kept[i]
		if k.Operation != e.Operation || k.Name != e.Name || k.Method != e.Method || k.Status != e.Status || k.Type != e.Type || k.AnswerType != e.AnswerType {
			t.Errorf("example %s %s is kept as %s %s %d", e.Operation, e.Name, k.Operation, k.Name, k.Status)
			continue
		}
		for what, texts := range map[string][2]json.RawMessage{"request": {k.Body, e.Body}, "answer": {k.Answer, e.Answer}} {
			if diff := shape("", decoded(t, texts[0]), decoded(t, texts[1])); diff != "" {
				t.Errorf("example %s %s: the %s is no more as it was:%s", e.Operation, e.Name, what, diff)
			}
		}
	}
}

func decoded(t *testing.T, text json.RawMessage) (v any) {
	t.Helper()
	if len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// fixed are the members whose values are the same every time.
var fixed = []string{"message", "error", "error_description", "status", "msg", "token_type", "active", "scope", "error_code", "error_msg"}

// shape returns how two values differ in their members and types, and in what is
// fixed; "" if they do not.
func shape(at string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf(" %s is no object any more", at)
		}
		diff := ""
		for _, name := range slices.Sorted(maps.Keys(want)) {
			v, there := got[name]
			switch _, text := v.(string); {
			case !there:
				diff += fmt.Sprintf(" %s.%s is gone", at, name)
			case (slices.Contains(fixed, name) && text || name == "code" && !text) && v != want[name]:
				diff += fmt.Sprintf(" %s.%s is %v, was %v", at, name, v, want[name])
			default:
				diff += shape(at+"."+name, want[name], v)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(got)) {
			if _, there := want[name]; !there {
				diff += fmt.Sprintf(" %s.%s is new", at, name)
			}
		}
		return diff
	case []any:
		got, ok := got.([]any)
		if !ok || (len(got) == 0) != (len(want) == 0) {
			return fmt.Sprintf(" %s is another list", at)
		}
		if len(got) > 0 {
			return shape(at+"[]", want[0], got[0])
		}
		return ""
	}
	if w, g := fmt.Sprintf("%T", want), fmt.Sprintf("%T", got); w != g {
		return fmt.Sprintf(" %s is %s, was %s", at, g, w)
	}
	return ""
}
