package bridge_test

import (
	"strings"
	"testing"

	"app2wxapp/bridge/bridgetest"
)

func TestChallenge(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	for _, row := range []struct {
		name, members string
		ok            bool
	}{
		{"S256", proofKey(), true},
		{"no method: RFC 7636 means plain", member("code_challenge", challenge), false},
		{"empty method", member("code_challenge", challenge) + `,"code_challenge_method":""`, false},
		{"plain", member("code_challenge", challenge) + `,"code_challenge_method":"plain"`, false},
		{"s256", member("code_challenge", challenge) + `,"code_challenge_method":"s256"`, false},
		{"method alone", `"code_challenge_method":"S256"`, false},
		{"42 characters", member("code_challenge", challenge[:42]) + `,"code_challenge_method":"S256"`, false},
		{"44 characters", member("code_challenge", challenge+"A") + `,"code_challenge_method":"S256"`, false},
		{"padded", member("code_challenge", challenge+"=") + `,"code_challenge_method":"S256"`, false},
		{"base64 with a plus", member("code_challenge", "+"+challenge[1:]) + `,"code_challenge_method":"S256"`, false},
		{"with a line break", member("code_challenge", challenge+"\n") + `,"code_challenge_method":"S256"`, false},
		{"with stray last bits", member("code_challenge", challenge[:42]+"B") + `,"code_challenge_method":"S256"`, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := b.In(t)
			code := loginCode(b, row.name)
			r := b.Post(issuePath(p), object(code, row.members))
			if row.ok {
				r.Want(200)
				return
			}
			r.WantError(400, 2231, "invalid_request")
			b.Post(issuePath(p), object(code, proofKey())).Want(200) // the code was not spent
		})
	}
}

// What a redemption needs, as it stands when it happens.
func TestNeeds(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	for _, row := range []struct {
		name, settings string // in force at redemption
		bound          bool
		// status by what is shown: ticket alone, secret, verifier, both
		alone, secret, verifier, both int
	}{
		{"secret, no challenge", `"secretRequired":true,"pkceRequired":false`, false, 4010, 200, 4010, 4001},
		{"secret, challenge", `"secretRequired":true,"pkceRequired":false`, true, 4010, 4001, 4010, 200},
		{"secret, challenge, pkce", `"secretRequired":true,"pkceRequired":true`, true, 4010, 4001, 4010, 200},
		{"no secret, challenge", `"secretRequired":false,"pkceRequired":false`, true, 4001, 4001, 200, 200},
		{"no secret, challenge, pkce", `"secretRequired":false,"pkceRequired":true`, true, 4001, 4001, 200, 200},
		{"no secret, no challenge, pkce", `"secretRequired":false,"pkceRequired":true`, false, 4001, 4001, 4001, 4001},
		{"secret, no challenge, pkce", `"secretRequired":true,"pkceRequired":true`, false, 4010, 4001, 4010, 4001},
		{"open pool", `"secretRequired":false,"pkceRequired":false`, false, 200, 200, 4001, 4001},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := b.In(t)
			for _, shown := range []struct {
				name             string
				secret, verifier bool
				want             int
			}{
				{"ticket alone", false, false, row.alone},
				{"secret", true, false, row.secret},
				{"verifier", false, true, row.verifier},
				{"both", true, true, row.both},
			} {
				p := b.NewPool()
				var bind []string
				if row.bound {
					bind = append(bind, proofKey())
				}
				text := b.Ticket(p, "alice", bind...)
				patch(b, p, row.settings)
				members := []string{member("ticket", text)}
				if shown.secret {
					members = append(members, member("secret", p.Secret))
				}
				if shown.verifier {
					members = append(members, member("code_verifier", verifier))
				}
				r := b.Post(redeemPath(p), object(members...))
				var got struct{ Code int }
				r.Decode(&got)
				if got.Code == 0 {
					got.Code = r.Status
				}
				if got.Code != shown.want {
					t.Errorf("%s: %d %s, want %d", shown.name, r.Status, r.Body, shown.want)
				}
				if r.Status == 200 {
					continue
				}
				// Whoever shows what is needed still can.
				patch(b, p, `"secretRequired":true,"pkceRequired":false`)
				if row.bound {
					wantUsable(t, b, p, text, member("code_verifier", verifier))
				} else {
					wantUsable(t, b, p, text)
				}
			}
		})
	}
}

// A verifier that does not fit is told like any ticket that does not hold, and
// uses nothing up.
func TestVerifier(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	for _, row := range []struct {
		name            string
		issue, with, ok []string
	}{
		{"wrong", []string{proofKey()}, []string{member("code_verifier", strings.Repeat("w", 43))}, []string{member("code_verifier", verifier)}},
		{"missing", []string{proofKey()}, nil, []string{member("code_verifier", verifier)}},
		{"empty", []string{proofKey()}, []string{member("code_verifier", "")}, []string{member("code_verifier", verifier)}},
		{"the challenge itself", []string{proofKey()}, []string{member("code_verifier", challenge)}, []string{member("code_verifier", verifier)}},
		{"superfluous", nil, []string{member("code_verifier", verifier)}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := b.In(t)
			ticket := b.Ticket(p, row.name, row.issue...)
			wantInvalid(b.Redeem(p, ticket, row.with...))
			wantUsable(t, b, p, ticket, row.ok...)
		})
	}
	for _, long := range []string{strings.Repeat("v", 128), "-._~" + strings.Repeat("A9z", 20)} {
		ticket := b.Ticket(p, "alice", member("code_challenge", s256(long)), `"code_challenge_method":"S256"`)
		wantUsable(t, b, p, ticket, member("code_verifier", long))
	}
}

// A pool that wants proof keys gives no ticket without one.
func TestProofKeyRequired(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(`"pkceRequired":true`)
	code := loginCode(b, "alice")
	b.Post(issuePath(p), object(code)).WantError(400, 2231, "invalid_request")
	b.Post(issuePath(p), object(code, proofKey())).Want(200)
}
