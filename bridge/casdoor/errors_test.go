package casdoor_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge"
	"app2wxapp/bridge/bridgetest"
	"app2wxapp/token"
	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

// The rows of the reference's sections 6 and 8, as far as a pool can be so.
func TestSignInErrors(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, closed, bind := b.NewPool(es256), b.NewPool(es256, `"signup":"closed"`), b.NewPool(es256, `"signup":"bind"`)
	phone, apps := b.NewPool(es256, `"phoneRequired":true`), b.NewPool(es256, `"allowedApps":["wxaaaa"]`)
	code := func() string { return b.WeChat.LoginCode(bridgetest.AppID, "alice") }
	spent := code()
	form(b, tokenPath, "tag", "wechat_miniprogram", "client_id", p.ID, "code", spent).Want(200)
	const invalidCode = "get wechat mini program session error: err: invalid code"
	for _, row := range []struct {
		name       string
		values     []string // besides the tag
		fail       sandbox.Failure
		status     int
		code, text string
	}{
		{"no client_id", []string{"code", code()}, "", 401, "invalid_client", "client_id is invalid"},
		{"unknown client_id", []string{"client_id", "nobody", "code", code()}, "", 401, "invalid_client", "client_id is invalid"},
		{"client_id that cannot be", []string{"client_id", "a/b", "code", code()}, "", 401, "invalid_client", "client_id is invalid"},
		{"wrong client_secret", []string{"client_id", p.ID, "client_secret", "wrong", "code", code()}, "", 401, "invalid_client", "client_secret is invalid"},
		{"another pool's secret", []string{"client_id", p.ID, "client_secret", phone.Secret, "code", code()}, "", 401, "invalid_client", "client_secret is invalid"},
		{"WeChat refuses the code", []string{"client_id", p.ID, "code", code()}, sandbox.ErrCode(40029), 400, "invalid_grant", invalidCode + ", errcode: 40029"},
		{"WeChat says it was used", []string{"client_id", p.ID, "code", code()}, sandbox.ErrCode(40163), 400, "invalid_grant", invalidCode + ", errcode: 40163"},
		{"a code that was sent before", []string{"client_id", p.ID, "code", spent}, "", 400, "invalid_grant", invalidCode},
		{"no code", []string{"client_id", p.ID}, "", 400, "invalid_request", "code is required: the code of wx.login"},
		{"a long code", []string{"client_id", p.ID, "code", strings.Repeat("a", 513)}, "", 400, "invalid_request", "code is too long"},
		{"WeChat is busy", []string{"client_id", p.ID, "code", code()}, sandbox.ErrCode(-1), 503, "temporarily_unavailable", "WeChat does not answer; call wx.login again and retry"},
		{"WeChat is down", []string{"client_id", p.ID, "code", code()}, sandbox.Status(500), 503, "temporarily_unavailable", "WeChat does not answer; call wx.login again and retry"},
		{"no openid", []string{"client_id", p.ID, "code", code()}, sandbox.GarbageObject, 503, "temporarily_unavailable", "WeChat does not answer; call wx.login again and retry"},
		{"WeChat's quota", []string{"client_id", p.ID, "code", code()}, sandbox.ErrCode(45011), 429, "temporarily_unavailable", "WeChat is busy; call wx.login again and retry"},
		{"wrong AppSecret", []string{"client_id", p.ID, "code", code()}, sandbox.ErrCode(40125), 500, "server_error", "an error of ours; give the X-Request-Id to the operator"},
		{"high-risk user", []string{"client_id", p.ID, "code", code()}, sandbox.ErrCode(40226), 400, "invalid_grant", "WeChat refuses this user as high-risk"},
		{"sign-up off", []string{"client_id", closed.ID, "code", code()}, "", 400, "invalid_grant", "the application does not allow to sign up new account"},
		{"sign-up by binding", []string{"client_id", bind.ID, "code", code()}, "", 400, "invalid_grant", "the application does not allow to sign up new account"},
		{"phone required", []string{"client_id", phone.ID, "code", code()}, "", 400, "invalid_grant", "the application asks for a phone number, which is not given in this flow"},
		{"named apps only", []string{"client_id", apps.ID, "code", code()}, "", 400, "unauthorized_client", "the application lets only named apps sign users in (allowedApps)"},
		{"two that differ", []string{"client_id", p.ID, "code", "a", "code", "b"}, "", 400, "invalid_request", "code is given twice and differs"},
		{"NUL", []string{"client_id", p.ID, "code", "a\x00"}, "", 400, "invalid_request", "body must be UTF-8 without NUL"},
		{"no UTF-8", []string{"client_id", p.ID, "code", "a\xff"}, "", 400, "invalid_request", "body must be UTF-8 without NUL"},
		{"too large", []string{"client_id", p.ID, "code", code(), "username", strings.Repeat("a", 64<<10)}, "", 413, "invalid_request", "the body must not exceed 64 KiB"},
	} {
		if row.fail != "" {
			b.WeChat.Fail(sandbox.Login, row.fail, 1)
		}
		r := form(b, tokenPath, append([]string{"tag", "wechat_miniprogram"}, row.values...)...)
		wantOAuth(t, row.name, r, row.status, row.code, row.text)
		if row.status == 429 && r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", row.name)
		}
	}
	// Nothing was sent to WeChat for those who were refused before.
	if n := b.WeChat.Count(sandbox.Login); n != 12 {
		t.Errorf("WeChat was asked %d times, want 12", n)
	}

	// A user who is blocked gets no token.
	me := account(b, login(b, p, "alice").Access)
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID+"/users/"+me["id"].(string), `{"blocked":true}`).Want(200)
	wantOAuth(t, "blocked", signIn(b, p, "alice"), 400, "invalid_grant", "the user is forbidden to sign in, please contact the administrator")

	for _, row := range []struct {
		name   string
		values []string
		status int
		code   string
		text   string
	}{
		{"another tag", []string{"tag", "other", "client_id", p.ID, "code", "c"}, 400, "unsupported_grant_type", "grant_type must be refresh_token, or tag wechat_miniprogram"},
		{"the tag in another case", []string{"tag", "WeChat_MiniProgram", "client_id", p.ID, "code", "c"}, 400, "unsupported_grant_type", "grant_type must be refresh_token, or tag wechat_miniprogram"},
		{"another tag and a grant", []string{"tag", "other", "client_id", p.ID, "grant_type", "client_credentials"}, 400, "unsupported_grant_type", "grant_type must be refresh_token, or tag wechat_miniprogram"},
		{"nothing but the client", []string{"client_id", p.ID}, 400, "unsupported_grant_type", "grant_type must be refresh_token, or tag wechat_miniprogram"},
		{"nothing", nil, 401, "invalid_client", "client_id is invalid"},
	} {
		wantOAuth(t, row.name, form(b, tokenPath, row.values...), row.status, row.code, row.text)
	}
}

