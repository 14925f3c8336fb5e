package sdk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/casdoor/casdoor-go-sdk/casdoorsdk"
	"golang.org/x/oauth2"

	"app2wxapp/bridge"
	"app2wxapp/bridge/bridgetest"
	"app2wxapp/wechat/sandbox"
)

// now lets the bridge run by the clock on the wall, as the SDK does.
func now(c *bridge.Config) { c.Now = time.Now }

// start returns a bridge, a pool of it, and the SDK set up for that pool with
// the certificate that the bridge publishes.
func start(t *testing.T, alg string) (*bridgetest.Bridge, bridgetest.Pool, *casdoorsdk.Client) {
	t.Helper()
	b := bridgetest.New(t, now)
	b.Clock.Turn(time.Since(b.Clock.Now()))
	p := b.NewPool(fmt.Sprintf(`"tokenAlg":%q`, alg))
	certificate := b.Do("GET", b.URL+"/v1/iam/.well-known/"+p.ID+"/certificate.pem", "").Want(200).Body
	return b, p, casdoorsdk.NewClient(b.URL, p.ID, p.Secret, certificate, p.ID, p.ID)
}

// signIn is what the example mini program sends.
func signIn(b *bridgetest.Bridge, p bridgetest.Pool, user string) oauth2.Token {
	v := url.Values{"tag": {"wechat_miniprogram"}, "client_id": {p.ID}, "code": {b.WeChat.LoginCode(bridgetest.AppID, user)}, "username": {"Lee"}}
	var token oauth2.Token
	b.Do("POST", b.URL+"/api/login/oauth/access_token", v.Encode(), "Content-Type: application/x-www-form-urlencoded").Want(200).Decode(&token)
	return token
}

// The SDK as it is: it parses the token, introspects it, refreshes it, and its
// back end updates the user.
func TestCasdoorGoSDK(t *testing.T) {
	for _, alg := range []string{"HS256", "ES256"} { // of the pool; RS256 and ES256 here
		t.Run(alg, func(t *testing.T) {
			b, p, client := start(t, alg)
			b = b.In(t)
			got := signIn(b, p, "alice")

			claims, err := client.ParseJwtToken(got.AccessToken)
			if err != nil {
				t.Fatal(err)
			}
			if claims.Owner != p.ID || claims.Name != "Lee" || claims.Id != claims.Subject || claims.TokenType != "access-token" ||
				claims.WeChat != sandbox.OpenID(bridgetest.AppID, "alice") || claims.IsRefreshToken() || !claims.VerifyAudience(p.ID, true) {
				t.Errorf("claims %+v", claims)
			}

			seen, err := client.IntrospectToken(got.AccessToken, "access-token")
			if err != nil || !seen.Active || seen.Username != "Lee" || seen.Sub != claims.Id || seen.Aud[0] != p.ID {
				t.Errorf("introspected %+v, %v", seen, err)
			}
			if seen, err := client.IntrospectToken("a.b.c", ""); err != nil || seen.Active {
				t.Errorf("introspected nonsense: %+v, %v", seen, err)
			}

			next, err := client.RefreshOAuthToken(got.RefreshToken)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := client.ParseJwtToken(next.AccessToken); err != nil || again.Id != claims.Id {
				t.Errorf("refreshed: %+v, %v", again, err)
			}
			if seen, err := client.IntrospectToken(got.AccessToken, ""); err != nil || seen.Active {
				t.Errorf("the token before: %+v, %v, want it over", seen, err)
			}
			if _, err := client.RefreshOAuthToken(got.RefreshToken); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
				t.Errorf("the refresh token before: %v, want invalid_grant", err)
			}
		})
	}
}

// The back end writes columns of a user, and reads them as that user.
func TestCasdoorGoSDKUpdatesUser(t *testing.T) {
	b, p, client := start(t, "ES256")
	got := signIn(b, p, "alice")
	claims, err := client.ParseJwtToken(got.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	user := &casdoorsdk.User{Owner: p.ID, Name: claims.Name, DisplayName: "李", Phone: "13800138000", CountryCode: "CN"}
	if ok, err := client.UpdateUserForColumns(user, []string{"display_name", "phone", "country_code"}); err != nil || !ok {
		t.Fatalf("UpdateUserForColumns: %t, %v", ok, err)
	}
	if ok, err := client.UpdateUserForColumns(user, []string{"displayName"}); err != nil || ok {
		t.Errorf("the same again: %t, %v, want not affected", ok, err)
	}
	if _, err := client.UpdateUserForColumns(&casdoorsdk.User{Owner: p.ID, Name: "Nobody"}, []string{"displayName"}); err == nil {
		t.Error("a user who is not there was updated")
	}

	// get-account with the token, decoded as the SDK decodes users.
	httpClient := oauth2.NewClient(context.Background(), oauth2.StaticTokenSource(&got))
	res, err := httpClient.Get(client.GetUrl("get-account", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var account struct {
		casdoorsdk.Response
		Data casdoorsdk.User `json:"data"`
	}
	if err := json.NewDecoder(res.Body).Decode(&account); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("get-account: %d, %v", res.StatusCode, err)
	}
	if me := account.Data; account.Status != "ok" || me.Id != claims.Id || me.DisplayName != "李" || me.Phone != "13800138000" || me.WeChat != claims.WeChat ||
		me.Properties["wechatOpenId"] != claims.WeChat {
		t.Errorf("get-account: %+v", account)
	}
}
