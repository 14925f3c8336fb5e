package token

import (
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

// audience is an aud, which RFC 7519 §4.1.3 lets be a text or a list of texts.
type audience struct {
	names []string
	list  bool
}

var errAudience = errors.New("neither a text nor a list of texts")

// UnmarshalJSONFrom reads a text or a list of texts.
func (a *audience) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	switch t.Kind() {
	case '"':
		*a = audience{names: []string{t.String()}}
		return nil
	case '[':
	default:
		return errAudience
	}
	*a = audience{list: true}
	for d.PeekKind() != ']' {
		if t, err = d.ReadToken(); err != nil {
			return err
		}
		if t.Kind() != '"' {
			return errAudience
		}
		a.names = append(a.names, t.String())
	}
	_, err = d.ReadToken()
	return err
}

// is tells whether the audience is that one alone, as a list or as a text.
func (a *audience) is(name string, list bool) bool {
	return a != nil && a.list == list && len(a.names) == 1 && a.names[0] == name
}

// only returns the audience that is one text, "" if it is none.
func (a *audience) only() string {
	if a == nil || a.list {
		return ""
	}
	return a.names[0]
}