func TestBodyErrors(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	whole := pairs("tag", "wechat_miniprogram", "client_id", p.ID, "code", b.WeChat.LoginCode(bridgetest.AppID, "alice"))
	for _, row := range []struct{ name, query, body, header, text string }{
		{"a number", "", `{"code":1}`, "Content-Type: application/json", "code must be a string"},
		{"another case", "", `{"Code":"a"}`, "Content-Type: application/json", "code must be spelt exactly so"},
		{"twice", "", `{"code":"a","code":"a"}`, "Content-Type: application/json", "body must be valid JSON in UTF-8, with each name once"},
		{"JSON cut off", "", `{"code":"a"`, "Content-Type: application/json", "body must be valid JSON in UTF-8, with each name once"},
		{"deep JSON", "", `{"x":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}`, "Content-Type: application/json", "body must be nested at most 16 deep"},
		{"a list", "", `["a"]`, "Content-Type: application/json", "body must be a form, multipart or JSON"},
		{"XML", "", `<a/>`, "Content-Type: text/xml", "body must be a form, multipart or JSON"},
		{"a type that is none", "", whole, "Content-Type: ;;", "body must be a form, multipart or JSON"},
		{"bad escape", "", "code=%zz", asForm, "body must be a form, multipart or JSON"},
		{"bad escape in the query", "?code=%zz", "", asForm, "query must be well-formed"},
		{"query and body differ", "?code=b", "code=a", asForm, "code is given twice and differs"},
		{"no boundary", "", "a", "Content-Type: multipart/form-data", "body must be a form, multipart or JSON"},
		{"parts cut off", "", "--x\r\nContent-Disposition: form-data; name=\"code\"\r\n\r\na", "Content-Type: multipart/form-data; boundary=x", "body must be a form, multipart or JSON"},
		{"many parts", "", strings.Repeat("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\na\r\n", 99) + "--x--", "Content-Type: multipart/form-data; boundary=x", "body must be a form, multipart or JSON"},
		{"compressed", "", whole, "Content-Encoding: gzip", "body must not be compressed"},
	} {
		wantOAuth(t, row.name, b.Do("POST", b.URL+tokenPath+row.query, row.body, row.header), 400, "invalid_request", row.text)
	}
}

