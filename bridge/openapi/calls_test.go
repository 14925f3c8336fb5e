package openapi_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"maps"
	mime "mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/pquerna/otp/totp"

	"app2wxapp/bridge/bridgetest"
)

// trial returns a call that tests the sender of a pool with a webhook, which
// answers with that status.
func (w *world) trial(channel string, status int) call {
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	w.t.Cleanup(hook.Close)
	p := w.NewPool(`"senders":{"` + channel + `":{"provider":"webhook","url":"` + hook.URL + `","secret":"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}}`)
	to := map[string]string{"sms": "+8613800138000", "email": "user@example.com"}[channel]
	return admin(call{op: "testSender", path: map[string]string{"id": p.ID, "channel": channel}, media: jsonBody, body: object(map[string]any{"to": to})})
}

// story is a call that an operation is made for, or one that it refuses as it
// says. Each becomes an example of the description.
type story struct {
	op, name string
	make     func(w *world) call
	status   int
	refused  string // "" for none
}

// stories has one or more for each operation.
var stories = []story{
	{"issue", "returning", func(w *world) call {
		return w.issue(map[string]any{"code": w.code("alice"), "state": "n-0S6_WzA2Mj", "launch": map[string]any{"scene": 1069, "appId": "wxd930ea5d5a258f4f"},
			"userInfo": map[string]any{"nickName": "示例用户", "avatarUrl": "https://thirdwx.qlogo.cn/mmopen/vi_32/sample/132", "gender": 1, "language": "zh_CN"}})
	}, 200, ""},
	{"issue", "withPhone", func(w *world) call {
		return w.issue(map[string]any{"code": w.code("alice"), "phoneCode": w.WeChat.PhoneCode(bridgetest.AppID, "alice", "13800138000")})
	}, 200, ""},
	{"issue", "spentCode", func(w *world) call {
		c := w.issue(map[string]any{"code": w.code("alice")})
		w.Post(w.target(c), c.body).Want(200)
		return c
	}, 400, "invalid_code"},
	{"issue", "unknownUser", func(w *world) call {
		return call{op: "issue", path: map[string]string{"userPoolId": w.binding().ID}, media: jsonBody, body: object(map[string]any{"code": w.code("stranger")})}
	}, 200, ""},
	{"bind", "register", func(w *world) call {
		return w.bind(w.binding(), "newcomer", "13800138001")
	}, 200, ""},
	{"bind", "twice", func(w *world) call {
		p := w.binding()
		c := w.bind(p, "newcomer", "13800138001")
		w.Post(w.target(c), c.body).Want(200)
		return c
	}, 400, "invalid_state_token"},
	{"bind", "bySMS", func(w *world) call {
		c := w.sendCode("late comer", map[string]any{"way": "smsCode", "phone": "+8613800138003"})
		w.Post(w.target(c), c.body).Want(200)
		return w.proving(c, map[string]any{"phone": "+8613800138003", "smsCode": w.Outbox.Last("+8613800138003")})
	}, 200, ""},
	{"bind", "wrongCode", func(w *world) call {
		return w.proving(w.sendCode("guesser", nil), map[string]any{"email": "user@example.com", "emailCode": "123456"})
	}, 400, "wrong_code"},
	{"sendCode", "bySMS", func(w *world) call {
		return w.sendCode("late", map[string]any{"way": "smsCode", "phone": "+8613800138004"})
	}, 200, ""},
	{"sendCode", "again", func(w *world) call {
		c := w.sendCode("hasty", map[string]any{"way": "emailCode", "email": "user@example.com"})
		w.Post(w.target(c), c.body).Want(200)
		return c
	}, 429, "rate_limited"},
	{"bind", "byPassword", func(w *world) call {
		return w.bindByPassword("correct horse battery")
	}, 200, ""},
	{"bind", "wrongPassword", func(w *world) call {
		return w.bindByPassword("wrong password")
	}, 400, "invalid_password"},
	{"issue", "secondFactor", func(w *world) call {
		p := w.NewPool(`"mfa":"enrolled"`)
		w.enrolled(p, w.user(p, "alice"))
		return call{op: "issue", path: map[string]string{"userPoolId": p.ID}, media: jsonBody, body: object(map[string]any{"code": w.code("alice")})}
	}, 200, ""},
	{"bind", "secondFactor", func(w *world) call {
		p := w.NewPool(`"mfa":"enrolled"`)
		recovery := w.enrolled(p, w.user(p, "alice"))
		var out struct{ StateToken string }
		w.Issue(p, "alice").Want(200).Decode(&out)
		return call{op: "bind", path: map[string]string{"userPoolId": p.ID}, media: jsonBody, body: object(map[string]any{"stateToken": out.StateToken, "totp": recovery})}
	}, 200, ""},
	{"redeem", "byServer", func(w *world) call {
		return w.redeem(map[string]any{"ticket": w.ticket(), "secret": w.pool.Secret}).with("Idempotency-Key", "6f0e0c0b-8a3d-4e61-9f7a-2f8f0d3c1a55")
	}, 200, ""},
	{"redeem", "twice", func(w *world) call {
		c := w.redeem(map[string]any{"ticket": w.ticket(), "secret": w.pool.Secret})
		w.Post(w.target(c), c.body).Want(200)
		return c
	}, 400, "invalid_ticket"},
	{"redeem", "withoutSecret", func(w *world) call { return w.redeem(map[string]any{"ticket": w.ticket()}) }, 401, "secret_required"},
	{"checkToken", "holds", func(w *world) call { return call{op: "checkToken"}.with("Authorization", "Bearer "+w.token()) }, 200, ""},
	{"checkToken", "none", func(*world) call { return call{op: "checkToken"} }, 200, ""},
	{"jwks", "keys", func(w *world) call { w.access("openid"); return call{op: "jwks"} }, 200, ""},

	{"token", "ticket", func(w *world) call {
		return w.form("token", "grant_type", "urn:app2wxapp:grant-type:ticket", "ticket", w.ticket(), "scope", "openid profile phone").with("Authorization", w.basic())
	}, 200, ""},
	{"token", "refresh", func(w *world) call {
		return w.form("token", "grant_type", "refresh_token", "refresh_token", w.access("openid").Refresh).with("Authorization", w.basic())
	}, 200, ""},
	{"token", "usedTicket", func(w *world) call {
		return w.form("token", "grant_type", "urn:app2wxapp:grant-type:ticket", "ticket", w.redeemed(), "client_id", w.pool.ID, "client_secret", w.pool.Secret)
	}, 400, "invalid_grant"},
	{"introspect", "access", func(w *world) call {
		return w.form("introspect", "token", w.access("openid").Access).with("Authorization", w.basic())
	}, 200, ""},
	{"introspect", "unknown", func(w *world) call { return w.form("introspect", "token", "unknown").with("Authorization", w.basic()) }, 200, ""},
	{"revoke", "refresh", func(w *world) call {
		return w.form("revoke", "token", w.access("openid").Refresh).with("Authorization", w.basic())
	}, 200, ""},
	{"userinfo", "scopes", func(w *world) call {
		return call{op: "userinfo"}.with("Authorization", "Bearer "+w.access("openid profile phone").Access)
	}, 200, ""},
	{"userinfo", "noOpenid", func(w *world) call {
		return call{op: "userinfo"}.with("Authorization", "Bearer "+w.access("profile").Access)
	}, 403, "insufficient_scope"},
	{"userinfoPost", "form", func(w *world) call { return w.form("userinfoPost", "access_token", w.access("openid").Access) }, 200, ""},
	{"logout", "hint", func(w *world) call {
		return call{op: "logout", query: url.Values{"id_token_hint": {w.access("openid").ID}}}
	}, 200, ""},
	{"logoutPost", "hint", func(w *world) call { return w.form("logoutPost", "id_token_hint", w.access("openid").ID) }, 200, ""},
	{"discovery", "endpoints", func(*world) call { return call{op: "discovery"} }, 200, ""},
	{"discoveryOAuth", "endpoints", func(*world) call { return call{op: "discoveryOAuth"} }, 200, ""},

	{"casdoorToken", "miniProgram", func(w *world) call {
		return w.form("casdoorToken", "tag", "wechat_miniprogram", "client_id", w.pool.ID, "code", w.code("alice"), "username", "Lee")
	}, 200, ""},
	{"casdoorToken", "json", func(w *world) call {
		return call{op: "casdoorToken", media: jsonBody, body: object(map[string]any{"tag": "wechat_miniprogram", "client_id": w.pool.ID, "code": w.code("alice")})}
	}, 200, ""},
	{"casdoorToken", "spentCode", func(w *world) call {
		return w.form("casdoorToken", "tag", "wechat_miniprogram", "client_id", w.pool.ID, "code", "a-code-of-nobody")
	}, 400, "invalid_grant"},
	{"casdoorRefresh", "refresh", func(w *world) call {
		return w.form("casdoorRefresh", "grant_type", "refresh_token", "refresh_token", w.casdoor().Refresh, "client_id", w.pool.ID)
	}, 200, ""},
	{"casdoorIntrospect", "access", func(w *world) call {
		return w.form("casdoorIntrospect", "token", w.casdoor().Access).with("Authorization", w.basic())
	}, 200, ""},
	{"casdoorRevoke", "access", func(w *world) call {
		return w.form("casdoorRevoke", "token", w.casdoor().Access, "client_id", w.pool.ID)
	}, 200, ""},
	{"casdoorUserinfo", "user", func(w *world) call {
		return call{op: "casdoorUserinfo"}.with("Authorization", "Bearer "+w.casdoor().Access)
	}, 200, ""},
	{"getAccount", "account", func(w *world) call {
		return call{op: "getAccount"}.with("Authorization", "Bearer "+w.casdoor().Access)
	}, 200, ""},
	{"getAccount", "noToken", func(*world) call { return call{op: "getAccount"} }, 401, "error"},
	{"updateUser", "itself", func(w *world) call {
		return call{op: "updateUser", media: jsonBody, body: object(map[string]any{"displayName": "Lee " + w.Clock.Now().Format("15:04"), "avatar": "https://img.example.com/1.png"})}.with("Authorization", "Bearer "+w.casdoor().Access)
	}, 200, ""},
	{"updateUser", "notTheirs", func(w *world) call {
		return call{op: "updateUser", media: jsonBody, body: object(map[string]any{"phone": "13900139000"})}.with("Authorization", "Bearer "+w.casdoor().Access)
	}, 403, "error"},
	{"casdoorDiscovery", "endpoints", func(*world) call { return call{op: "casdoorDiscovery"} }, 200, ""},
	{"casdoorDiscoveryOAuth", "endpoints", func(*world) call { return call{op: "casdoorDiscoveryOAuth"} }, 200, ""},
	{"applicationDiscovery", "endpoints", func(w *world) call { return w.application("applicationDiscovery") }, 200, ""},
	{"applicationDiscoveryOAuth", "endpoints", func(w *world) call { return w.application("applicationDiscoveryOAuth") }, 200, ""},
	{"certificate", "certificate", func(w *world) call { w.casdoor(); return w.application("certificate") }, 200, ""},
	{"casdoorKeys", "keys", func(w *world) call { w.casdoor(); return call{op: "casdoorKeys"} }, 200, ""},
	{"applicationKeys", "keys", func(w *world) call { w.casdoor(); return w.application("applicationKeys") }, 200, ""},

	{"loginByCode", "code", func(w *world) call { return w.sdk("loginByCode", map[string]any{"code": w.code("alice")}) }, 200, ""},
	{"loginByCode", "rawData", func(w *world) call {
		return w.sdk("loginByCode", map[string]any{"code": w.code("alice"), "rawData": `{"nickName":"示例用户","gender":1}`})
	}, 200, ""},
	{"loginByCode", "spentCode", func(w *world) call { return w.sdk("loginByCode", map[string]any{"code": "a-code-of-nobody"}) }, 200, "4002"},
	{"loginByPhone", "sealed", func(w *world) call { return w.sealed("loginByPhone") }, 200, ""},
	{"getPhone", "sealed", func(w *world) call { return w.sealed("getPhone") }, 200, ""},
	{"graphql", "checkLoginStatus", func(w *world) call {
		return w.query("graphql", "{ checkLoginStatus { code message status exp iat data { id userPoolId arn } } }", nil).with("Authorization", "Bearer "+w.token())
	}, 200, ""},
	{"graphql", "user", func(w *world) call {
		return w.query("graphql", "{ user { id nickname phone } }", nil).with("Authorization", "Bearer "+w.token())
	}, 200, ""},
	{"graphql", "updateUser", func(w *world) call {
		return w.query("graphql", "mutation ($input: UpdateUserInput!) { updateUser(input: $input) { id company } }", map[string]any{"input": map[string]any{"company": "示例公司"}}).with("Authorization", "Bearer "+w.token())
	}, 200, ""},
	{"graphql", "refreshToken", func(w *world) call {
		return w.query("graphql", "mutation { refreshToken { token iat exp } }", nil).with("Authorization", "Bearer "+w.token())
	}, 200, ""},
	{"graphql", "accessToken", func(w *world) call {
		return w.query("graphql", "query ($id: String!, $secret: String!) { accessToken(userPoolId: $id, secret: $secret) { accessToken exp iat } }", map[string]any{"id": w.pool.ID, "secret": w.pool.Secret})
	}, 200, ""},
	{"graphql", "userpool", func(w *world) call {
		return w.query("graphql", "{ userpool { id name app2WxappLoginStrategy { ticketExpriresAfter ticketExchangeUserInfoNeedSecret } } }", nil).with("Authorization", "Bearer "+w.management())
	}, 200, ""},
	{"graphql", "updateUserpool", func(w *world) call {
		return w.query("graphql", "mutation ($input: UpdateUserpoolInput!) { updateUserpool(input: $input) { id tokenExpiresAfter } }", map[string]any{"input": map[string]any{"tokenExpiresAfter": 1296000}}).with("Authorization", "Bearer "+w.management())
	}, 200, ""},
	{"graphql", "noToken", func(w *world) call { return w.query("graphql", "{ user { id } }", nil) }, 200, "2020"},
	{"graphqlV1", "checkLoginStatus", func(w *world) call {
		return w.query("graphqlV1", "{ checkLoginStatus { message code status token { data { id clientId unionid } iat exp } } }", nil).with("Authorization", "Bearer "+w.token())
	}, 200, ""},
	{"sdkLogout", "token", func(w *world) call { return call{op: "sdkLogout"}.with("Authorization", "Bearer "+w.token()) }, 200, ""},
	{"poolDetail", "settings", func(w *world) call {
		return call{op: "poolDetail"}.with("Authorization", "Bearer "+w.management())
	}, 200, ""},
	{"poolDetail", "noToken", func(*world) call { return call{op: "poolDetail"} }, 200, "2020"},
	{"upload", "picture", func(*world) call { return avatar() }, 200, ""},
	{"picture", "uploaded", func(w *world) call {
		c := avatar()
		var out struct{ Data struct{ URL string } }
		w.Do("POST", w.URL+w.target(c), c.body, "Content-Type: "+c.media).Want(200).Decode(&out)
		at, err := url.Parse(out.Data.URL)
		if err != nil {
			w.t.Fatal(err)
		}
		return call{op: "picture", path: map[string]string{"name": at.Path[len("/uploads/"):]}}
	}, 200, ""},

	{"idaasLogin", "known", func(w *world) call { return w.idaas("idaasLogin", w.pool, `{"code":"`+w.code("alice")+`"}`) }, 200, ""},
	{"idaasLogin", "unknown", func(w *world) call {
		return w.idaas("idaasLogin", w.binding(), `{"code":"`+w.code("stranger")+`"}`)
	}, 200, ""},
	{"idaasLogin", "closed", func(w *world) call {
		return w.idaas("idaasLogin", w.NewPool(`"signup":"closed"`), `{"code":"`+w.code("stranger")+`"}`)
	}, 200, "ACCESS_DENIED"},
	{"idaasLogin", "noDevice", func(w *world) call {
		return w.idaas("idaasLogin", w.pool, `{"code":"`+w.code("alice")+`"}`).with("X-agent", "")
	}, 400, "SDK.COMMON.1003"},
	{"idaasLoginByPhone", "known", func(w *world) call {
		w.token() // alice has the phone
		w.Admin("PATCH", "/admin/v1/pools/"+w.pool.ID, `{"loginWays":["wechatPhone"]}`).Want(200)
		return w.idaas("idaasLoginByPhone", w.pool, `{"code":"`+w.WeChat.PhoneCode(bridgetest.AppID, "alice", "13800138000")+`"}`)
	}, 200, ""},
	{"idaasBindByPhone", "register", func(w *world) call { return w.idaasBind("idaasBindByPhone") }, 200, ""},
	{"idaasBindByPhone", "twice", func(w *world) call {
		c := w.idaasBind("idaasBindByPhone")
		w.send("idaasBindByPhone before", c)
		return c
	}, 400, "SDK.COMMON.1005"},
	{"idaasRegisterBindByPhone", "register", func(w *world) call { return w.idaasBind("idaasRegisterBindByPhone") }, 200, ""},
	{"idaasIDToken", "again", func(w *world) call {
		return w.idaas("idaasIDToken", w.pool, "").with("session-token", w.idaasTokens().Session)
	}, 200, ""},
	{"idaasIDToken", "unknown", func(w *world) call {
		return w.idaas("idaasIDToken", w.pool, "").with("session-token", "btsiBjx85prcZu6I6Ki057Tmw3nSF2VO")
	}, 400, "SDK.PARAM.0023"},
	{"idaasLogout", "session", func(w *world) call {
		return w.idaas("idaasLogout", w.pool, "").with("session-token", w.idaasTokens().Session)
	}, 200, ""},
	{"idaasKeys", "keys", func(*world) call { return call{op: "idaasKeys"} }, 200, ""},
	{"idaasUserinfo", "user", func(w *world) call {
		return call{op: "idaasUserinfo"}.with("Authorization", "Bearer "+w.idaasTokens().ID)
	}, 200, ""},
	{"idaasUserinfo", "noToken", func(*world) call { return call{op: "idaasUserinfo"} }, 401, "missing_token"},

	{"createPool", "new", func(*world) call {
		return admin(call{op: "createPool", media: jsonBody, body: object(map[string]any{"name": "Shop", "appId": "wx5a6e64626f780001", "appSecret": "0123456789abcdef0123456789abcdef", "ticketTTL": 60})})
	}, 201, ""},
	{"createPool", "taken", func(w *world) call {
		return admin(call{op: "createPool", media: jsonBody, body: object(map[string]any{"id": w.pool.ID, "name": "Shop", "appId": "wx5a6e64626f780001", "appSecret": "0123456789abcdef0123456789abcdef"})})
	}, 409, "pool_exists"},
	{"listPools", "first", func(w *world) call {
		w.Admin("POST", "/admin/v1/pools", `{"id":"0-archive","name":"Archive","appId":"wx5a6e64626f780001","appSecret":"0123456789abcdef0123456789abcdef"}`) // there from the second time on
		return admin(call{op: "listPools", query: url.Values{"limit": {"1"}}})
	}, 200, ""},
	{"showPool", "pool", func(w *world) call { return w.ofPool("showPool") }, 200, ""},
	{"showPool", "noToken", func(w *world) call { return w.ofPool("showPool").with("Authorization", "") }, 401, "unauthenticated"},
	{"patchPool", "settings", func(w *world) call {
		c := w.ofPool("patchPool")
		c.media, c.body = jsonBody, object(map[string]any{"ticketTTL": 120, "allowedApps": nil})
		return c
	}, 200, ""},
	{"patchPool", "senders", func(w *world) call {
		c := w.ofPool("patchPool")
		c.media, c.body = jsonBody, object(map[string]any{"senders": map[string]any{
			"sms":   map[string]any{"provider": "aliyun", "accessKeyId": "LTAIexample", "accessKeySecret": "…", "signName": "示例", "templateCode": "SMS_154950909"},
			"email": map[string]any{"provider": "smtp", "host": "smtp.example.com", "username": "no-reply@example.com", "password": "…", "from": "no-reply@example.com"},
		}})
		return c
	}, 200, ""},
	{"testSender", "sent", func(w *world) call { return w.trial("sms", 204) }, 200, ""},
	{"testSender", "wrongSignature", func(w *world) call { return w.trial("email", 401) }, 200, ""},
	{"testSender", "noSender", func(w *world) call {
		return admin(call{op: "testSender", path: map[string]string{"id": w.NewPool().ID, "channel": "sms"}, media: jsonBody, body: `{"to":"+8613800138000"}`})
	}, 403, "no_sender"},
	{"addSecret", "second", func(w *world) call {
		return admin(call{op: "addSecret", path: map[string]string{"id": w.NewPool().ID}})
	}, 201, ""},
	{"deleteSecret", "only", func(w *world) call {
		p := w.NewPool()
		var out struct{ Secrets []struct{ ID string } }
		w.Admin("GET", "/admin/v1/pools/"+p.ID, "").Want(200).Decode(&out)
		return admin(call{op: "deleteSecret", path: map[string]string{"id": p.ID, "secretId": out.Secrets[0].ID}})
	}, 204, ""},
	{"createUser", "moved", func(w *world) call {
		c := w.ofPool("createUser")
		c.media, c.body = jsonBody, object(map[string]any{"nickname": "示例用户", "registerMethod": "oauth:app2wxapp"})
		return c
	}, 201, ""},
	{"showUser", "user", func(w *world) call { return w.ofUser("showUser") }, 200, ""},
	{"patchUser", "block", func(w *world) call {
		c := w.ofUser("patchUser")
		c.media, c.body = jsonBody, `{"blocked":true}`
		return c
	}, 200, ""},
	{"patchUser", "email", func(w *world) call {
		c := w.ofUser("patchUser")
		c.media, c.body = jsonBody, `{"email":"user@example.com"}`
		return c
	}, 200, ""},
	{"patchUser", "password", func(w *world) call {
		c := w.ofUser("patchUser")
		c.media, c.body = jsonBody, `{"password":"correct horse battery"}`
		return c
	}, 200, ""},
	{"patchUser", "passwordHash", func(w *world) call {
		c := w.ofUser("patchUser")
		c.media, c.body = jsonBody, `{"passwordHash":"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}`
		return c
	}, 200, ""},
	{"addTOTP", "add", func(w *world) call { return w.ofUser("addTOTP") }, 201, ""},
	{"confirmTOTP", "confirm", func(w *world) call {
		c := w.ofUser("confirmTOTP")
		c.media, c.body = jsonBody, object(map[string]any{"code": w.totp(w.addTOTP(w.pool, c.path["userId"]))})
		return c
	}, 200, ""},
	{"confirmTOTP", "none", func(w *world) call {
		c := w.ofUser("confirmTOTP")
		c.media, c.body = jsonBody, `{"code":"287082"}`
		return c
	}, 404, "totp_not_found"},
	{"removeTOTP", "remove", func(w *world) call {
		c := w.ofUser("removeTOTP")
		w.addTOTP(w.pool, c.path["userId"])
		return c
	}, 204, ""},
	{"unbindIdentity", "unknown", func(w *world) call {
		c := w.ofUser("unbindIdentity")
		c.path["identityId"] = "5b1e0f6c9a7d4d0f8f3f0a2b7c6d5e4f"
		return c
	}, 404, "identity_not_found"},
	{"unbindIdentity", "only", func(w *world) call {
		c := w.ofUser("unbindIdentity")
		return w.unbinding(c)
	}, 204, ""},
	{"revokeUser", "everywhere", func(w *world) call { return w.ofUser("revokeUser") }, 200, ""},
	{"listEvents", "newest", func(*world) call {
		return admin(call{op: "listEvents", query: url.Values{"type": {"pool.created"}, "since": {"24h"}, "limit": {"1"}}})
	}, 200, ""},
	{"verifyEvents", "whole", func(*world) call { return admin(call{op: "verifyEvents"}) }, 200, ""},
	{"backup", "file", func(*world) call { return admin(call{op: "backup"}) }, 200, ""},
	{"metrics", "text", func(*world) call { return call{op: "metrics"} }, 200, ""},
	{"health", "ok", func(*world) call { return call{op: "health"} }, 200, ""},
	{"ready", "ready", func(*world) call { return call{op: "ready"} }, 200, ""},
	{"healthHead", "ok", func(*world) call { return call{op: "healthHead"} }, 200, ""},
	{"readyHead", "ready", func(*world) call { return call{op: "readyHead"} }, 200, ""},
	{"description", "description", func(*world) call { return call{op: "description"} }, 200, ""},
	{"page", "page", func(*world) call { return call{op: "page"} }, 200, ""},
	{"admin health", "ok", func(*world) call { return call{op: "admin health"} }, 200, ""},
	{"admin ready", "ready", func(*world) call { return call{op: "admin ready"} }, 200, ""},
	{"admin healthHead", "ok", func(*world) call { return call{op: "admin healthHead"} }, 200, ""},
	{"admin readyHead", "ready", func(*world) call { return call{op: "admin readyHead"} }, 200, ""},
	{"admin description", "description", func(*world) call { return call{op: "admin description"} }, 200, ""},
	{"admin page", "page", func(*world) call { return call{op: "admin page"} }, 200, ""},
}

