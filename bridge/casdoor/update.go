package casdoor

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// selector is which record an update means; "" where it does not say.
type selector struct{ owner, name, id string }

// names tells whether the selector can mean the pool's user.
func (s selector) names(pool userpool.Pool, u userpool.User) bool {
	return (s.owner == "" || s.owner == pool.ID) && (s.name == "" || s.name == nameOf(u)) && (s.id == "" || s.id == u.ID)
}

// update is a request to change a user: the fields that its body has, limited
// to the columns that it names.
type update struct {
	query, body selector
	fields      map[string]jsontext.Value
}

// UpdateUser answers POST /v1/iam/update-user. Only what is sent is written:
// fields of the body, those of ?columns= if that is there, and of these what
// the caller may change. A user changes what they say of themselves, an
// application that shows its secret also phone and email. Fields that are sent
// back as they were are nobody's change.
func (a *API) UpdateUser(c echo.Context) error {
	pool, u, application, err := a.updater(c)
	if err != nil {
		return err
	}
	up, err := readUpdate(c.Request())
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if application {
		if u, err = a.selected(ctx, pool, up); err != nil {
			return err
		}
	}
	if up.body.id != "" && up.body.id != u.ID {
		return errImmutableID
	}
	if !up.query.names(pool, u) || !up.body.names(pool, u) {
		return errOtherRecord
	}
	_, changed, err := a.pools.UpdateProfile(ctx, pool.ID, u.ID, func(u *userpool.User) error {
		return up.apply(pool, u, application)
	})
	if err != nil {
		return spelt(err)
	}
	data := "Unaffected"
	if changed {
		data = "Affected"
	}
	return wire.Respond(c, http.StatusOK, envelope{Status: "ok", Data: data})
}

// updater returns who calls: a user with a Bearer token, or an application with
// Basic credentials, which can have any user of its pool.
func (a *API) updater(c echo.Context) (pool userpool.Pool, u userpool.User, application bool, err error) {
	var p params
	if p.basicID, p.basicSecret, p.basic = c.Request().BasicAuth(); p.basic {
		as(c, audit.Caller)
		pool, err = a.confidential(c, p)
		return pool, u, true, err
	}
	as(c, audit.User)
	pool, u, err = a.bearer(c)
	return pool, u, false, err
}

// selected returns the user whom an application means.
func (a *API) selected(ctx context.Context, pool userpool.Pool, up update) (userpool.User, error) {
	for _, s := range []selector{up.query, up.body} {
		switch {
		case s.owner != "" && s.owner != pool.ID:
			return userpool.User{}, errOtherRecord
		case s.id != "":
			return a.pools.User(ctx, pool.ID, s.id)
		case s.name != "":
			// Who has no username is named by the id. That comes first: an id is
			// never another's, and stores of old may have it as a username.
			u, err := a.pools.User(ctx, pool.ID, s.name)
			if errors.Is(err, userpool.ErrUserNotFound) {
				return a.pools.UserByName(ctx, pool.ID, s.name)
			}
			return u, err
		}
	}
	return userpool.User{}, userpool.Invalid("id", "is required: owner/name", "必填：owner/name")
}

// readUpdate reads an update. The body is JSON under any Content-Type.
func readUpdate(r *http.Request) (up update, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return up, errQuery
	}
	up.query = selector{owner: query.Get("owner"), id: query.Get("userId")}
	if id := query.Get("id"); id != "" {
		owner, name, ok := strings.Cut(id, "/")
		if !ok || up.query.owner != "" && up.query.owner != owner {
			return up, userpool.Invalid("id", "must be owner/name", "必须为 owner/name")
		}
		up.query.owner, up.query.name = owner, name
	}
	body, err := readBody(r)
	if err != nil {
		return up, err
	}
	if !looksLikeJSON(body) {
		return up, userpool.Invalid("body", "must be a JSON object", "必须为 JSON 对象")
	}
	if err := wire.ReadText(body, nil); err != nil {
		return up, err
	}
	if err := json.Unmarshal(body, &up.fields); err != nil {
		return up, userpool.Invalid("body", "must be a JSON object", "必须为 JSON 对象")
	}
	for name, to := range map[string]*string{"owner": &up.body.owner, "name": &up.body.name, "id": &up.body.id} {
		if *to, _, err = up.text(name); err != nil {
			return up, err
		}
		delete(up.fields, name)
	}
	if query.Has("columns") {
		var wanted []string
		for name := range strings.SplitSeq(query.Get("columns"), ",") {
			wanted = append(wanted, camel(name))
		}
		for name := range up.fields {
			// The country belongs to the phone.
			if !slices.Contains(wanted, name) && !(name == "countryCode" && slices.Contains(wanted, "phone")) {
				delete(up.fields, name)
			}
		}
	}
	return up, nil
}

