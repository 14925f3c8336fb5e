package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// user is a user as the API shows it. Phone and e-mail address
// are masked.
type user struct {
	ID             string     `json:"id"`
	PoolID         string     `json:"poolId"`
	UnionID        string     `json:"unionid"`
	Identities     []identity `json:"identities"`
	Phone          string     `json:"phone"`
	Email          string     `json:"email"`
	Username       string     `json:"username"` // "" for none
	Nickname       string     `json:"nickname"`
	Photo          string     `json:"photo"`
	RegisterMethod string     `json:"registerMethod"`
	Blocked        bool       `json:"blocked"`
	LoginsCount    uint64     `json:"loginsCount"`
	LastLogin      *string    `json:"lastLogin"`
	LastIP         string     `json:"lastIP"`
	SignedOutAt    *string    `json:"signedOutAt"` // tokens up to then are void
	SignedUp       string     `json:"signedUp"`
	UpdatedAt      string     `json:"updatedAt"`
	PasswordSetAt  *string    `json:"passwordSetAt"` // null without one
	TOTP           *totp      `json:"totp"`          // likewise
}

type identity struct {
	ID     string `json:"id"`
	AppID  string `json:"appId"`
	OpenID string `json:"openid"`
}

func userOf(u userpool.User, passwordSetAt time.Time) user {
	out := user{
		ID: u.ID, PoolID: u.PoolID, UnionID: u.UnionID, Identities: []identity{}, Phone: u.Phone.Masked(), Email: u.Email.Masked(),
		Username: u.Username, Nickname: u.Profile.Nickname, Photo: u.Profile.AvatarURL, RegisterMethod: u.RegisterMethod, Blocked: u.Blocked,
		LoginsCount: u.Logins.Count, LastLogin: wire.Time(u.Logins.Last), SignedOutAt: wire.Time(u.NotBefore),
		SignedUp: wire.Stamp(u.SignedUp), UpdatedAt: wire.Stamp(u.UpdatedAt),
		PasswordSetAt: wire.Time(passwordSetAt),
	}
	if u.Logins.Addr.IsValid() {
		out.LastIP = u.Logins.Addr.String()
	}
	for _, id := range u.Identities {
		out.Identities = append(out.Identities, identity{ID: u.IdentityID(id), AppID: id.AppID, OpenID: id.OpenID})
	}
	return out
}

// CreateUser answers POST /admin/v1/pools/:id/users: a user who moves here,
// with the id they had.
func (a *API) CreateUser(c echo.Context) error {
	u := userpool.User{PoolID: c.Param("id")}
	var openid, phone, email, password, hash string
	if err := wire.ReadStrict(c.Request(), wire.Fields{
		"id": &u.ID, "unionid": &u.UnionID, "openid": &openid, "phone": &phone, "email": &email, "username": &u.Username,
		"nickname": &u.Profile.Nickname, "photo": &u.Profile.AvatarURL, "registerMethod": &u.RegisterMethod,
		"password": &password, "passwordHash": &hash,
	}); err != nil {
		return err
	}
	ctx := c.Request().Context()
	p, err := a.pools.Pool(ctx, u.PoolID)
	if err != nil {
		return err
	}
	if openid != "" {
		u.Identities = []userpool.Identity{{AppID: p.AppID, OpenID: openid}}
	}
	u.Phone, u.Email = userpool.Phone(phone), userpool.Email(email)
	if password == "" && hash == "" {
		u, err = a.pools.CreateUser(ctx, u)
	} else {
		u, err = a.pools.CreateUserWithPassword(ctx, u, userpool.NewPassword{Text: userpool.Secret(password), Hash: userpool.Secret(hash)})
	}
	if err != nil {
		return spelt(err)
	}
	shown, err := a.shown(ctx, u)
	if err != nil {
		return err
	}
	return created(c, shown)
}