func (w *world) code(user string) string { return w.WeChat.LoginCode(bridgetest.AppID, user) }

// ticket is a live one of alice, who has a phone and a profile.
func (w *world) ticket() string {
	return w.Ticket(w.pool, "alice", w.PhoneCode("alice", "13800138000"), `"userInfo":{"nickName":"示例用户","gender":1,"language":"zh_CN"}`)
}

func (w *world) redeemed() string {
	t := w.ticket()
	w.Redeem(w.pool, t).Want(200)
	return t
}

// token is an Authing token of alice.
func (w *world) token() string {
	var out struct{ Token string }
	w.Redeem(w.pool, w.ticket()).Want(200).Decode(&out)
	return out.Token
}

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

func (w *world) tokens(c call) (out tokens) {
	headers := []string{"Content-Type: " + c.media}
	for name, value := range c.headers {
		headers = append(headers, name+": "+value)
	}
	w.Do("POST", w.URL+w.target(c), c.body, headers...).Want(200).Decode(&out)
	return out
}

// access is what the OAuth dialect gives for a ticket.
func (w *world) access(scope string) tokens {
	return w.tokens(w.form("token", "grant_type", "urn:app2wxapp:grant-type:ticket", "ticket", w.ticket(), "scope", scope).with("Authorization", w.basic()))
}

