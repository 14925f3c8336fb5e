package openapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed page.css
var pageCSS string

// page returns the document as HTML, and the Content-Security-Policy under which
// it is shown: its one style sheet, and nothing else.
func (d *document) page() (page []byte, policy string) {
	info, groups := member(d.root, "info"), d.groups()
	var s sheet
	s.put(`<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s · API</title><style>`+pageCSS+"</style></head>\n<body><header><h1>%s <small>%s</small></h1>\n<p class=\"lead\">%s</p>\n",
		said(info, "title"), said(info, "title"), said(info, "version"), said(info, "summary"))
	s.prose(said(info, "description"))
	s.put("<p><code>%s</code> · <a href=\"/openapi.json\">openapi.json</a></p>\n<nav>", d.server())
	for _, g := range groups {
		s.put(`<a href="#%s">%s</a> `, g.Name, g.Title)
	}
	s.put("</nav></header>\n<main>\n")
	for _, g := range groups {
		s.group(g)
	}
	s.put("</main></body></html>\n")
	sum := sha256.Sum256([]byte(pageCSS))
	policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return []byte(s.String()), policy
}

// group is the operations of a tag.
type group struct {
	Name, Title string
	Operations  []operation
}

type operation struct {
	ID, Method, Path, Title, Description string
	Also                                 []string // other names of the path
	Security                             []string
	Parameters                           []row
	Bodies                               []body
	Answers                              []answer
	Curls                                []curl
}

// row is a parameter, or a member of an object.
type row struct {
	Name, Where, Type, Description string
	Required                       bool
}

// body is what is sent or answered under a media type; one row is enough for
// what is no object.
type body struct {
	Type     string
	Variants []variant
}

type variant struct {
	Name string // "" if there is one only
	Rows []row
}

type answer struct {
	Status, Description string
	Bodies              []body
}

// curl is an example.
type curl struct {
	Name, Command, Answer string
	Status                int
}

func (d *document) server() string {
	server := said(member(d.root, "servers").Content[0], "url")
	if server == "/" {
		return "$ADMIN"
	}
	return server
}

func (d *document) groups() (all []group) {
	for _, tag := range member(d.root, "tags").Content {
		g := group{Name: said(tag, "name"), Title: said(tag, "description")}
		paths := member(d.root, "paths")
		for i := 0; i < len(paths.Content); i += 2 {
			item := paths.Content[i+1]
			for j := 0; j < len(item.Content); j += 2 {
				op := item.Content[j+1]
				if tags := member(op, "tags"); tags != nil && tags.Content[0].Value == g.Name {
					g.Operations = append(g.Operations, d.view(paths.Content[i].Value, item.Content[j].Value, op))
				}
			}
		}
		all = append(all, g)
	}
	return all
}

func (d *document) view(path, method string, op *yaml.Node) operation {
	o := operation{
		ID: said(op, "operationId"), Method: strings.ToUpper(method), Path: path,
		Title: said(op, "summary"), Description: said(op, "description"),
	}
	for _, also := range items(member(op, "x-also")) {
		o.Also = append(o.Also, also.Value)
	}
	o.Security = d.security(op)
	for _, p := range items(member(op, "parameters")) {
		p = d.follow(p)
		o.Parameters = append(o.Parameters, row{
			Name: said(p, "name"), Where: said(p, "in"), Type: d.kind(member(p, "schema")), Description: said(p, "description"),
			Required: said(p, "required") == "true",
		})
	}
	o.Bodies = d.bodies(d.follow(member(op, "requestBody")))
	answers := member(op, "responses")
	for i := 0; i < len(answers.Content); i += 2 {
		told := said(answers.Content[i+1], "description")
		at := d.follow(answers.Content[i+1])
		if told == "" {
			told = said(at, "description")
		}
		o.Answers = append(o.Answers, answer{answers.Content[i].Value, told, d.bodies(at)})
	}
	for _, e := range d.examples {
		if e.Operation == o.ID {
			o.Curls = append(o.Curls, d.curl(e))
		}
	}
	return o
}

// security says what the caller shows, one line for each way.
func (d *document) security(op *yaml.Node) (all []string) {
	ways := member(op, "security")
	if ways == nil {
		ways = member(d.root, "security")
	}
	for _, way := range items(ways) {
		for i := 0; i < len(way.Content); i += 2 {
			scheme := member(member(member(d.root, "components"), "securitySchemes"), way.Content[i].Value)
			name := "Bearer"
			if said(scheme, "scheme") == "basic" {
				name = "Basic"
			}
			all = append(all, name+": "+said(scheme, "description"))
		}
	}
	return all
}

// bodies are those of a request or of an answer. An answer that is an error, of
// which there are many alike, is its first line only.
func (d *document) bodies(n *yaml.Node) (all []body) {
	content := member(n, "content")
	if content == nil {
		return nil
	}
	for i := 0; i < len(content.Content); i += 2 {
		schema := member(content.Content[i+1], "schema")
		b := body{Type: content.Content[i].Value}
		choices := items(member(d.follow(schema), "oneOf"))
		if choices == nil {
			choices = items(member(d.follow(schema), "anyOf"))
		}
		if choices == nil {
			b.Variants = []variant{{Rows: d.rows("", schema, 0)}}
		}
		for _, c := range choices {
			b.Variants = append(b.Variants, variant{nameOf(c), d.rows("", c, 0)})
		}
		if i > 0 && slices.EqualFunc(all[0].Variants, b.Variants, func(a, b variant) bool { return slices.Equal(a.Rows, b.Rows) }) {
			all[0].Type += ", " + b.Type
			continue
		}
		all = append(all, b)
	}
	return all
}

