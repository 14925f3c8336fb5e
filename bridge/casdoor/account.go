package casdoor

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// bearer returns the pool and the user of the request's access token. It is
// taken from the header only: URLs are logged.
func (a *API) bearer(c echo.Context) (pool userpool.Pool, u userpool.User, err error) {
	ctx := c.Request().Context()
	scheme, raw, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return pool, u, errNoToken
	}
	claims, err := a.tokens.Verify(ctx, strings.TrimSpace(raw), token.KindCasdoor)
	if err != nil {
		return pool, u, err
	}
	return a.who(ctx, c, claims)
}

func (a *API) who(ctx context.Context, c echo.Context, claims token.Claims) (pool userpool.Pool, u userpool.User, err error) {
	if pool, err = a.pools.Pool(ctx, claims.PoolID); err != nil {
		return pool, u, err
	}
	of(c, pool)
	u, err = a.pools.User(ctx, claims.PoolID, claims.UserID)
	if errors.Is(err, userpool.ErrUserNotFound) {
		err = token.ErrInvalid
	}
	return pool, u, err
}

// UserInfo answers GET /v1/iam/oauth/userinfo. A mini program's token has no
// scope, and is told who it is for.
func (a *API) UserInfo(c echo.Context) error {
	pool, u, err := a.bearer(c)
	if err != nil {
		return err
	}
	return wire.OK(c, struct {
		Subject  string `json:"sub"`
		Issuer   string `json:"iss"`
		Audience string `json:"aud"` // a text here, a list in the token
	}{u.ID, a.issuer, pool.ID})
}

// password is what get-account has for every user's, and update-user takes for
// unchanged: the example's form wants one.
const password = "***"

// properties are Casdoor's of a user of a mini program.
type properties struct {
	OpenID  string `json:"wechatOpenId"`
	UnionID string `json:"wechatUnionId"`
}

// account is a user as get-account shows it.
type account struct {
	Owner       string     `json:"owner"`
	Name        string     `json:"name"`
	CreatedTime string     `json:"createdTime"`
	UpdatedTime string     `json:"updatedTime"`
	ID          string     `json:"id"`
	Type        string     `json:"type"`
	Password    string     `json:"password"`
	DisplayName string     `json:"displayName"`
	FirstName   string     `json:"firstName"`
	LastName    string     `json:"lastName"`
	Avatar      string     `json:"avatar"`
	Email       string     `json:"email"`
	Verified    bool       `json:"emailVerified"`
	Phone       string     `json:"phone"`
	CountryCode string     `json:"countryCode"`
	Region      string     `json:"region"`
	Location    string     `json:"location"`
	Affiliation string     `json:"affiliation"`
	Title       string     `json:"title"`
	Homepage    string     `json:"homepage"`
	Bio         string     `json:"bio"`
	Language    string     `json:"language"`
	Gender      string     `json:"gender"`
	Birthday    string     `json:"birthday"`
	Education   string     `json:"education"`
	IsAdmin     bool       `json:"isAdmin"`
	IsForbidden bool       `json:"isForbidden"`
	IsDeleted   bool       `json:"isDeleted"`
	Application string     `json:"signupApplication"`
	WeChat      string     `json:"wechat"`
	Properties  properties `json:"properties"`
	Roles       []string   `json:"roles"`
	Permissions []string   `json:"permissions"`
	Groups      []string   `json:"groups"`
	AccessToken string     `json:"accessToken"` // always empty: a look makes no token
}

func accountOf(pool userpool.Pool, u userpool.User) account {
	openID := u.OpenID(pool.AppID)
	out := account{
		Owner: pool.ID, Name: nameOf(u), CreatedTime: u.SignedUp.UTC().Format(time.RFC3339), UpdatedTime: u.UpdatedAt.UTC().Format(time.RFC3339),
		ID: u.ID, Type: "normal-user", Password: password, Phone: u.Phone.Local(), CountryCode: countryOf(u.Phone),
		IsForbidden: u.Blocked, Application: pool.ID, WeChat: openID, Properties: properties{openID, u.UnionID},
		Roles: []string{}, Permissions: []string{}, Groups: []string{},
	}
	for name, to := range map[string]*string{
		"displayName": &out.DisplayName, "avatar": &out.Avatar, "email": &out.Email, "firstName": &out.FirstName, "lastName": &out.LastName,
		"region": &out.Region, "location": &out.Location, "affiliation": &out.Affiliation, "title": &out.Title, "homepage": &out.Homepage,
		"bio": &out.Bio, "language": &out.Language, "gender": &out.Gender, "birthday": &out.Birthday, "education": &out.Education,
	} {
		*to = columns[name].get(u)
	}
	out.Email, out.Verified = u.ShownEmail()
	return out
}

// countryOf returns Casdoor's countryCode. Of other countries the phone says
// itself which it is.
func countryOf(p userpool.Phone) string {
	if strings.HasPrefix(string(p), "+86") {
		return "CN"
	}
	return ""
}

// GetAccount answers GET /v1/iam/get-account.
func (a *API) GetAccount(c echo.Context) error {
	pool, u, err := a.bearer(c)
	if err != nil {
		return err
	}
	return wire.Respond(c, http.StatusOK, envelope{
		Status: "ok", Subject: u.ID, Name: nameOf(u), Data: accountOf(pool, u),
		Data2: struct {
			Owner       string `json:"owner"`
			Name        string `json:"name"`
			DisplayName string `json:"displayName"`
		}{"admin", pool.ID, pool.Name},
	})
}
