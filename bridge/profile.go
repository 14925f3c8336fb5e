package bridge

import (
	"net/netip"

	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// profile is the user as Authing's page on app2wxapp shows it: these keys, in
// this order, and id. Its clients crash on a null nickname, photo, unionid or
// token and on a missing phone.
type profile struct {
	EmailVerified  bool    `json:"emailVerified"`
	Username       string  `json:"username"`
	Nickname       string  `json:"nickname"`
	Company        string  `json:"company"`
	Photo          string  `json:"photo"`
	LoginsCount    uint64  `json:"loginsCount"`
	RegisterMethod string  `json:"registerMethod"`
	Blocked        bool    `json:"blocked"`
	IsDeleted      bool    `json:"isDeleted"`
	OAuth          string  `json:"oauth"`    // JSON text
	Metadata       string  `json:"metadata"` // JSON text of an empty string
	UnderscoreID   string  `json:"_id"`
	ID             string  `json:"id"`
	UnionID        string  `json:"unionid"`
	OpenID         string  `json:"openid"`
	LastIP         string  `json:"lastIP"` // IPv4 as ::ffff:203.0.113.7
	LastLogin      string  `json:"lastLogin"`
	SignedUp       string  `json:"signedUp"`
	Token          string  `json:"token"`
	TokenExpiredAt string  `json:"tokenExpiredAt"`
	Phone          *string `json:"phone"`
}

// wechatProfile is the value of oauth.
type wechatProfile struct {
	NickName  string `json:"nickName"`
	Gender    int    `json:"gender"`
	Language  string `json:"language"`
	City      string `json:"city"`
	Province  string `json:"province"`
	Country   string `json:"country"`
	AvatarURL string `json:"avatarUrl"`
	Phone     string `json:"phone"`
	OpenID    string `json:"openid"`
	UnionID   string `json:"unionid"`
}

// profileOf returns the answer to a redemption of a ticket that the mini
// program appID asked for.
func profileOf(u userpool.User, appID string, t token.Token) profile {
	p, openID, phone := u.Profile, u.OpenID(appID), u.Phone.Local()
	oauth, err := wire.JSON(wechatProfile{
		p.Nickname, p.Gender, p.Language, p.City, p.Province, p.Country, p.AvatarURL, phone, openID, u.UnionID,
	})
	if err != nil {
		panic(err) // texts and a number
	}
	return profile{
		Username: p.Nickname, Nickname: p.Nickname, Photo: p.AvatarURL,
		LoginsCount: u.Logins.Count, RegisterMethod: u.RegisterMethod, Blocked: u.Blocked,
		OAuth: string(oauth), Metadata: `""`, UnderscoreID: u.ID, ID: u.ID, UnionID: u.UnionID, OpenID: openID,
		LastIP: mapped(u.Logins.Addr), LastLogin: wire.Stamp(u.Logins.Last), SignedUp: wire.Stamp(u.SignedUp),
		Token: t.Raw, TokenExpiredAt: wire.Stamp(t.ExpiresAt), Phone: orNull(phone),
	}
}

// mapped writes an IPv4 address the way a dual-stack socket shows it.
func mapped(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return ""
	case a.Is4():
		return "::ffff:" + a.String()
	}
	return a.String()
}
