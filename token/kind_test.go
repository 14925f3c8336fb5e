package token_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"app2wxapp/token"
	"app2wxapp/userpool"
)

var kinds = map[string]token.Kind{"Authing": token.KindAuthing, "access": token.KindAccess, "Casdoor": token.KindCasdoor, "ID": token.KindID, "IDaaS": token.KindIDaaS}

// A token opens the door of its kind only.
func TestKinds(t *testing.T) {
	f := newFixture(t)
	session := f.begin(t, token.Beginning{Stamp: stamp(f.pool, theJTI, start), Scope: "s"})
	rs := testKeys()["RS256"]
	registered := `"iss":"` + issuer + `","sub":"` + userID + `","iat":1767323045,"exp":1768619045,"sid":"` + session.Session.ID + `"`
	access := `{` + registered + `,"aud":"` + poolID + `","client_id":"` + poolID + `","jti":"` + theJTI + `","scope":"s"}`
	casdoor := `{` + registered + `,"aud":["` + poolID + `"],"azp":"` + poolID + `","tokenType":"access-token","jti":"admin/` + theJTI + `"}`
	id := `{` + registered + `,"aud":"` + poolID + `","azp":"` + poolID + `"}`
	idaas := `{` + registered + `,"aud":"` + poolID + `","userName":"u","jti":"` + theJTI + `"}`
	at := `{"alg":"RS256","typ":"at+jwt","kid":"rs256"}`
	for _, tt := range []struct{ name, header, claims, kind string }{
		{"Authing", rs256, claims, "Authing"},
		{"access", at, access, "access"},
		{"Casdoor", rs256, casdoor, "Casdoor"},
		{"ID", rs256, id, "ID"},
		{"IDaaS", rs256, idaas, "IDaaS"},

		{"IDaaS as at+jwt", at, idaas, ""},
		{"IDaaS with azp", rs256, edit(t, idaas, `"userName"`, `"azp":"`+poolID+`","userName"`), ""},
		{"IDaaS with data", rs256, edit(t, idaas, `"userName"`, `"data":{"id":"`+userID+`","clientId":"`+poolID+`"},"userName"`), ""},
		{"IDaaS without userName", rs256, edit(t, idaas, `"userName":"u",`, ``), ""},
		{"IDaaS with a list of audiences", rs256, edit(t, idaas, `"aud":"`+poolID+`"`, `"aud":["`+poolID+`"]`), ""},
		{"IDaaS of no audience", rs256, edit(t, idaas, `"aud":"`+poolID+`",`, ``), ""},
		{"IDaaS without a jti", rs256, edit(t, idaas, `,"jti":"`+theJTI+`"`, ``), ""},
		{"IDaaS without a session", rs256, edit(t, idaas, `,"sid":"`+session.Session.ID+`"`, ``), ""},
		{"Casdoor with userName", rs256, edit(t, casdoor, `"azp"`, `"userName":"u","azp"`), ""},
		{"Authing with userName", rs256, edit(t, claims, `"sub"`, `"userName":"u","sub"`), ""},
		{"access as JWT", rs256, access, ""},
		{"access as AT+JWT", `{"alg":"RS256","typ":"AT+JWT","kid":"rs256"}`, access, ""},
		{"access as application/at+jwt", `{"alg":"RS256","typ":"application/at+jwt","kid":"rs256"}`, access, ""},
		{"Authing as at+jwt", at, claims, ""},
		{"Casdoor as at+jwt", at, casdoor, ""},
		{"ID as at+jwt", at, id, ""},
		{"Authing with tokenType", rs256, edit(t, claims, `"sub"`, `"tokenType":"x","sub"`), ""},
		{"Authing with client_id", rs256, edit(t, claims, `"sub"`, `"client_id":"`+poolID+`","sub"`), ""},
		{"access with data", at, edit(t, access, `"scope"`, `"data":{"id":"`+userID+`","clientId":"`+poolID+`"},"scope"`), ""},
		{"Casdoor with data", rs256, edit(t, casdoor, `"azp"`, `"data":{"id":"`+userID+`","clientId":"`+poolID+`"},"azp"`), ""},
		{"Casdoor with client_id", rs256, edit(t, casdoor, `"azp"`, `"client_id":"`+poolID+`","azp"`), ""},
		{"Casdoor's refresh token", rs256, edit(t, casdoor, "access-token", "refresh-token"), ""},
		{"Casdoor without azp", rs256, edit(t, casdoor, `"azp":"`+poolID+`",`, ``), ""},
		{"ID without azp", rs256, edit(t, id, `,"azp":"`+poolID+`"`, ``), ""},
		{"ID with a jti", rs256, edit(t, id, `"azp"`, `"jti":"`+theJTI+`","azp"`), ""},
		{"Casdoor with an audience of text", rs256, edit(t, casdoor, `["`+poolID+`"]`, `"`+poolID+`"`), ""},
		{"Casdoor with two audiences", rs256, edit(t, casdoor, `["`+poolID+`"]`, `["`+poolID+`","x"]`), ""},
		{"Casdoor with no audience", rs256, edit(t, casdoor, `["`+poolID+`"]`, `[]`), ""},
		{"Casdoor with a bare jti", rs256, edit(t, casdoor, "admin/", ""), ""},
		{"access with a list of audiences", at, edit(t, access, `"aud":"`+poolID+`"`, `"aud":["`+poolID+`"]`), ""},
		{"access of another audience", at, edit(t, access, `"aud":"`+poolID+`"`, `"aud":"other"`), ""},
		{"access of another pool", at, edit(t, access, `"client_id":"`+poolID+`"`, `"client_id":"other"`), ""},
		{"access without a jti", at, edit(t, access, `,"jti":"`+theJTI+`"`, ``), ""},
		{"access without a session", at, edit(t, access, `,"sid":"`+session.Session.ID+`"`, ``), ""},
		{"access of no session", at, edit(t, access, `"sid":"`+session.Session.ID+`"`, `"sid":"x"`), ""},
		{"access of nobody", at, edit(t, access, `"sub":"`+userID+`",`, ``), ""},
		{"access with a name twice", at, edit(t, access, `"scope"`, `"sub":"other","scope"`), ""},
		{"access with a name in another case", at, edit(t, access, `"aud"`, `"Aud"`), ""},
		{"access with a number for an audience", at, edit(t, access, `"aud":"`+poolID+`"`, `"aud":1`), ""},
		{"access with a null audience", at, edit(t, access, `"aud":"`+poolID+`"`, `"aud":null`), ""},
		{"access with numbers for audiences", at, edit(t, access, `"aud":"`+poolID+`"`, `"aud":[1]`), ""},
	} {
		raw := forge(t, tt.header, tt.claims, rs)
		for name, kind := range kinds {
			check(t, f, tt.name+" for "+name, raw, name == tt.kind, kind)
		}
		if _, err := f.Verify(t.Context(), raw); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s for no kind: Verify = %v, want %v", tt.name, err, token.ErrInvalid)
		}
		check(t, f, tt.name+" for the zero kind", raw, false, 0)
		check(t, f, tt.name+" for every kind", raw, tt.kind != "", token.KindAuthing, token.KindAccess, token.KindCasdoor, token.KindID, token.KindIDaaS)
		if _, err := f.Hint(t.Context(), raw); (err == nil) != (tt.kind == "ID") {
			t.Errorf("%s: Hint = %v", tt.name, err)
		}

		// The pool's jwtSecret, which app servers have, makes Authing's only.
		typ := "JWT"
		if tt.header == at {
			typ = "at+jwt"
		}
		byHMAC := forge(t, fmt.Sprintf(`{"alg":"HS256","typ":%q}`, typ), tt.claims, []byte(jwtSecret))
		check(t, f, tt.name+" by the jwtSecret", byHMAC, tt.kind == "Authing", token.KindAuthing, token.KindAccess, token.KindCasdoor, token.KindID, token.KindIDaaS)
	}
	got, err := f.Verify(t.Context(), forge(t, rs256, casdoor, rs), token.KindCasdoor)
	if err != nil || got.ID != theJTI || got.JTI() != "admin/"+theJTI {
		t.Errorf("Verify of a Casdoor token = %+v, %v", got, err)
	}

	// A session of somebody else, or over, is none.
	for _, change := range []func(*token.Session){
		func(s *token.Session) { s.UserID = "other" },
		func(s *token.Session) { s.PoolID = "other" },
		func(s *token.Session) { s.Ended = true },
		func(s *token.Session) { s.ExpiresAt = start },
	} {
		s := session.Session
		change(&s)
		f.store.sessions[s.ID] = s
		check(t, f, fmt.Sprintf("session %+v", s), forge(t, at, access, rs), false, token.KindAccess)
	}
	if _, err := f.Hint(t.Context(), forge(t, rs256, id, rs)); err != nil {
		t.Errorf("Hint after the session = %v", err)
	}
	f.now = session.Stamp.ExpiresAt
	if _, err := f.Hint(t.Context(), forge(t, rs256, id, rs)); err != nil {
		t.Errorf("Hint after the id_token's end = %v", err)
	}
	if _, err := f.Hint(t.Context(), ""); !errors.Is(err, token.ErrMissing) {
		t.Errorf("Hint of nothing = %v, want %v", err, token.ErrMissing)
	}
}

