package bridge_test

import (
	"testing"

	"app2wxapp/bridge/bridgetest"
)

// A refused caller uses nothing up: whoever has the right to redeem still can.
func TestRefusedCallerLeavesTicket(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, other := b.NewPool(), b.NewPool()
	for name, members := range map[string]string{
		"no secret":             ``,
		"empty secret":          `,"secret":""`,
		"wrong secret":          `,"secret":"wrong"`,
		"another pool's secret": `,` + member("secret", other.Secret),
		"secret and a space":    `,` + member("secret", p.Secret+" "),
		"half the secret":       `,` + member("secret", p.Secret[:20]),
		"the secret's hash":     `,` + member("secret", s256(p.Secret)),
	} {
		ticket := b.Ticket(p, "alice")
		r := b.Post(redeemPath(p), `{`+member("ticket", ticket)+members+`}`)
		if r.Status != 401 {
			t.Errorf("%s: %d %s, want 401", name, r.Status, r.Body)
		}
		if u := redeem(b, p, ticket); u.LoginsCount == 0 {
			t.Errorf("%s: no login counted afterwards", name)
		}
	}
}

// Only a success counts as a login.
func TestRefusalsAreNoLogins(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	ticket := b.Ticket(p, "alice")
	for range 3 {
		b.Redeem(bridgetest.Pool{ID: p.ID, Secret: "wrong"}, ticket).Want(401)
	}
	if got := redeem(b, p, ticket).LoginsCount; got != 1 {
		t.Errorf("loginsCount %d after three refusals and a success, want 1", got)
	}
	if got := login(b, p, "alice").LoginsCount; got != 2 {
		t.Errorf("loginsCount %d at the second login, want 2", got)
	}
}

// Who shows a secret means it: a wrong one is refused even where none is
// needed.
func TestOptionalSecretIsChecked(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(`"secretRequired":false`)
	ticket := b.Ticket(p, "alice")
	b.Redeem(bridgetest.Pool{ID: p.ID, Secret: "wrong"}, ticket).WantError(401, 4011, "invalid_secret")
	b.Redeem(p, ticket).Want(200)
	b.Post(redeemPath(p), object(member("ticket", b.Ticket(p, "alice")))).Want(200)
}

// An operator's switch is in force when the call returns, for tickets that are
// out already too.
func TestSecretSwitch(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	ticket := b.Ticket(p, "alice")
	body := object(member("ticket", ticket))
	b.Post(redeemPath(p), body).WantError(401, 4010, "secret_required")
	patch(b, p, `"secretRequired":false`)
	b.Post(redeemPath(p), body).Want(200)

	body = object(member("ticket", b.Ticket(p, "alice")))
	patch(b, p, `"secretRequired":true`)
	b.Post(redeemPath(p), body).WantError(401, 4010, "secret_required")
	patch(b, p, `"secretRequired":false`)
	patch(b, p, `"secretRequired":null`) // the default is the safe one
	b.Post(redeemPath(p), body).WantError(401, 4010, "secret_required")
}

// Two secrets live side by side, so that one can be replaced; a deleted one is
// refused at once.
func TestTwoSecrets(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	path := "/admin/v1/pools/" + p.ID
	var second struct{ ID, Secret string }
	b.Admin("POST", path+"/secrets", "").Want(201).Decode(&second)
	both := []bridgetest.Pool{p, {ID: p.ID, Secret: second.Secret}}
	for _, with := range both {
		b.Redeem(with, b.Ticket(p, "alice")).Want(200)
	}
	b.Admin("POST", path+"/secrets", "").WantError(409, 4091, "secret_limit")

	var shown struct{ Secrets []struct{ ID string } }
	b.Admin("GET", path, "").Want(200).Decode(&shown)
	if len(shown.Secrets) != 2 || shown.Secrets[1].ID != second.ID {
		t.Fatalf("secrets %v, want two, %s the second", shown.Secrets, second.ID)
	}
	b.Admin("DELETE", path+"/secrets/"+shown.Secrets[0].ID, "").Want(204)
	ticket := b.Ticket(p, "alice")
	b.Redeem(both[0], ticket).WantError(401, 4011, "invalid_secret")
	b.Redeem(both[1], ticket).Want(200)
	b.Admin("DELETE", path+"/secrets/"+shown.Secrets[0].ID, "").WantError(404, 4041, "secret_not_found")

	// Without any secret nobody redeems at a pool that demands one.
	b.Admin("DELETE", path+"/secrets/"+second.ID, "").Want(204)
	b.Redeem(both[1], b.Ticket(p, "alice")).WantError(401, 4011, "invalid_secret")
}