// casdoor is what Casdoor's gives for a sign-in.
func (w *world) casdoor() tokens {
	return w.tokens(w.form("casdoorToken", "tag", "wechat_miniprogram", "client_id", w.pool.ID, "code", w.code("alice"), "username", "Lee"))
}

// idaas is a call of that dialect, with a body if there is one.
func (w *world) idaas(op string, p bridgetest.Pool, body string) call {
	c := call{op: op, body: body}
	if body != "" {
		c.media = jsonBody
	}
	for name, value := range map[string]string{
		"X-client-id": p.ID, "X-operating-sys-version": "iOS 17.5", "X-device-fingerprint": "156aysdna213sc50", "X-agent": "MicroMessenger/8.0", "X-L": "en",
	} {
		c = c.with(name, value)
	}
	return c
}

type idaasTokens struct {
	Session string `json:"session_token"`
	ID      string `json:"id_token"`
	State   string `json:"state_token"`
}

// idaasTokens is what alice gets.
func (w *world) idaasTokens() (out idaasTokens) {
	r, _ := w.send("idaasLogin", w.idaas("idaasLogin", w.pool, `{"code":"`+w.code("alice")+`"}`))
	r.Want(200).Decode(&out)
	return out
}

// idaasBind is the end of an unknown user's sign-in.
func (w *world) idaasBind(op string) call {
	p := w.binding()
	var out idaasTokens
	r, _ := w.send("idaasLogin", w.idaas("idaasLogin", p, `{"code":"`+w.code("newcomer")+`"}`))
	r.Want(200).Decode(&out)
	return w.idaas(op, p, `{"wechat_code":"`+w.WeChat.PhoneCode(bridgetest.AppID, "newcomer", "13800138001")+`"}`).with("X-state-token", out.State)
}