// A repeat makes the same token, whatever the algorithm.
func TestIssueAccessAgain(t *testing.T) {
	for _, alg := range algs {
		f := newFixture(t)
		f.pool.TokenAlg = alg
		g := f.begin(t, token.Beginning{})
		first := f.access(t, g)
		if f.access(t, g) != first {
			t.Errorf("%s: two tokens differ", alg)
		}
		want := alg
		if alg == "HS256" {
			want = "RS256"
		}
		if token.PublicAlg(f.pool) != want || kid(t, first) != strings.ToLower(want) {
			t.Errorf("pool of %s: PublicAlg %s, kid %s, want %s", alg, token.PublicAlg(f.pool), kid(t, first), want)
		}
	}
	f := newFixture(t)
	if _, err := f.IssueAccess(t.Context(), f.pool, token.Session{}, "", token.Stamp{ID: "x"}); err == nil {
		t.Error("IssueAccess with a jti that is not of NewID succeeded")
	}
}

func TestSign(t *testing.T) {
	f := newFixture(t)
	for _, alg := range algs[1:] {
		for _, typ := range []string{token.TypeJWT, token.TypeAccess} {
			raw, err := f.Sign(t.Context(), f.pool, alg, typ, []byte(`{"a":1}`))
			if err != nil {
				t.Fatal(err)
			}
			header, claims := open(t, raw, testKeys()[alg].Public())
			want := fmt.Sprintf(`{"alg":"%s","typ":"%s","kid":"%s"}`, alg, typ, strings.ToLower(alg))
			if header != want || claims != `{"a":1}` {
				t.Errorf("Sign by %s: header %s, claims %s, want %s", alg, header, claims, want)
			}
		}
	}
	for _, alg := range []string{"HS256", "none", ""} {
		if raw, err := f.Sign(t.Context(), f.pool, alg, token.TypeJWT, []byte(`{}`)); !errors.Is(err, token.ErrAlg) {
			t.Errorf("Sign by %q = %q, %v, want %v", alg, raw, err, token.ErrAlg)
		}
	}
	f.store.err = errStore
	f.now = f.now.Add(userpool.DefaultTokenTTL)
	if _, err := f.Sign(t.Context(), f.pool, "EdDSA", token.TypeJWT, nil); !errors.Is(err, errStore) {
		t.Errorf("Sign without a store = %v, want %v", err, errStore)
	}
}
