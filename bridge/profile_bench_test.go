package bridge

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"app2wxapp/token"
	"app2wxapp/userpool"
)

// The answer to a redemption, from the user to the JSON.
func BenchmarkProfile(b *testing.B) {
	now := time.Now()
	u := userpool.User{
		ID: "01936f2c-4f1e-7a3b-9c5d-2e8f6a7b9c0d", UnionID: "oAbCdEfGhIjKlMnOpQrStUvWxYz0", Phone: "+8613800138000",
		Identities: []userpool.Identity{{AppID: "wx0123456789abcdef", OpenID: "oZyXwVuTsRqPoNmLkJiHgFeDcBa9"}},
		Profile: userpool.Profile{
			Nickname: "微信用户", AvatarURL: "https://thirdwx.qlogo.cn/mmopen/vi_32/POgEwh4mIHO4nibH0KlMECNjjGxQUq24ZEaGT4poC6icRiccVGKSyXwibcPq4BWmiaIGuG1icwxaQX6grC9VemZoJ8rg/132",
			Gender: 1, Language: "zh_CN", City: "深圳", Province: "广东", Country: "中国",
		},
		RegisterMethod: userpool.RegisterMethod, SignedUp: now,
		Logins: userpool.Logins{Count: 7, Last: now, Addr: netip.MustParseAddr("203.0.113.7")},
	}
	t := token.Token{Raw: strings.Repeat("x", 460), ExpiresAt: now}
	a := answers.Get().(*answer)
	b.ReportAllocs()
	for b.Loop() {
		a.profile(u, "wx0123456789abcdef", t)
	}
}