// management is a management token of Authing's.
func (w *world) management() string {
	c := w.query("graphql", fmt.Sprintf("{ accessToken(userPoolId: %q, secret: %q) { accessToken } }", w.pool.ID, w.pool.Secret), nil)
	var out struct {
		Data struct{ AccessToken struct{ AccessToken string } }
	}
	w.Post(w.target(c), c.body).Want(200).Decode(&out)
	return out.Data.AccessToken.AccessToken
}

func (w *world) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(w.pool.ID+":"+w.pool.Secret))
}

func (w *world) issue(members map[string]any) call {
	return call{op: "issue", path: map[string]string{"userPoolId": w.pool.ID}, media: jsonBody, body: object(members)}
}

func (w *world) redeem(members map[string]any) call {
	return call{op: "redeem", path: map[string]string{"userPoolId": w.pool.ID}, media: jsonBody, body: object(members)}
}

// binding is a pool whose unknown users bind an account or register.
func (w *world) binding() bridgetest.Pool { return w.NewPool(`"signup":"bind"`) }

// bind is the end of an unknown user's sign-in.
func (w *world) bind(p bridgetest.Pool, user, phone string) call {
	var out struct{ StateToken string }
	w.Issue(p, user).Want(200).Decode(&out)
	return call{op: "bind", path: map[string]string{"userPoolId": p.ID}, media: jsonBody,
		body: object(map[string]any{"stateToken": out.StateToken, "phoneCode": w.WeChat.PhoneCode(bridgetest.AppID, user, phone)})}
}

