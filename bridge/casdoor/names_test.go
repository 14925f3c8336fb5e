package casdoor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"app2wxapp/bridge"
	"app2wxapp/bridge/bridgetest"
	"app2wxapp/userpool"
)

// A client that knows its users by name must not be told one user for another:
// who has no username goes by the id.
func TestIDIsNoUsername(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	b.Ticket(p, "victim")
	victim := account(b, login(b, p, "victim").Access)["id"].(string)
	b.Admin("POST", "/admin/v1/pools/"+p.ID+"/users", `{"id":"10001"}`).Want(201)
	for _, id := range []string{victim, "10001"} {
		got := login(b, p, "attacker of "+id, "username", id)
		var c struct{ Name string }
		if err := json.Unmarshal([]byte(claims(t, got.Access)), &c); err != nil {
			t.Fatal(err)
		}
		if want := "wechat-" + openID("attacker of "+id); c.Name != want {
			t.Errorf("as %s: the token has the name %q, want %q", id, c.Name, want)
		}
	}
	b.Admin("POST", "/admin/v1/pools/"+p.ID+"/users", fmt.Sprintf(`{"id":"10002","username":%q}`, victim)).WantError(409, 2026, "user_exists")
	login(b, p, "lee", "username", "Lee")
	b.Admin("POST", "/admin/v1/pools/"+p.ID+"/users", `{"id":"Lee"}`).WantError(409, 2026, "user_exists")
}

// mistaken is a store of old, in which that user has another's id as a username.
type mistaken struct {
	bridge.Store
	name string
	user *userpool.User
}

func (s *mistaken) FindUsers(ctx context.Context, poolID string, k userpool.Keys) (userpool.Matches, error) {
	if s.user != nil && k.Username == s.name {
		u := *s.user
		u.Username = s.name
		return userpool.Matches{ByUsername: &u}, nil
	}
	return s.Store.FindUsers(ctx, poolID, k)
}

// An application that means a user by the id gets that user, whatever others are
// called.
func TestUpdateByIDFirst(t *testing.T) {
	t.Parallel()
	var store mistaken
	b := bridgetest.New(t, bridgetest.WithStore(func(s bridge.Store) bridge.Store { store.Store = s; return &store }))
	p := b.NewPool(es256)
	b.Admin("POST", "/admin/v1/pools/"+p.ID+"/users", `{"id":"victim"}`).Want(201)
	b.Admin("POST", "/admin/v1/pools/"+p.ID+"/users", `{"id":"attacker"}`).Want(201)
	u, err := b.Store.User(t.Context(), p.ID, "attacker")
	if err != nil {
		t.Fatal(err)
	}
	store.name, store.user = "victim", &u
	if r := update(b, "?id="+p.ID+"/victim", `{"displayName":"Lee"}`, basic(p)).Want(200); r.Body == "" {
		t.Error("no answer")
	}
	for id, want := range map[string]string{"victim": "Lee", "attacker": ""} {
		if u, err := b.Store.User(t.Context(), p.ID, id); err != nil || u.Profile.Nickname != want {
			t.Errorf("%s is called %q, %v, want %q", id, u.Profile.Nickname, err, want)
		}
	}
}
