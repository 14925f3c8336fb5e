package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/bridge/oauth"
)

// Clients that others wrote, unchanged, against a live bridge.

// today turns the clock to the machine's, by which those clients go.
func today(b *bridgetest.Bridge) *bridgetest.Bridge {
	b.Clock.Turn(time.Until(b.Clock.Now()) * -1)
	return b
}

// goTicket redeems a ticket by golang.org/x/oauth2.
func goTicket(ctx context.Context, b *bridgetest.Bridge, p bridgetest.Pool, style oauth2.AuthStyle, ticket string) (*oauth2.Token, error) {
	c := clientcredentials.Config{
		ClientID: p.ID, ClientSecret: p.Secret, TokenURL: b.URL + "/oauth/token", AuthStyle: style,
		Scopes:         []string{"openid", "profile"},
		EndpointParams: url.Values{"grant_type": {oauth.GrantTicket}, "ticket": {ticket}},
	}
	return c.Token(ctx)
}

func TestGoOAuth2(t *testing.T) {
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleAutoDetect, oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
		b := today(bridgetest.New(t))
		p := b.NewPool(es256)
		ticket := b.Ticket(p, "ann")
		tok, err := goTicket(t.Context(), b, p, style, ticket)
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(tok.Expiry); !tok.Valid() || tok.TokenType != "Bearer" || left < 15*24*time.Hour-time.Minute || left > 15*24*time.Hour {
			t.Errorf("style %d: token %s, expires in %v", style, tok.TokenType, left)
		}
		var refused *oauth2.RetrieveError
		if _, err := goTicket(t.Context(), b, p, style, ticket+"x"); !errors.As(err, &refused) || refused.ErrorCode != "invalid_grant" {
			t.Errorf("style %d: another ticket: %v, want invalid_grant", style, err)
		}

		// A token source refreshes what has expired, and keeps the next refresh token.
		config := oauth2.Config{ClientID: p.ID, ClientSecret: p.Secret, Endpoint: oauth2.Endpoint{TokenURL: b.URL + "/oauth/token", AuthStyle: style}}
		for range 3 {
			old := *tok
			old.Expiry = time.Now().Add(-time.Hour)
			if tok, err = config.TokenSource(t.Context(), &old).Token(); err != nil {
				t.Fatal(err)
			}
			if tok.AccessToken == old.AccessToken || tok.RefreshToken == old.RefreshToken {
				t.Errorf("style %d: a refresh gave the same tokens", style)
			}
		}
		res, err := config.Client(t.Context(), tok).Get(b.URL + "/oauth/userinfo")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("style %d: userinfo by the client: %s", style, res.Status)
		}
	}
}

func TestGoOIDC(t *testing.T) {
	for setting, alg := range map[string]string{"HS256": "RS256", "ES256": "ES256", "EdDSA": "EdDSA"} {
		b := today(bridgetest.New(t))
		p, other := b.NewPool(`"tokenAlg":"`+setting+`"`), b.NewPool(`"tokenAlg":"`+setting+`"`)
		provider, err := oidc.NewProvider(t.Context(), b.URL)
		if err != nil {
			t.Fatal(err)
		}
		ticket := b.Ticket(p, "ann", `"userInfo":{"nickName":"小安"}`)
		tok, err := goTicket(t.Context(), b, p, oauth2.AuthStyleInHeader, ticket)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := tok.Extra("id_token").(string)
		id, err := provider.VerifierContext(t.Context(), &oidc.Config{ClientID: p.ID}).Verify(t.Context(), raw)
		if err != nil {
			t.Fatalf("%s: %v", setting, err)
		}
		if header, _ := claimsOf(t, raw); header["alg"] != alg {
			t.Errorf("pool of %s: id_token by %v, want %s", setting, header["alg"], alg)
		}
		if err := id.VerifyAccessToken(tok.AccessToken); err != nil {
			t.Errorf("%s: at_hash: %v", setting, err)
		}
		info, err := provider.UserInfo(t.Context(), oauth2.StaticTokenSource(tok))
		if err != nil {
			t.Fatal(err)
		}
		var fromToken, fromInfo struct{ Name string }
		if err := errors.Join(id.Claims(&fromToken), info.Claims(&fromInfo)); err != nil {
			t.Fatal(err)
		}
		if id.Subject != info.Subject || fromToken.Name != "小安" || fromInfo.Name != "小安" {
			t.Errorf("%s: id_token of %s %q, userinfo of %s %q", setting, id.Subject, fromToken.Name, info.Subject, fromInfo.Name)
		}
		if _, err := provider.Verifier(&oidc.Config{ClientID: other.ID}).Verify(t.Context(), raw); err == nil {
			t.Errorf("%s: the id_token holds for another client", setting)
		}
	}
}