// user is the id of a user who has signed in.
func (w *world) user(p bridgetest.Pool, name string) string {
	var out struct{ ID string }
	w.Redeem(p, w.Ticket(p, name)).Want(200).Decode(&out)
	return out.ID
}

func (w *world) addTOTP(p bridgetest.Pool, user string) (secret string) {
	var out struct{ Secret string }
	w.Admin("POST", "/admin/v1/pools/"+p.ID+"/users/"+user+"/totp", "").Want(201).Decode(&out)
	return out.Secret
}

// totp is what the app of that secret shows.
func (w *world) totp(secret string) string {
	code, err := totp.GenerateCode(secret, w.Clock.Now())
	if err != nil {
		panic(err)
	}
	return code
}

// enrolled gives the user a second factor, and returns a recovery code of it.
func (w *world) enrolled(p bridgetest.Pool, user string) string {
	var out struct{ RecoveryCodes []string }
	body := object(map[string]any{"code": w.totp(w.addTOTP(p, user))})
	w.Admin("POST", "/admin/v1/pools/"+p.ID+"/users/"+user+"/totp/confirm", body).Want(200).Decode(&out)
	return out.RecoveryCodes[0]
}

// sendCode asks for a code for an unknown user's sign-in.
func (w *world) sendCode(user string, members map[string]any) call {
	p := w.NewPool(`"signup":"bind"`, `"bindWays":["wechatPhone","smsCode","emailCode"]`, w.Outbox.Senders())
	var out struct{ StateToken string }
	w.Issue(p, user).Want(200).Decode(&out)
	all := map[string]any{"stateToken": out.StateToken}
	maps.Copy(all, members)
	return call{op: "sendCode", path: map[string]string{"userPoolId": p.ID}, media: jsonBody, body: object(all)}
}