// nameOf returns the name of the schema that is referred to.
func nameOf(n *yaml.Node) string {
	ref := said(n, "$ref")
	return ref[strings.LastIndexByte(ref, '/')+1:]
}

// deepest is how far objects within objects are shown.
const deepest = 3

// rows are the members of an object, those of objects in it as a.b; of anything
// else the one row that tells its type.
func (d *document) rows(prefix string, schema *yaml.Node, depth int) (all []row) {
	schema = d.follow(schema)
	properties := member(schema, "properties")
	if properties == nil {
		if prefix == "" {
			return []row{{Type: d.kind(schema), Description: said(schema, "description")}}
		}
		return nil
	}
	for i := 0; i < len(properties.Content); i += 2 {
		name, p := properties.Content[i].Value, properties.Content[i+1]
		required := slices.ContainsFunc(items(member(schema, "required")), func(n *yaml.Node) bool { return n.Value == name })
		all = append(all, row{
			Name: prefix + name, Type: d.kind(p), Description: said(d.follow(p), "description"), Required: required,
		})
		inner, dot := d.follow(p), "."
		if of := member(inner, "items"); of != nil {
			inner, dot = of, "[]."
		}
		if depth < deepest {
			all = append(all, d.rows(prefix+name+dot, inner, depth+1)...)
		}
	}
	return all
}

// kind says in a few words what a schema lets be.
func (d *document) kind(schema *yaml.Node) string {
	schema = d.follow(schema)
	if v := member(schema, "const"); v != nil {
		return literal(v)
	}
	if of := items(member(schema, "enum")); of != nil {
		var all []string
		for _, v := range of {
			all = append(all, literal(v))
		}
		return strings.Join(all, " | ")
	}
	var kinds []string
	if t := member(schema, "type"); t != nil {
		kinds = append(kinds, t.Value)
		for _, v := range t.Content {
			kinds = append(kinds, v.Value)
		}
	}
	kinds = slices.DeleteFunc(kinds, func(s string) bool { return s == "" })
	words := strings.Join(kinds, " | ")
	low, high := said(schema, "minimum"), said(schema, "maximum")
	if low+high != "" {
		words += " " + low + "–" + high
	}
	if most := said(schema, "maxLength"); most != "" {
		words += " ≤ " + most
	}
	return words
}

func literal(v *yaml.Node) string {
	if v.Tag == "!!str" {
		return strconv.Quote(v.Value)
	}
	return v.Value
}

// curl writes an example as a command for a shell.
func (d *document) curl(e Example) curl {
	var b strings.Builder
	b.WriteString("curl -s")
	if e.Method != "GET" && !(e.Method == "POST" && e.Type != "") {
		b.WriteString(" -X " + e.Method)
	}
	server := d.server()
	if server == "$ADMIN" {
		b.WriteString(` "$ADMIN"` + quoted(e.Path))
	} else {
		b.WriteString(" " + quoted(server+e.Path))
	}
	for _, h := range e.Headers {
		b.WriteString(" \\\n  -H " + quoted(h))
	}
	if e.Type != "" && e.Type != mediaForm && e.Type != mediaMultipart {
		b.WriteString(" \\\n  -H " + quoted("Content-Type: "+e.Type))
	}
	switch {
	case e.Type == mediaMultipart:
		b.WriteString(" \\\n  -F file=@avatar.png")
	case e.Type == mediaForm:
		var text string
		if json.Unmarshal(e.Body, &text) == nil {
			for pair := range strings.SplitSeq(text, "&") {
				b.WriteString(" \\\n  -d " + quoted(pair))
			}
		}
	case e.Type != "":
		var line bytes.Buffer
		if json.Compact(&line, e.Body) == nil {
			b.WriteString(" \\\n  -d " + quoted(line.String()))
		}
	}
	answered := string(e.Answer)
	var plain string
	if json.Unmarshal(e.Answer, &plain) == nil {
		answered = plain
	}
	var indented bytes.Buffer
	if json.Indent(&indented, []byte(answered), "", "  ") == nil {
		answered = indented.String()
	}
	at := strings.NewReplacer(host, server)
	if server == "$ADMIN" {
		at = strings.NewReplacer()
	}
	return curl{e.Name, at.Replace(b.String()), at.Replace(answered), e.Status}
}

const mediaMultipart = "multipart/form-data"

// quoted quotes for a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// items are those of a list, nil of what is none.
func items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// said returns the object's member as text, "" if it has none.
func said(n *yaml.Node, name string) string {
	if v := member(n, name); v != nil {
		return v.Value
	}
	return ""
}

// code is what stands between backquotes.
var code = regexp.MustCompile("`([^`]*)`")
