package bridge_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"app2wxapp/bridge/bridgetest"
)

// seen is a user as a dialect shows them after a sign-in.
type seen struct{ id, phone, nickname string }

// ways are the five in which one WeChat user comes in, each with what it is told
// of the user.
var ways = []struct {
	name string
	come func(b *bridgetest.Bridge, p bridgetest.Pool) seen
}{
	{"app2wxapp", byTicket},
	{"authing-wxapp-sdk", bySDK},
	{"Casdoor", byTag},
	{"OAuth", byGrant},
	{"IDaaS", byMiniProgram},
}

// One WeChat user is one user with one id, whichever dialect they come by first
// and by which ones afterwards; phone and profile follow. Each dialect is the
// first once, and each comes after each.
func TestOneAccountEverywhere(t *testing.T) {
	t.Parallel()
	for first := range ways {
		for _, step := range []int{1, 2} { // round the five, in two orders
			var order []string
			for i := range ways {
				order = append(order, ways[(first+i*step)%len(ways)].name)
			}
			t.Run(strings.Join(order, ", "), func(t *testing.T) {
				t.Parallel()
				b := bridgetest.New(t)
				b.PutRSAKey()
				p := b.NewPool(`"tokenAlg":"ES256"`) // an RSA key takes long to make
				born := ways[first].come(b, p)
				// What a user says of themselves, and the phone, come by the ticket flow.
				b.Redeem(p, b.Ticket(p, "alice", b.PhoneCode("alice", "13800138000"), `"userInfo":{"nickName":"示例用户"}`)).Want(200)
				for i := range ways {
					way := ways[(first+i*step)%len(ways)]
					if got, want := way.come(b, p), (seen{born.id, "13800138000", "示例用户"}); got != want {
						t.Errorf("by %s: %v, want %v", way.name, got, want)
					}
				}
				// Another WeChat user is another user.
				var other struct{ ID string }
				b.Redeem(p, b.Ticket(p, "bob")).Want(200).Decode(&other)
				if other.ID == born.id {
					t.Errorf("another WeChat user is %s, too", other.ID)
				}
				// Who is blocked under that id comes in no more.
				b.Admin("PATCH", "/admin/v1/pools/"+p.ID+"/users/"+born.id, `{"blocked":true}`).Want(200)
				b.Issue(p, "alice").WantError(403, 2005, "user_blocked")
			})
		}
	}
}

const sdkLogin = "/connections/social/wechat-miniprogram/auth"

func byTicket(b *bridgetest.Bridge, p bridgetest.Pool) seen {
	var u struct{ ID, Phone, Nickname string }
	b.Redeem(p, b.Ticket(p, "alice")).Want(200).Decode(&u)
	return seen{u.ID, u.Phone, u.Nickname}
}

func bySDK(b *bridgetest.Bridge, p bridgetest.Pool) seen {
	var u struct {
		Data struct{ ID, Phone, Nickname string }
	}
	b.Post(sdkLogin, fmt.Sprintf(`{"code":%q}`, b.WeChat.LoginCode(bridgetest.AppID, "alice")), "x-authing-userpool-id: "+p.ID).Want(200).Decode(&u)
	return seen{u.Data.ID, u.Data.Phone, u.Data.Nickname}
}

func byTag(b *bridgetest.Bridge, p bridgetest.Pool) seen {
	access := tokenOf(b, "/v1/iam/oauth/token", url.Values{
		"tag": {"wechat_miniprogram"}, "client_id": {p.ID}, "code": {b.WeChat.LoginCode(bridgetest.AppID, "alice")},
	})
	var u struct {
		Data struct{ ID, Phone, DisplayName string }
	}
	b.Do("GET", b.URL+"/v1/iam/get-account", "", "Authorization: Bearer "+access).Want(200).Decode(&u)
	return seen{u.Data.ID, u.Data.Phone, u.Data.DisplayName}
}

func byGrant(b *bridgetest.Bridge, p bridgetest.Pool) seen {
	access := tokenOf(b, "/oauth/token", url.Values{
		"grant_type": {"urn:app2wxapp:grant-type:ticket"}, "ticket": {b.Ticket(p, "alice")}, "scope": {"openid profile phone"},
	}, "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(p.ID+":"+p.Secret)))
	var u struct {
		Sub, Nickname string
		Phone         string `json:"phone_number"`
	}
	b.Do("GET", b.URL+"/oauth/userinfo", "", "Authorization: Bearer "+access).Want(200).Decode(&u)
	return seen{u.Sub, strings.TrimPrefix(u.Phone, "+86"), u.Nickname}
}

func byMiniProgram(b *bridgetest.Bridge, p bridgetest.Pool) seen {
	var out struct {
		ID string `json:"id_token"`
	}
	b.Post("/api/v2/sdk/login/wechat-miniprogram", fmt.Sprintf(`{"code":%q}`, b.WeChat.LoginCode(bridgetest.AppID, "alice")),
		"X-client-id: "+p.ID, "X-operating-sys-version: iOS 17.5", "X-device-fingerprint: 7d0f1c52e9", "X-agent: MicroMessenger/8.0").Want(200).Decode(&out)
	var u struct{ ID, Name, Mobile string }
	b.Do("GET", b.URL+"/api/v1/oauth2/userinfo", "", "Authorization: Bearer "+out.ID).Want(200).Decode(&u)
	return seen{u.ID, strings.TrimPrefix(u.Mobile, "+86-"), u.Name}
}

// tokenOf returns the access token that the form gives.
func tokenOf(b *bridgetest.Bridge, path string, form url.Values, headers ...string) string {
	var out struct {
		Access string `json:"access_token"`
	}
	b.Do("POST", b.URL+path, form.Encode(), append(headers, "Content-Type: application/x-www-form-urlencoded")...).Want(200).Decode(&out)
	return out.Access
}
