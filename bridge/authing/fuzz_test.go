package authing

import (
	"encoding/json"
	"errors"
	"testing"

	"app2wxapp/userpool"
)

// Whatever is sent as a GraphQL request: it is refused as invalid, or its answer
// is JSON.
func FuzzGraphQL(f *testing.F) {
	v1, v2 := mustSchema("v1", schemaV1), mustSchema("v2", schemaV2)
	for _, seed := range []string{
		"\n query user($id: String) { user(id: $id) { id identities { openid } } }",
		`mutation updateUser($id: String, $input: UpdateUserInput!) { updateUser(id: $id, input: $input) { id } }`,
		`{ checkLoginStatus { code ...a } } fragment a on JWTTokenStatus { data { id @skip(if: true) } }`,
		`query a { user { ...f } } fragment f on User { ...f }`,
		`{ __schema { types { name } } }`, `mutation { updateUserpool(input: {app2WxappLoginStrategy: {ticketExpriresAfter: 60}}) { id } }`,
		`{`, `"""`, `{ user(id: "\ud800") { id } }`,
	} {
		f.Add(seed, "", `{"id":null,"input":{"nickname":"x","loginsCount":7}}`)
	}
	f.Fuzz(func(t *testing.T, query, operation, variables string) {
		var vars any
		if json.Unmarshal([]byte(variables), &vars) != nil {
			vars = nil
		}
		for _, schema := range [...]struct {
			name string
			of   func() (*request, error)
		}{
			{"v1", func() (*request, error) { return parse(v1, query, operation, vars) }},
			{"v2", func() (*request, error) { return parse(v2, query, operation, vars) }},
		} {
			r, err := schema.of()
			if bad := (*userpool.InvalidError)(nil); err != nil {
				if !errors.As(err, &bad) {
					t.Errorf("%s: %v is not the caller's error", schema.name, err)
				}
				continue
			}
			r.args()
			b, err := r.encode(object{"id": "x", "identities": []object{{"openid": "o"}}, "data": object(nil)})
			if err != nil || !json.Valid(b) {
				t.Errorf("%s: %q, %v", schema.name, b, err)
			}
		}
	})
}