// spelt returns the error of a new user under the names that this API has for
// the fields.
func spelt(err error) error {
	bad := (*userpool.InvalidError)(nil)
	if !errors.As(err, &bad) {
		return err
	}
	switch bad.Field {
	case "userInfo.nickName":
		return userpool.Invalid("nickname", bad.EN, bad.ZH)
	case "userInfo.avatarUrl":
		return userpool.Invalid("photo", bad.EN, bad.ZH)
	case "identities[0]":
		return userpool.Invalid("openid", "must be printable ASCII", "必须为可打印的 ASCII 字符")
	}
	return err
}

// ShowUser answers GET /admin/v1/pools/:id/users/:userId.
func (a *API) ShowUser(c echo.Context) error {
	u, err := a.pools.User(c.Request().Context(), c.Param("id"), c.Param("userId"))
	return a.answerUser(c, u, err)
}

// PatchUser answers PATCH /admin/v1/pools/:id/users/:userId.
func (a *API) PatchUser(c echo.Context) error {
	var blocked wire.Optional[bool]
	var email, password, hash wire.Optional[string]
	if err := wire.ReadStrict(c.Request(), wire.Fields{"blocked": &blocked, "email": &email, "password": &password, "passwordHash": &hash}); err != nil {
		return err
	}
	ctx, poolID, userID := c.Request().Context(), c.Param("id"), c.Param("userId")
	var u userpool.User
	var err error
	switch {
	case count(blocked.Set, email.Set, password.Set, hash.Set) > 1:
		return userpool.Invalid("body", "must change one thing at a time", "一次只能修改一项")
	case blocked.Set:
		u, err = a.pools.SetBlocked(ctx, poolID, userID, blocked.Value)
	case email.Set:
		u, err = a.pools.SetEmail(ctx, poolID, userID, email.Value)
	case password.Null || hash.Null:
		u, err = a.pools.RemovePassword(ctx, poolID, userID)
	case password.Set:
		u, err = a.pools.SetPassword(ctx, poolID, userID, userpool.NewPassword{Text: userpool.Secret(password.Value)})
	case hash.Set && hash.Value == "":
		return userpool.Invalid("passwordHash", "must not be empty; null takes the password away", "不能为空；null 表示清除密码")
	case hash.Set:
		u, err = a.pools.SetPassword(ctx, poolID, userID, userpool.NewPassword{Hash: userpool.Secret(hash.Value)})
	default:
		return a.ShowUser(c)
	}
	return a.answerUser(c, u, err)
}

// RevokeUser answers POST /admin/v1/pools/:id/users/:userId/revoke: signed out
// everywhere.
func (a *API) RevokeUser(c echo.Context) error {
	if err := wire.ReadStrict(c.Request(), wire.Fields{}); err != nil {
		return err
	}
	u, err := a.pools.SignOut(c.Request().Context(), c.Param("id"), c.Param("userId"))
	return a.answerUser(c, u, err)
}

// Unbind answers DELETE /admin/v1/pools/:id/users/:userId/identities/:identityId.
func (a *API) Unbind(c echo.Context) error {
	if _, err := a.pools.Unbind(c.Request().Context(), c.Param("id"), c.Param("userId"), c.Param("identityId")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (a *API) answerUser(c echo.Context, u userpool.User, err error) error {
	if err != nil {
		return err
	}
	shown, err := a.shown(c.Request().Context(), u)
	if err != nil {
		return err
	}
	return wire.OK(c, shown)
}

// shown returns the user as the API shows them, with what is kept apart.
func (a *API) shown(ctx context.Context, u userpool.User) (user, error) {
	at, err := a.pools.PasswordSetAt(ctx, u.PoolID, u.ID)
	if err != nil {
		return user{}, err
	}
	factor, err := a.pools.TOTPOf(ctx, u.PoolID, u.ID)
	out := userOf(u, at)
	out.TOTP = totpOf(factor)
	return out, err
}

// count returns how many of them are true.
func count(all ...bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}
