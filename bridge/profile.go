package bridge

import (
	"net/netip"
	"strconv"
	"sync"
	"time"

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

	b := a.body[:0]
	raw := func(text string) { b = append(b, text...) }
	text := func(before, value string) { b = quote.Append(append(b, before...), value) }
	inner := func(before, value string) { b = quote.AppendInner(append(b, before...), value) }
	stamp := func(before string, at time.Time) { b = append(wire.AppendStamp(append(b, before...), at), '"') }

	raw(`{"emailVerified":`)
	b = strconv.AppendBool(b, u.Email != "")
	text(`,"username":`, p.Nickname)
	text(`,"nickname":`, p.Nickname)
	text(`,"company":"","photo":`, p.AvatarURL)
	raw(`,"loginsCount":`)
	b = strconv.AppendUint(b, u.Logins.Count, 10)
	text(`,"registerMethod":`, u.RegisterMethod)
	raw(`,"blocked":`)
	b = strconv.AppendBool(b, u.Blocked)

	// JSON text.
	inner(`,"isDeleted":false,"oauth":"{\"nickName\":`, p.Nickname)
	raw(`,\"gender\":`)
	b = strconv.AppendInt(b, int64(p.Gender), 10)
	inner(`,\"language\":`, p.Language)
	inner(`,\"city\":`, p.City)
	inner(`,\"province\":`, p.Province)
	inner(`,\"country\":`, p.Country)
	inner(`,\"avatarUrl\":`, p.AvatarURL)
	inner(`,\"phone\":`, phone)
	inner(`,\"openid\":`, openID)
	inner(`,\"unionid\":`, u.UnionID)
	// JSON text of an empty string.
	raw(`}","metadata":"\"\"`)

	text(`","_id":`, u.ID)
	text(`,"id":`, u.ID)
	text(`,"unionid":`, u.UnionID)
	text(`,"openid":`, openID)
	raw(`,"lastIP":"`)
	b = appendMapped(b, u.Logins.Addr)
	stamp(`","lastLogin":"`, u.Logins.Last)
	stamp(`,"signedUp":"`, u.SignedUp)
	raw(`,"token":"`)
	raw(t.Raw)
	stamp(`","tokenExpiredAt":"`, t.ExpiresAt)
	if phone == "" {
		raw(`,"phone":null}`)
	} else {
		text(`,"phone":`, phone)
		raw("}")
	}
	a.body = b
	return b
}

// answer is memory for an answer, large enough for most.
type answer struct{ body []byte }

var answers = sync.Pool{New: func() any { return &answer{make([]byte, 0, 2048)} }}

// appendMapped appends an IPv4 address the way a dual-stack socket shows it.
func appendMapped(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		b = append(b, "::ffff:"...)
	}
	return a.AppendTo(b)
}