// proving finishes the sign-in for which that call is.
func (w *world) proving(c call, members map[string]any) call {
	var of struct{ StateToken string }
	if err := json.Unmarshal([]byte(c.body), &of); err != nil {
		w.t.Fatal(err)
	}
	members["stateToken"] = of.StateToken
	return call{op: "bind", path: c.path, media: jsonBody, body: object(members)}
}

// bindByPassword is the end of a sign-in by somebody who has an account with the
// password correct horse battery.
func (w *world) bindByPassword(password string) call {
	p := w.NewPool(`"signup":"bind","bindWays":["password"]`)
	w.Admin("POST", "/admin/v1/pools/"+p.ID+"/users", `{"username":"Lee","password":"correct horse battery"}`).Want(201)
	c := w.bind(p, "newcomer", "13800138001")
	var given map[string]any
	if err := json.Unmarshal([]byte(c.body), &given); err != nil {
		panic(err)
	}
	c.body = object(map[string]any{"stateToken": given["stateToken"], "username": "Lee", "password": password})
	return c
}

// unbinding is of a user's only identity.
func (w *world) unbinding(c call) call {
	var user struct {
		ID         string
		Identities []struct{ ID string }
	}
	w.Admin("POST", "/admin/v1/pools/"+w.pool.ID+"/users",
		fmt.Sprintf(`{"openid":"oOfSomebodyElse%d"}`, w.Clock.Now().UnixMilli())).Want(201).Decode(&user)
	c.path["userId"], c.path["identityId"] = user.ID, user.Identities[0].ID
	return c
}

