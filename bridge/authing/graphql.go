package authing

import (
	"context"
	_ "embed"

	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"

	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// Limits of a document. The longest of the SDKs has 140 tokens, 90 fields and
// is 4 deep.
const (
	maxTokens = 1000
	maxDepth  = 8
	maxFields = 300 // with fragments put in where they are spread
)

//go:embed schema.graphql
var schemaV2 string

//go:embed schema_v1.graphql
var schemaV1 string

func mustSchema(name, text string) *ast.Schema {
	return gqlparser.MustLoadSchema(&ast.Source{Name: name, Input: text, BuiltIn: true})
}

// object is the value of an object type: its fields by name. One that is not
// there is null.
type object map[string]any

// resolver answers the one field of a document's root.
type resolver func(ctx context.Context, args map[string]any) (object, error)

// request is a GraphQL request: one operation that asks for one field of the
// root, checked against the schema.
type request struct {
	schema *ast.Schema
	doc    *ast.QueryDocument
	root   *ast.Field
	vars   map[string]any
}

// errDocument returns the error of a request that is none.
func errDocument(en, zh string) error { return userpool.Invalid("query", en, zh) }

// parse reads a request. variables is nil or what wire.Read made of an object.
// It returns an *userpool.InvalidError.
func parse(schema *ast.Schema, query, operation string, variables any) (*request, error) {
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: query}, maxTokens)
	if err != nil {
		return nil, errDocument("must be a GraphQL document of at most 1000 tokens", "必须为合法的 GraphQL 文档，最多 1000 个词")
	}
	if len(doc.Operations) != 1 {
		return nil, errDocument("must have one operation", "必须恰好有一个操作")
	}
	// Before the validator, which follows fragments, too.
	budget := maxFields
	for _, set := range append([]ast.SelectionSet{doc.Operations[0].SelectionSet}, fragments(doc)...) {
		if !within(doc, set, maxDepth, &budget) {
			return nil, errDocument("must be at most 8 deep and have at most 300 fields, fragments put in", "嵌套最多 8 层，展开片段后最多 300 个字段")
		}
	}
	if introspects(doc) {
		return nil, errDocument("must not ask for the schema", "不提供内省")
	}
	if errs := validator.ValidateWithRules(schema, doc, nil); len(errs) > 0 {
		return nil, errDocument("asks for what is not spoken here: "+errs[0].Message, "包含本服务不支持的内容："+errs[0].Message)
	}
	op := doc.Operations[0]
	if operation != "" && operation != op.Name {
		return nil, userpool.Invalid("operationName", "must name the operation of the document", "必须为文档中的操作名")
	}
	given, ok := variables.(map[string]any)
	if !ok && variables != nil {
		return nil, userpool.Invalid("variables", "must be an object", "必须为对象")
	}
	vars, err := validator.VariableValues(schema, op, given)
	if err != nil {
		return nil, userpool.Invalid("variables", "do not fit the operation: "+err.Error(), "与操作不符："+err.Error())
	}
	r := &request{schema: schema, doc: doc, vars: vars}
	roots := r.collect(nil, op.SelectionSet)
	if len(roots) != 1 {
		return nil, errDocument("must ask for one field of the root", "根上必须恰好请求一个字段")
	}
	r.root = roots[0].fields[0]
	return r, nil
}

func fragments(doc *ast.QueryDocument) (sets []ast.SelectionSet) {
	for _, f := range doc.Fragments {
		sets = append(sets, f.SelectionSet)
	}
	return sets
}

// within tells whether the selection, with fragments put in, is at most so deep,
// and takes its fields off the budget. Fragments that spread each other are too
// deep.
func within(doc *ast.QueryDocument, set ast.SelectionSet, depth int, budget *int) bool {
	if depth < 0 {
		return false
	}
	for _, s := range set {
		if *budget--; *budget < 0 {
			return false
		}
		inner := ast.SelectionSet(nil)
		switch s := s.(type) {
		case *ast.Field:
			inner = s.SelectionSet
		case *ast.InlineFragment:
			inner = s.SelectionSet
		case *ast.FragmentSpread:
			if f := doc.Fragments.ForName(s.Name); f != nil {
				inner = f.SelectionSet
			}
		}
		if !within(doc, inner, depth-1, budget) {
			return false
		}
	}
	return true
}

