package authing

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// registerSource is of users who are made by the calls here.
const registerSource = "social:wechat:miniprogram:default"

// LoginByCode answers POST /connections/social/wechat-miniprogram/auth. A token
// that comes along is not looked at: it may be the expired one that is the
// reason for the login.
func (a *API) LoginByCode(c echo.Context) error {
	var l userpool.Login
	var raw string
	pool, err := a.readLogin(c, &l.Code, &l.SealedProfile, wire.Fields{"rawData": &raw})
	if err != nil {
		return err
	}
	if l.Profile, err = readProfile(raw); err != nil {
		return err
	}
	if raw != "" { // documented as the other one's replacement
		l.SealedProfile = userpool.Sealed{}
	}
	return a.login(c, pool, l)
}

// LoginByPhone answers POST /connections/social/wechat-miniprogram/auth-by-phone.
func (a *API) LoginByPhone(c echo.Context) error {
	var l userpool.Login
	pool, err := a.readLogin(c, &l.Code, &l.SealedPhone, nil)
	if err != nil {
		return err
	}
	if !l.SealedPhone.Given() {
		return userpool.Invalid("encryptedData", "is required", "必填")
	}
	return a.login(c, pool, l)
}

// Phone answers POST /connections/social/wechat-miniprogram/getphone.
func (a *API) Phone(c echo.Context) error {
	var code string
	var sealed userpool.Sealed
	pool, err := a.readLogin(c, &code, &sealed, nil)
	if err != nil {
		return err
	}
	session, g, err := a.pools.OpenPhone(acting(c, audit.User), pool, code, sealed, wire.Addr(c))
	if err != nil {
		return err
	}
	return ok(c, "获取手机号成功", struct {
		CountryCode     string  `json:"countryCode"`
		PhoneNumber     string  `json:"phoneNumber"`
		PurePhoneNumber string  `json:"purePhoneNumber"`
		OpenID          string  `json:"openid"`
		UnionID         *string `json:"unionid"`
	}{g.Country, g.Phone.Local(), strings.TrimPrefix(string(g.Phone), "+"+g.Country), session.OpenID, orNull(session.UnionID)})
}

// readLogin reads what the three calls have in common, and the pool.
func (a *API) readLogin(c echo.Context, code *string, sealed *userpool.Sealed, more wire.Fields) (userpool.Pool, error) {
	pool, err := a.named(c)
	if err != nil {
		return pool, err
	}
	var data, iv string
	fields := wire.Fields{"code": code, "encryptedData": &data, "iv": &iv}
	for name, to := range more {
		fields[name] = to
	}
	if err := wire.Read(c.Request(), fields); err != nil {
		return pool, err
	}
	*sealed, err = userpool.ParseSealed(data, iv)
	return pool, err
}

// readProfile reads rawData, the JSON text of a profile as wx.getUserProfile
// gave it, "" for none.
func readProfile(raw string) (p userpool.Profile, err error) {
	if raw == "" {
		return p, nil
	}
	var in struct {
		NickName  string `json:"nickName"`
		AvatarURL string `json:"avatarUrl"`
		Gender    int    `json:"gender"`
		Language  string `json:"language"`
		City      string `json:"city"`
		Province  string `json:"province"`
		Country   string `json:"country"`
	}
	if json.Unmarshal([]byte(raw), &in) != nil {
		return p, userpool.Invalid("rawData", "must be the JSON text of a profile", "必须为用户信息的 JSON 文本")
	}
	return userpool.Profile{
		Nickname: in.NickName, AvatarURL: in.AvatarURL, Gender: in.Gender, Language: in.Language, City: in.City, Province: in.Province, Country: in.Country,
	}, nil
}

// login signs the user in and answers with them and a token.
func (a *API) login(c echo.Context, pool userpool.Pool, l userpool.Login) error {
	l.Method = registerSource
	ctx := acting(c, audit.User)
	u, err := a.pools.Enter(ctx, pool, l, wire.Addr(c))
	if err != nil {
		return err
	}
	t, err := a.issue(ctx, pool, u)
	if err != nil {
		return err
	}
	v := newUser(pool, u, t)
	v["_id"] = u.ID
	return ok(c, "获取用户信息成功", v)
}

// issue makes a token of the user's.
func (a *API) issue(ctx context.Context, pool userpool.Pool, u userpool.User) (token.Token, error) {
	now := a.now()
	return a.tokens.Issue(ctx, pool, u, token.Stamp{ID: userpool.NewID(now), IssuedAt: now, ExpiresAt: pool.TokenEnd(now)})
}