func (w *world) form(op string, values ...string) call {
	return call{op: op, media: form, body: pairs(values...)}
}

func (w *world) application(op string) call {
	return call{op: op, path: map[string]string{"application": w.pool.ID}}
}

func (w *world) sdk(op string, members map[string]any) call {
	return call{op: op, media: jsonBody, body: object(members)}.with("x-authing-userpool-id", w.pool.ID)
}

func (w *world) sealed(op string) call {
	code := w.code("alice")
	s := w.WeChat.SealedPhone(code, "13800138000")
	return w.sdk(op, map[string]any{"code": code, "encryptedData": s.EncryptedData, "iv": s.IV})
}

func (w *world) query(op, query string, variables map[string]any) call {
	members := map[string]any{"query": query}
	if variables != nil {
		members["variables"] = variables
	}
	return call{op: op, media: jsonBody, body: object(members)}
}

// avatar is an upload of a picture.
func avatar() call {
	var b bytes.Buffer
	w := mime.NewWriter(&b)
	part, err := w.CreateFormFile("file", "avatar.png")
	if err == nil {
		err = png.Encode(part, image.NewGray(image.Rect(0, 0, 8, 8)))
	}
	if err != nil || w.Close() != nil {
		panic(err)
	}
	return call{op: "upload", query: url.Values{"folder": {"avatar"}}, media: w.FormDataContentType(), body: b.String()}
}

func admin(c call) call { return c.with("Authorization", "Bearer "+bridgetest.AdminToken) }

func (w *world) ofPool(op string) call {
	return admin(call{op: op, path: map[string]string{"id": w.pool.ID}})
}

// ofUser is about a user who is in nobody's way.
func (w *world) ofUser(op string) call {
	var out struct{ ID string }
	w.Admin("POST", "/admin/v1/pools/"+w.pool.ID+"/users", `{"nickname":"示例用户"}`).Want(201).Decode(&out)
	return admin(call{op: op, path: map[string]string{"id": w.pool.ID, "userId": out.ID}})
}
