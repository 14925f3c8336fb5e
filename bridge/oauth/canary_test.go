package oauth_test

import (
	"strings"
	"testing"

	"app2wxapp/bridge/bridgetest"
)

// Whatever is sent to these endpoints or comes from them, no secret of it is in
// the log, in an error, in the audit trail or, in the clear, in the store.
func TestNothingSecretIsShown(t *testing.T) {
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	const phone = "13800138000"
	ticket := b.Ticket(p, "ann", b.PhoneCode("ann", "+86"+phone))
	got := redeemed(send(b, "/oauth/token", grant(p, ticket, "scope", "openid phone"), "Idempotency-Key: planted-idempotency-key"))
	next := refresh(b, p, got)
	var answers strings.Builder
	for _, r := range []bridgetest.Response{
		send(b, "/oauth/token", grant(p, ticket, "nonce", "planted-nonce")),
		send(b, "/oauth/token", refreshing(p, got.RefreshToken)),
		send(b, "/oauth/token", refreshing(p, next.RefreshToken, "scope", `planted-scope"`)),
		send(b, "/oauth/token", []string{"client_id", "planted-client", "client_secret", "planted-secret", "grant_type", "planted-grant"}),
		send(b, "/oauth/introspect", client(p, "token", next.AccessToken)),
		send(b, "/oauth/revoke", client(p, "token", next.RefreshToken), basic(p.ID, p.Secret)),
		b.Do("GET", b.URL+"/oauth/userinfo?access_token="+next.AccessToken, ""),
		b.Do("GET", b.URL+"/oauth/userinfo", "", bearer(next.AccessToken)),
		b.Do("GET", b.URL+"/oauth/logout?id_token_hint="+next.IDToken+"x", ""),
		b.Admin("GET", "/admin/v1/audit", ""),
	} {
		answers.WriteString(r.Body)
	}
	for what, secret := range map[string]string{
		"ticket": ticket, "pool secret": p.Secret, "phone": phone,
		"refresh token": got.RefreshToken, "next refresh token": next.RefreshToken,
		"access token": got.AccessToken, "next access token": next.AccessToken,
		"id_token": got.IDToken, "next id_token": next.IDToken,
		"Idempotency-Key": "planted-idempotency-key", "nonce": "planted-nonce", "scope": "planted-scope",
		"client_id": "planted-client", "client_secret": "planted-secret", "grant_type": "planted-grant",
	} {
		for where, text := range map[string]string{"log": b.Log.String(), "answers": answers.String(), "store": b.Stored()} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s is in the %s", what, where)
			}
		}
	}
}