func TestRefreshErrors(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, other := b.NewPool(es256), b.NewPool(es256)
	got := login(b, p, "alice")
	const revoked = "refresh token is invalid or revoked"
	both := func(path string, values ...string) bridgetest.Response {
		return form(b, path, append([]string{"grant_type", "refresh_token"}, values...)...)
	}
	for _, path := range []string{tokenPath, refreshPath} {
		wantOAuth(t, path+": unknown client", both(path, "client_id", "nobody", "refresh_token", got.Refresh), 401, "invalid_client", "client_id is invalid")
		wantOAuth(t, path+": wrong secret", both(path, "client_id", p.ID, "client_secret", "wrong", "refresh_token", got.Refresh), 401, "invalid_client", "client_secret is invalid")
		wantOAuth(t, path+": unknown token", both(path, "client_id", p.ID, "refresh_token", "r1.7Qm0vZ3t"), 400, "invalid_grant", revoked)
		wantOAuth(t, path+": no token", both(path, "client_id", p.ID), 400, "invalid_grant", revoked)
		wantOAuth(t, path+": an access token", both(path, "client_id", p.ID, "refresh_token", got.Access), 400, "invalid_grant", revoked)
		wantOAuth(t, path+": another client", both(path, "client_id", other.ID, "refresh_token", got.Refresh), 400, "invalid_grant", "the token is for wrong application (client_id)")
		wantOAuth(t, path+": wider scope", both(path, "client_id", p.ID, "refresh_token", got.Refresh, "scope", "profile"), 400, "invalid_scope", "scope must not be more than was granted")
	}
	wantOAuth(t, "no client at the refresh path", both(refreshPath, "refresh_token", got.Refresh), 400, "invalid_request", "")
	wantOAuth(t, "another grant at the refresh path", form(b, refreshPath, "grant_type", "password", "client_id", p.ID), 400, "unsupported_grant_type", "grant_type should be refresh_token")

	// None of them has used it up.
	var next tokens
	refresh(b, p, got.Refresh).Want(200).Decode(&next)
	b.Clock.Turn(30 * 24 * time.Hour)
	wantOAuth(t, "at its end", refresh(b, p, next.Refresh), 400, "invalid_grant", "refresh token is expired")

	got = login(b, p, "bob")
	me := account(b, got.Access)
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID+"/users/"+me["id"].(string), `{"blocked":true}`).Want(200)
	wantOAuth(t, "blocked", refresh(b, p, got.Refresh), 400, "invalid_grant", "the user is forbidden to sign in, please contact the administrator")
}