// TestNodeClients runs openid-client and jose.
func TestNodeClients(t *testing.T) {
	const folder = "testdata/clients"
	if _, err := os.Stat(folder + "/node_modules"); err != nil {
		t.Fatal("openid-client and jose are not installed; run: make tools")
	}
	for _, row := range []struct{ setting, alg, auth, algorithm string }{
		{"HS256", "RS256", "basic", "oidc"},
		{"ES256", "ES256", "post", "oauth2"}, // by RFC 8414's metadata
		{"EdDSA", "EdDSA", "basic", "oidc"},
	} {
		t.Run(row.setting, func(t *testing.T) {
			b := today(bridgetest.New(t))
			p := b.NewPool(`"tokenAlg":"` + row.setting + `"`)
			var tickets []string
			for range 4 {
				tickets = append(tickets, b.Ticket(p, "ann", `"userInfo":{"nickName":"小安"}`))
			}
			argument, err := json.Marshal(map[string]any{
				"issuer": b.URL, "id": p.ID, "secret": p.Secret, "tickets": tickets, "auth": row.auth, "algorithm": row.algorithm, "alg": row.alg,
			})
			if err != nil {
				t.Fatal(err)
			}
			node := exec.CommandContext(t.Context(), "node", "run.mjs", string(argument))
			node.Dir = folder
			var stderr strings.Builder
			node.Stderr = &stderr
			out, err := node.Output()
			if err != nil {
				t.Fatalf("node, which make tools installs: %v\n%s", err, stderr.String())
			}
			var seen struct {
				Claims, UserInfo                         struct{ Sub, Name string }
				Access                                   struct{ Sub, Aud, Scope string }
				ExpiresIn, Logout                        int
				SameUser                                 bool
				Again, WrongAudience, Refreshed          string
				Introspection                            introspection
				Active                                   bool
				Reused                                   string
				AfterReuse, AfterRevocation, AfterLogout bool
				UserInfoAfterRevocation                  string
			}
			if err := json.Unmarshal(out, &seen); err != nil {
				t.Fatalf("%s: %v", out, err)
			}
			sub := seen.Claims.Sub
			for what, ok := range map[string]bool{
				"id_token":                    sub != "" && seen.Claims.Name == "小安" && seen.SameUser && seen.ExpiresIn == 15*24*3600,
				"second redemption refused":   seen.Again == "invalid_grant",
				"access token by jose":        seen.Access.Sub == sub && seen.Access.Aud == p.ID && seen.Access.Scope == "openid profile phone",
				"another audience refused":    seen.WrongAudience == "ERR_JWT_CLAIM_VALIDATION_FAILED",
				"userinfo":                    seen.UserInfo.Sub == sub && seen.UserInfo.Name == "小安",
				"introspection":               seen.Introspection.Active && seen.Introspection.Sub == sub,
				"refresh":                     seen.Refreshed == sub && seen.Active,
				"reuse ends the session":      seen.Reused == "invalid_grant" && !seen.AfterReuse,
				"revocation ends the session": !seen.AfterRevocation && seen.UserInfoAfterRevocation == "OAUTH_WWW_AUTHENTICATE_CHALLENGE",
				"logout ends the session":     seen.Logout == 200 && !seen.AfterLogout,
			} {
				if !ok {
					t.Errorf("%s: openid-client and jose saw %s", what, out)
				}
			}
		})
	}
}
