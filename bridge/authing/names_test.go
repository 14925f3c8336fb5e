package authing_test

import "testing"

// Whoever has no username goes by the id in other dialects: it is nobody else's
// to choose.
func TestUsernameOfAnothersID(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	victim, u := r.login("victim"), r.login("alice")
	r.Admin("POST", "/admin/v1/pools/"+r.pool.ID+"/users", `{"id":"10001"}`).Want(201)
	const choose = `mutation($i:UpdateUserInput!){updateUser(input:$i){username}}`
	for id, code := range map[string]int{victim.ID: 2231, "10001": 2026} {
		input := map[string]any{"i": map[string]any{"username": id}}
		r.wantGraphQL("username "+id, r.graphql(u.Token, choose, input), code, "updateUser")
	}
}