func TestIntrospectErrors(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, other := b.NewPool(es256), b.NewPool(es256)
	got := login(b, p, "alice")
	const bad = "Invalid application or wrong clientSecret"
	wantOAuth(t, "no credentials", form(b, lookPath, "token", got.Access), 400, "invalid_request", "")
	wantOAuth(t, "no secret", form(b, lookPath, "token", got.Access, "client_id", p.ID), 401, "invalid_client", bad)
	wantOAuth(t, "wrong secret", form(b, lookPath, "token", got.Access, "client_id", p.ID, "client_secret", "wrong"), 401, "invalid_client", bad)
	wantOAuth(t, "unknown client", form(b, lookPath, "token", got.Access, "client_id", "nobody", "client_secret", p.Secret), 401, "invalid_client", bad)
	wantOAuth(t, "no token", form(b, lookPath, "client_id", p.ID, "client_secret", p.Secret), 400, "invalid_request", "token is required")
	wantOAuth(t, "two clients", b.Do("POST", b.URL+lookPath, "token=a&client_id="+other.ID, asForm, basic(p)), 400, "invalid_request", "client_id is not that of the Authorization header")
	open := b.NewPool(es256, `"secretRequired":false`)
	wantOAuth(t, "no secret where redeeming needs none", form(b, lookPath, "token", got.Access, "client_id", open.ID), 401, "invalid_client", bad)
}

// Whoever guesses secrets is stopped, and whoever signs in too often.
func TestLimits(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	for range 20 {
		signIn(b, p, "alice").Want(200)
	}
	r := signIn(b, p, "alice")
	wantOAuth(t, "the 21st sign-in of a minute", r, 429, "temporarily_unavailable", "too many attempts; try again later")
	if r.Header.Get("Retry-After") != "3" {
		t.Errorf("Retry-After %q, want 3", r.Header.Get("Retry-After"))
	}
	signIn(b, p, "bob").Want(200)
	for range 60 {
		form(b, lookPath, "client_id", p.ID, "client_secret", "wrong", "token", "t").Want(401)
	}
	wantOAuth(t, "the 61st wrong secret", form(b, lookPath, "client_id", p.ID, "client_secret", p.Secret, "token", "t"), 429, "temporarily_unavailable", "too many attempts; try again later")
	wantEnvelope(t, "the 62nd", update(b, "?id="+url.QueryEscape(p.ID+"/x"), "{}", basic(p)), 429, "too many attempts; try again later")
}

// failing is a store that does not find out.
type failing struct {
	bridge.Store
	on bool
}

func (f *failing) err() error { return fmt.Errorf("%w: planted detail", userpool.ErrUnavailable) }

func (f *failing) Session(ctx context.Context, id string) (token.Session, error) {
	if f.on {
		return token.Session{}, f.err()
	}
	return f.Store.Session(ctx, id)
}

func (f *failing) FindUsers(ctx context.Context, poolID string, k userpool.Keys) (userpool.Matches, error) {
	if f.on {
		return userpool.Matches{}, f.err()
	}
	return f.Store.FindUsers(ctx, poolID, k)
}

func TestStoreUnavailable(t *testing.T) {
	t.Parallel()
	st := &failing{}
	b := bridgetest.New(t, bridgetest.WithStore(func(s bridge.Store) bridge.Store { st.Store = s; return st }))
	p := b.NewPool(es256)
	got := login(b, p, "alice")
	st.on = true
	const later = "temporarily unavailable; try again"
	wantOAuth(t, "sign-in", signIn(b, p, "alice"), 503, "temporarily_unavailable", later)
	wantOAuth(t, "refresh", refresh(b, p, got.Refresh), 503, "temporarily_unavailable", later)
	wantOAuth(t, "introspect", form(b, lookPath, "client_id", p.ID, "client_secret", p.Secret, "token", got.Access), 503, "temporarily_unavailable", later)
	wantOAuth(t, "introspect a refresh token", form(b, lookPath, "client_id", p.ID, "client_secret", p.Secret, "token", got.Refresh), 503, "temporarily_unavailable", later)
	wantOAuth(t, "revoke", form(b, "/v1/iam/oauth/revoke", "client_id", p.ID, "token", got.Refresh), 503, "temporarily_unavailable", later)
	wantEnvelope(t, "get-account", b.Do("GET", b.URL+accountPath, "", bearer(got.Access)), 503, later)
	st.on = false
	refresh(b, p, got.Refresh).Want(200)
}
