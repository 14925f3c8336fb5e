package bridge

import (
	"net/netip"
	"strconv"
	"sync"

	"app2wxapp/bridge/wire"
	"app2wxapp/quote"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// profile returns the answer to a redemption of a ticket that the mini
// program appID asked for: the user as Authing's page on app2wxapp shows it,
// with these keys, in this order, and id. Its clients crash on a null nickname,
// photo, unionid or token and on a missing phone. It is the answer's memory.
//
// It is written by hand because it is most of the work of a redemption outside
// the store.
func (a *answer) profile(u userpool.User, appID string, t token.Token) []byte {
	p, openID, phone := u.Profile, u.OpenID(appID), u.Phone.Local()

	oauth := object{b: a.inner[:0]}
	oauth.text("nickName", p.Nickname)
	oauth.raw("gender", strconv.Itoa(p.Gender))
	oauth.text("language", p.Language)
	oauth.text("city", p.City)
	oauth.text("province", p.Province)
	oauth.text("country", p.Country)
	oauth.text("avatarUrl", p.AvatarURL)
	oauth.text("phone", phone)
	oauth.text("openid", openID)
	oauth.text("unionid", u.UnionID)

	a.inner = oauth.end()

	o := object{b: a.body[:0]}
	o.raw("emailVerified", "false")
	o.text("username", p.Nickname)
	o.text("nickname", p.Nickname)
	o.text("company", "")
	o.text("photo", p.AvatarURL)
	o.raw("loginsCount", strconv.FormatUint(u.Logins.Count, 10))
	o.text("registerMethod", u.RegisterMethod)
	o.raw("blocked", strconv.FormatBool(u.Blocked))
	o.raw("isDeleted", "false")
	o.raw("oauth", "") // JSON text
	o.b = quote.Append(o.b, a.inner)
	o.text("metadata", `""`) // JSON text of an empty string
	o.plain("_id", u.ID)
	o.plain("id", u.ID)
	o.text("unionid", u.UnionID)
	o.text("openid", openID)
	o.text("lastIP", mapped(u.Logins.Addr))
	o.plain("lastLogin", wire.Stamp(u.Logins.Last))
	o.plain("signedUp", wire.Stamp(u.SignedUp))
	o.plain("token", t.Raw)
	o.plain("tokenExpiredAt", wire.Stamp(t.ExpiresAt))
	if phone == "" {
		o.raw("phone", "null")
	} else {
		o.text("phone", phone)
	}
	a.body = o.end()
	return a.body
}

// answer is memory for an answer, large enough for most.
type answer struct{ body, inner []byte }

var answers = sync.Pool{New: func() any { return &answer{make([]byte, 0, 2048), make([]byte, 0, 1024)} }}

// object is a JSON object that is being written. The names need no escaping.
type object struct {
	b     []byte
	begun bool
}

func (o *object) raw(name, value string) {
	if o.begun {
		o.b = append(o.b, ',')
	} else {
		o.b, o.begun = append(o.b, '{'), true
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
	o.b = append(o.b, value...)
}

// plain is text for a value that needs no escaping.
func (o *object) plain(name, value string) {
	o.raw(name, `"`)
	o.b = append(append(o.b, value...), '"')
}

func (o *object) text(name, value string) {
	o.raw(name, "")
	o.b = quote.Append(o.b, value)
}

func (o *object) end() []byte { return append(o.b, '}') }

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
