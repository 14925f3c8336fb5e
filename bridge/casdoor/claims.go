package casdoor

import (
	"strconv"

	"app2wxapp/quote"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// claims returns the payload of an access token: Casdoor's registered claims,
// its user as in the format "JWT-Empty", and what mini programs know of
// themselves. Clients decode them into a struct, where one of another type
// would fail the token. It is written by hand because it is part of every
// sign-in.
func (a *API) claims(pool userpool.Pool, u userpool.User, g token.Grant) []byte {
	b := make([]byte, 0, 1024)
	text := func(before, value string) { b = quote.Append(append(b, before...), value) }
	num := func(before string, n int64) { b = strconv.AppendInt(append(b, before...), n, 10) }
	openID := u.OpenID(pool.AppID)
	text(`{"iss":`, a.issuer)
	text(`,"sub":`, u.ID)
	text(`,"aud":[`, pool.ID)
	text(`],"azp":`, pool.ID)
	num(`,"exp":`, g.Stamp.ExpiresAt.Unix())
	num(`,"iat":`, g.Stamp.IssuedAt.Unix())
	num(`,"nbf":`, g.Stamp.IssuedAt.Unix())
	text(`,"jti":`, token.CasdoorID(g.Stamp.ID))
	text(`,"sid":`, g.Session.ID)
	text(`,"tokenType":"access-token","tag":"","owner":`, pool.ID)
	text(`,"name":`, nameOf(u))
	text(`,"id":`, u.ID)
	text(`,"displayName":`, u.Profile.Nickname)
	text(`,"avatar":`, u.Profile.AvatarURL)
	email, verified := u.ShownEmail()
	text(`,"email":`, email)
	b = strconv.AppendBool(append(b, `,"email_verified":`...), verified)
	text(`,"phone":`, u.Phone.Local())
	text(`,"type":"normal-user","signupApplication":`, pool.ID)
	text(`,"wechat":`, openID)
	text(`,"properties":{"wechatOpenId":`, openID)
	text(`,"wechatUnionId":`, u.UnionID)
	return append(b, `}}`...)
}
