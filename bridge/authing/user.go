package authing

import (
	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// attributes are the fields of a user that are kept as userpool.Attributes, by
// the same names.
var attributes = []string{
	"device", "browser", "company", "name", "givenName", "familyName", "middleName", "profile", "preferredUsername", "website",
	"birthdate", "zoneinfo", "locale", "address", "formatted", "streetAddress", "locality", "region", "postalCode",
}

// newUser returns the user as Authing's second API shows one, with the token,
// which must be valid now: its clients store it, and a null logs them out. What
// is not there is null.
func newUser(pool userpool.Pool, u userpool.User, t token.Token) object {
	identities := make([]object, 0, len(u.Identities))
	for _, id := range u.Identities {
		inIDP := id.OpenID
		if u.UnionID != "" {
			inIDP = u.UnionID
		}
		identities = append(identities, object{
			"openid": id.OpenID, "userIdInIdp": inIDP, "userId": u.ID, "connectionId": id.AppID, "isSocial": true, "provider": "wechat", "userPoolId": pool.ID,
		})
	}
	state := "Activated"
	if u.Blocked {
		state = "Suspended"
	}
	var addr *string
	if u.Logins.Addr.IsValid() {
		s := u.Logins.Addr.String()
		addr = &s
	}
	email, emailVerified := u.ShownEmail()
	v := object{
		"id": u.ID, "arn": arn(pool.ID, u.ID), "userPoolId": pool.ID, "status": state, "username": orNull(u.Username),
		"email": orNull(email), "emailVerified": emailVerified, "phone": orNull(u.Phone.Local()), "phoneVerified": u.Phone != "",
		"identities": identities, "unionid": orNull(u.UnionID), "openid": orNull(u.OpenID(pool.AppID)),
		"nickname": orNull(u.Profile.Nickname), "registerSource": []string{u.RegisterMethod}, "photo": orNull(u.Profile.AvatarURL),
		"password": nil, "oauth": nil, "token": t.Raw, "tokenExpiredAt": wire.Stamp(t.ExpiresAt),
		"loginsCount": u.Logins.Count, "lastLogin": wire.Time(u.Logins.Last), "lastIP": addr, "signedUp": wire.Stamp(u.SignedUp),
		"blocked": u.Blocked, "isDeleted": false, "gender": genders[u.Profile.Gender],
		"city": orNull(u.Profile.City), "province": orNull(u.Profile.Province), "country": orNull(u.Profile.Country),
		"createdAt": wire.Stamp(u.SignedUp), "updatedAt": wire.Stamp(u.UpdatedAt), "externalId": nil,
	}
	for _, name := range attributes {
		v[name] = orNull(u.Attributes[name])
	}
	return v
}

// genders are Authing's letters for WeChat's numbers.
var genders = [...]string{"U", "M", "F"}

// arn is Authing's name of a user in all the world.
func arn(poolID, userID string) string {
	return "arn:cn:authing:" + poolID + ":user:" + userID
}

// orNull returns nil for an empty text.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
