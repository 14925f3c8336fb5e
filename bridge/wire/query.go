package wire

import (
	"maps"
	"net/http"
	"net/url"
	"slices"

	"app2wxapp/userpool"
)

// CheckQuery returns an *userpool.InvalidError unless the request's query has
// only these names, each once at most. With a misspelt filter a list would be of
// everything; of two values somebody before us may read the other one.
func CheckQuery(r *http.Request, names ...string) error {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return userpool.Invalid("query", "must be well-formed", "格式不正确")
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		switch {
		case !slices.Contains(names, name):
			if !printable(name) {
				name = "…"
			}
			return userpool.Invalid(name, "is not known here", "不是可用的参数")
		case len(given[name]) > 1:
			return userpool.Invalid(name, "is given more than once", "重复出现")
		}
	}
	return nil
}
