package openapi

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"app2wxapp/quote"
)

//go:embed *.yaml examples.json
var files embed.FS

// document is a description as YAML nodes, which keep the order of their
// members.
type document struct {
	root     *yaml.Node
	examples []Example
}

// joined are the members of which each file has a part. Whatever else a file
// has, it alone has.
var joined = []string{"tags", "paths", "components"}

// join makes one document of the files, adds the address and the version, and
// puts the examples where they belong.
func join(server, version string, names []string) (*document, error) {
	d := &document{root: &yaml.Node{Kind: yaml.MappingNode}}
	for _, name := range names {
		part, err := read(name)
		if err != nil {
			return nil, err
		}
		if err := merge(d.root, part, joined...); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	put(member(d.root, "info"), "version", text(version))
	put(d.root, "servers", list(object("url", text(server))))
	text, err := fs.ReadFile(files, "examples.json")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &d.examples); err != nil {
		return nil, fmt.Errorf("examples.json: %w", err)
	}
	return d, d.exemplify(server)
}

func read(name string) (*yaml.Node, error) {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return plain(n.Content[0]), nil
}

// plain returns a copy of the node without aliases and merge keys, each place
// with nodes of its own.
func plain(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return plain(n.Alias)
	}
	c := *n
	c.Anchor, c.Content = "", nil
	for i, v := range n.Content {
		switch {
		case n.Kind == yaml.MappingNode && i%2 == 0 && v.Tag == "!!merge":
		case n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Tag == "!!merge":
			c.Content = append(c.Content, plain(v).Content...)
		default:
			c.Content = append(c.Content, plain(v))
		}
	}
	return &c
}

// merge adds the members of from to those of to. One that both have is an error,
// unless it is among the parts: then the two lists, or the two objects, become
// one.
func merge(to, from *yaml.Node, parts ...string) error {
	for i := 0; i < len(from.Content); i += 2 {
		key, value := from.Content[i].Value, from.Content[i+1]
		there := member(to, key)
		switch {
		case there == nil:
			put(to, key, value)
		case value.Kind == yaml.SequenceNode && slices.Contains(parts, key):
			there.Content = append(there.Content, value.Content...)
		case value.Kind == yaml.MappingNode && slices.Contains(parts, key):
			if err := merge(there, value, kinds...); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		default:
			return fmt.Errorf("%q is there twice", key)
		}
	}
	return nil
}

// kinds are the parts of components.
var kinds = []string{"schemas", "responses", "parameters", "headers", "securitySchemes", "requestBodies"}

// Example is a request that was made, and what was answered.
type Example struct {
	Operation string `json:"operation"` // operationId
	Name      string `json:"name"`
	Method    string `json:"method"`
	Path      string `json:"path"` // with the query
	// Headers are "Name: value", without Content-Type.
	Headers []string        `json:"headers,omitempty"`
	Type    string          `json:"type,omitempty"` // media type of the body
	Body    json.RawMessage `json:"body,omitempty"` // JSON, or a form's or other text as a JSON string
	Status  int             `json:"status"`
	// AnswerType and Answer are as Type and Body, of the answer.
	AnswerType string          `json:"answerType,omitempty"`
	Answer     json.RawMessage `json:"answer,omitempty"`
}

// host stands in examples.json for the server's address.
const host = "https://login.example.com"

// exemplify puts the examples of the document's operations at their bodies.
func (d *document) exemplify(server string) error {
	if server == "/" {
		server = ""
	}
	for _, e := range d.examples {
		op := d.operation(e.Operation)
		if op == nil {
			continue // the other listener's
		}
		if e.Type != "" {
			body := d.follow(member(op, "requestBody"))
			if err := exemplify(body, e.Type, e.Name, e.Body, server); err != nil {
				return fmt.Errorf("request of example %s of %s: %w", e.Name, e.Operation, err)
			}
		}
		if e.AnswerType != "" {
			answers := member(op, "responses")
			status := strconv.Itoa(e.Status)
			answer := member(answers, status)
			if answer == nil {
				return fmt.Errorf("%s has an example of %s, which is not described", e.Operation, status)
			}
			// A response that several operations share gets examples of its own here.
			if ref := member(answer, "$ref"); ref != nil {
				told := member(answer, "description")
				answer = plain(d.follow(answer))
				if told != nil {
					put(answer, "description", told)
				}
				put(answers, status, answer)
			}
			if err := exemplify(answer, e.AnswerType, e.Name, e.Answer, server); err != nil {
				return fmt.Errorf("answer of example %s of %s: %w", e.Name, e.Operation, err)
			}
		}
	}
	return nil
}

