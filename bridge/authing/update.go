package authing

import (
	"context"
	"slices"

	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// refused are the members of UpdateUserInput that are not a user's to change,
// and why. lastIP is one that Authing lets users write; here it is what was seen.
var refused = map[string]error{
	"email": errEmail, "phone": errPhone,
	"unionid": errField, "openid": errField, "blocked": errField, "emailVerified": errField, "phoneVerified": errField,
	"loginsCount": errField, "lastLogin": errField, "lastIP": errField, "oauth": errField, "externalId": errField,
	"password": errField, "formatted": errField, "tokenExpiredAt": errField,
}

// members are the names that UpdateUserInput has for those of a profile.
var members = map[string]string{
	"userInfo.nickName": "nickname", "userInfo.avatarUrl": "photo",
	"userInfo.city": "city", "userInfo.province": "province", "userInfo.country": "country",
}

// updateUser changes what users may say of themselves. Version 4.0.0 of the SDK
// logs out by writing "0" to tokenExpiredAt.
func (a *API) updateUser(ctx context.Context, c echo.Context, args map[string]any) (object, error) {
	pool, u, t, err := a.signedIn(ctx, c)
	if err == nil {
		err = own(args, u)
	}
	if err != nil {
		return nil, err
	}
	input, _ := args["input"].(map[string]any)
	if end, _ := input["tokenExpiredAt"].(string); end == "0" && len(input) == 1 {
		if err := a.revoke(ctx, t.raw); err != nil {
			return nil, err
		}
		return newUser(pool, u, t.token()), nil
	}
	for name, v := range input {
		if err := refused[name]; err != nil && v != nil {
			return nil, err
		}
	}
	photo, changesPhoto := input["photo"].(string)
	if changesPhoto {
		if err := a.uploads.Check(ctx, photo); err != nil {
			return nil, userpool.Invalid("photo", "is not here any more; upload it again", "图片已不存在，请重新上传")
		}
	}
	u, _, err = a.pools.UpdateProfile(acting(c, audit.User), pool.ID, u.ID, func(u *userpool.User) error { return apply(u, input) })
	if err != nil {
		return nil, wire.Spelt(err, members)
	}
	if changesPhoto {
		if err := a.uploads.Hold(ctx, pool.ID, u.ID, photo); err != nil {
			return nil, err
		}
	}
	return newUser(pool, u, t.token()), nil
}

// apply writes the input to the user. A member that is null is left as it is.
func apply(u *userpool.User, input map[string]any) error {
	p := &u.Profile
	plain := map[string]*string{
		"nickname": &p.Nickname, "photo": &p.AvatarURL, "city": &p.City, "province": &p.Province, "country": &p.Country,
	}
	for name, v := range input {
		s, isText := v.(string)
		switch {
		case !isText:
		case plain[name] != nil:
			*plain[name] = s
		case name == "gender":
			i := slices.Index(genders[:], s)
			if i < 0 {
				return userpool.Invalid("gender", "must be M, F or U", "必须为 M、F 或 U")
			}
			p.Gender = i
		case name == "username":
			if s != u.Username && u.Username != "" {
				return errField // once given it stays
			}
			u.Username = s
		case slices.Contains(attributes, name):
			u.Attributes[name] = s
		}
	}
	return nil
}