// introspects tells whether the document asks for the schema anywhere.
func introspects(doc *ast.QueryDocument) bool {
	for _, set := range append([]ast.SelectionSet{doc.Operations[0].SelectionSet}, fragments(doc)...) {
		if asksSchema(set) {
			return true
		}
	}
	return false
}

func asksSchema(set ast.SelectionSet) bool {
	return slices.ContainsFunc(set, func(s ast.Selection) bool {
		switch s := s.(type) {
		case *ast.Field:
			return s.Name == "__schema" || s.Name == "__type" || asksSchema(s.SelectionSet)
		case *ast.InlineFragment:
			return asksSchema(s.SelectionSet)
		}
		return false
	})
}

// answer is a field of an answer: one key, and the selections that ask for it.
type answer struct {
	key    string
	fields []*ast.Field
}

// collect adds the fields of a selection to the answers, in order, fragments put
// in: GraphQL's CollectFields. All object types are their own only type, so that
// every fragment that was found valid applies.
func (r *request) collect(answers []answer, set ast.SelectionSet) []answer {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			if !r.wanted(s.Directives) {
				continue
			}
			i := slices.IndexFunc(answers, func(a answer) bool { return a.key == s.Alias })
			if i < 0 {
				i = len(answers)
				answers = append(answers, answer{key: s.Alias})
			}
			answers[i].fields = append(answers[i].fields, s)
		case *ast.InlineFragment:
			if r.wanted(s.Directives) {
				answers = r.collect(answers, s.SelectionSet)
			}
		case *ast.FragmentSpread:
			if r.wanted(s.Directives) {
				answers = r.collect(answers, s.Definition.SelectionSet)
			}
		}
	}
	return answers
}

// wanted tells what @skip and @include say.
func (r *request) wanted(directives ast.DirectiveList) bool {
	for _, d := range directives {
		if on, _ := d.ArgumentMap(r.vars)["if"].(bool); d.Name == "skip" && on || d.Name == "include" && !on {
			return false
		}
	}
	return true
}

// field returns the name of the root's field.
func (r *request) field() string { return r.root.Name }

// args returns the arguments of the root's field.
func (r *request) args() map[string]any { return r.root.ArgumentMap(r.vars) }

// encode returns the data of the answer: of the resolved value what was asked
// for, in that order.
func (r *request) encode(v object) ([]byte, error) {
	b := r.appendKey([]byte{'{'}, r.root.Alias)
	b, err := r.appendValue(b, v, []*ast.Field{r.root})
	return append(b, '}'), err
}

func (r *request) appendKey(b []byte, key string) []byte {
	b = append(b, '"')
	b = append(b, key...) // a GraphQL name needs no escaping
	return append(b, '"', ':')
}

func (r *request) appendValue(b []byte, v any, fields []*ast.Field) (_ []byte, err error) {
	switch v := v.(type) {
	case object:
		if v == nil {
			return append(b, "null"...), nil
		}
		var set []answer
		for _, f := range fields {
			set = r.collect(set, f.SelectionSet)
		}
		b = append(b, '{')
		for i, a := range set {
			if i > 0 {
				b = append(b, ',')
			}
			b = r.appendKey(b, a.key)
			value := v[a.fields[0].Name]
			if a.fields[0].Name == "__typename" {
				value = a.fields[0].ObjectDefinition.Name
			}
			if b, err = r.appendValue(b, value, a.fields); err != nil {
				return b, err
			}
		}
		return append(b, '}'), nil
	case []object:
		b = append(b, '[')
		for i, o := range v {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = r.appendValue(b, o, fields); err != nil {
				return b, err
			}
		}
		return append(b, ']'), nil
	}
	text, err := wire.JSON(v)
	if err != nil {
		return b, fmt.Errorf("encode %s: %w", fields[0].Name, err)
	}
	return append(b, text...), nil
}