var errContent = errors.New("the description has no such content")

// exemplify puts the value at the content of that type as an example.
func exemplify(at *yaml.Node, media, name string, value json.RawMessage, server string) error {
	content := member(member(at, "content"), media)
	if content == nil {
		return fmt.Errorf("%s: %w", media, errContent)
	}
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(string(value), host, server)), &n); err != nil {
		return err
	}
	v := n.Content[0]
	if media == mediaForm {
		given, err := url.ParseQuery(v.Value)
		if err != nil {
			return err
		}
		v = &yaml.Node{Kind: yaml.MappingNode}
		for _, pair := range strings.Split(n.Content[0].Value, "&") {
			key, _, _ := strings.Cut(pair, "=")
			put(v, key, text(given.Get(key)))
		}
	}
	all := member(content, "examples")
	if all == nil {
		all = &yaml.Node{Kind: yaml.MappingNode}
		put(content, "examples", all)
	}
	put(all, name, object("value", v))
	return nil
}

const (
	mediaForm = "application/x-www-form-urlencoded"
	mediaJSON = "application/json"
)

// operation returns the operation of that id, nil if the document has none.
func (d *document) operation(id string) *yaml.Node {
	for _, item := range values(member(d.root, "paths")) {
		for _, op := range values(item) {
			if is := member(op, "operationId"); is != nil && is.Value == id {
				return op
			}
		}
	}
	return nil
}

// follow returns what a $ref means, or the node itself if it is none.
func (d *document) follow(n *yaml.Node) *yaml.Node {
	ref := member(n, "$ref")
	if ref == nil {
		return n
	}
	at := d.root
	for part := range strings.SplitSeq(strings.TrimPrefix(ref.Value, "#/"), "/") {
		at = member(at, part)
	}
	return at
}

// json returns the document as JSON, members in the order of the files.
func (d *document) json() ([]byte, error) { return appendJSON(nil, d.root) }

func appendJSON(b []byte, n *yaml.Node) (_ []byte, err error) {
	switch n.Kind {
	case yaml.MappingNode:
		b = append(b, '{')
		for i := 0; i < len(n.Content); i += 2 {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(quote.Append(b, n.Content[i].Value), ':')
			if b, err = appendJSON(b, n.Content[i+1]); err != nil {
				return b, err
			}
		}
		return append(b, '}'), nil
	case yaml.SequenceNode:
		b = append(b, '[')
		for i, v := range n.Content {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendJSON(b, v); err != nil {
				return b, err
			}
		}
		return append(b, ']'), nil
	case yaml.ScalarNode:
		switch n.Tag {
		case "!!str":
			return quote.Append(b, n.Value), nil
		case "!!int", "!!float", "!!bool", "!!null":
			return append(b, n.Value...), nil
		}
	}
	return b, fmt.Errorf("line %d: %s is not for JSON", n.Line, n.Tag)
}

// member returns the object's member, nil if it has none.
func member(n *yaml.Node, name string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// values returns the members' values, none of what is no object.
func values(n *yaml.Node) (all []*yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 1; i < len(n.Content); i += 2 {
		all = append(all, n.Content[i])
	}
	return all
}

// put sets the object's member.
func put(n *yaml.Node, name string, value *yaml.Node) {
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			n.Content[i+1] = value
			return
		}
	}
	n.Content = append(n.Content, text(name), value)
}

func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

func list(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Content: items}
}

func object(name string, value *yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text(name), value}}
}