// text returns a field that is a text, and whether it is there; null is not.
func (up update) text(name string) (s string, ok bool, err error) {
	v, there := up.fields[name]
	if !there || v.Kind() == 'n' {
		return "", false, nil
	}
	if v.Kind() != '"' || json.Unmarshal(v, &s) != nil {
		return "", false, userpool.Invalid(name, "must be a string", "必须为字符串")
	}
	return s, true, nil
}

// apply changes the user as the update says, or returns why it must not.
func (up update) apply(pool userpool.Pool, u *userpool.User, application bool) error {
	if err := up.protected(pool, *u); err != nil {
		return err
	}
	if err := up.phone(u, application); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		col := columns[name]
		v, ok, err := up.text(name)
		switch {
		case err != nil:
			return err
		case !ok:
		case v == col.get(*u):
		case name == "displayName" && strings.TrimSpace(v) == "":
			return errNoName
		case col.guarded && !application:
			return onlyAdmin(col.title)
		default:
			col.set(u, v)
		}
	}
	return nil
}

// protected returns an error if a field that nobody changes here would be
// changed.
func (up update) protected(pool userpool.Pool, u userpool.User) error {
	now := accountOf(pool, u)
	for _, f := range []struct{ name, title, is string }{
		{"type", "User type", now.Type}, {"wechat", "WeChat", now.WeChat}, {"signupApplication", "Signup application", now.Application},
		{"password", "Password", password},
	} {
		v, ok, err := up.text(f.name)
		if err != nil {
			return err
		}
		if ok && v != f.is && (f.name != "password" || v != "") {
			return onlyAdmin(f.title)
		}
	}
	for _, f := range []struct {
		name, title string
		is          bool
	}{{"isAdmin", "Is admin", false}, {"isForbidden", "Is forbidden", now.IsForbidden}, {"isDeleted", "Is deleted", false}} {
		switch v := up.fields[f.name]; {
		case v == nil || v.Kind() == 'n':
		case v.Kind() != 't' && v.Kind() != 'f':
			return userpool.Invalid(f.name, "must be true or false", "必须为 true 或 false")
		case (v.Kind() == 't') != f.is:
			return onlyAdmin(f.title)
		}
	}
	v := up.fields["properties"]
	if v == nil || v.Kind() == 'n' {
		return nil
	}
	given, is := map[string]string{}, map[string]string{"wechatOpenId": now.Properties.OpenID, "wechatUnionId": now.Properties.UnionID}
	if json.Unmarshal(v, &given) != nil {
		return userpool.Invalid("properties", "must be an object of strings", "必须为字符串对象")
	}
	for name, v := range given {
		if v != is[name] {
			return onlyAdmin("Properties")
		}
	}
	return nil
}

// phone changes the phone, which an application may: +86 is written with the
// countryCode CN, any other number in E.164.
func (up update) phone(u *userpool.User, application bool) error {
	phone, there, err := up.text("phone")
	if err != nil {
		return err
	}
	country, withCountry, err := up.text("countryCode")
	if err != nil {
		return err
	}
	if !there {
		if withCountry && country != countryOf(u.Phone) && !(country == "" || country == "CN" && u.Phone == "") {
			return onlyAdmin("Country code")
		}
		return nil
	}
	if phone == u.Phone.Local() || phone == string(u.Phone) {
		return nil
	}
	if !application {
		return onlyAdmin("Phone")
	}
	if phone != "" && !strings.HasPrefix(phone, "+") && (country == "CN" || country == "86" || country == "+86") {
		phone = "+86" + phone
	}
	u.Phone = userpool.Phone(phone)
	return nil
}

// spelt returns the error of a change under the names of this dialect.
func spelt(err error) error {
	bad := (*userpool.InvalidError)(nil)
	if !errors.As(err, &bad) {
		return err
	}
	names := map[string]string{
		"userInfo.nickName": "displayName", "userInfo.avatarUrl": "avatar", "userInfo.gender": "gender", "userInfo.language": "language",
		"givenName": "firstName", "familyName": "lastName", "locality": "location", "birthdate": "birthday",
	}
	if name, ok := names[bad.Field]; ok {
		en, zh := bad.EN, bad.ZH
		if name == "gender" {
			en, zh = "must be Male or Female", "必须为 Male 或 Female"
		}
		return userpool.Invalid(name, en, zh)
	}
	return err
}
