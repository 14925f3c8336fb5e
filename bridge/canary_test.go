package bridge_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

// canaries are values that must come out nowhere, by what they are.
type canaries map[string]string

func (c canaries) plant(what, value string) string {
	c[fmt.Sprintf("%s %d", what, len(c))] = value
	return value
}

// find fails the test for each canary in the text, in the spellings that it may
// have there. What is named in but was to be found.
func (c canaries) find(t *testing.T, where, text string, but ...string) {
	t.Helper()
next:
	for what, value := range c {
		for _, prefix := range but {
			if strings.HasPrefix(what, prefix) {
				continue next
			}
		}
		for _, spelled := range []string{value, url.QueryEscape(value), fmt.Sprintf("%x", value)} {
			if strings.Contains(text, spelled) {
				t.Errorf("%s has the %s", where, what)
				break
			}
		}
	}
}

// A walk through the program, in which everything secret or personal is
// planted, and then a look at what the walk left behind.
func TestCanaries(t *testing.T) {
	t.Parallel()
	option, st := withFailing()
	b := bridgetest.New(t, option)
	c := canaries{}
	c.plant("AppSecret", bridgetest.AppSecret)
	c.plant("admin token", bridgetest.AdminToken)
	jwtSecret := c.plant("jwtSecret", "planted-jwt-secret-0123456789abcdef")
	p := b.NewPool(member("jwtSecret", jwtSecret))
	c.plant("pool secret", p.Secret)
	var second struct{ ID, Secret string }
	b.Admin("POST", "/admin/v1/pools/"+p.ID+"/secrets", "").Want(201).Decode(&second)
	c.plant("pool secret", second.Secret)

	var refusals []string
	refused := func(r bridgetest.Response, status int) {
		t.Helper()
		r.Want(status)
		refusals = append(refusals, r.Body)
	}
	nickname := c.plant("nickname", "金丝雀昵称")
	city := c.plant("city", "金丝雀城市")
	avatar := c.plant("avatar", "https://planted.example.com/a.png")
	info := fmt.Sprintf(`"userInfo":{"nickName":%q,"city":%q,"avatarUrl":%q}`, nickname, city, avatar)
	state := c.plant("state", "planted-state-0123456789")
	signIn := func(user, phone string, members ...string) bridgetest.Response {
		c.plant("openid", sandbox.OpenID(bridgetest.AppID, user))
		c.plant("unionid", sandbox.UnionID(bridgetest.Platform, user))
		login := c.plant("login code", b.WeChat.LoginCode(bridgetest.AppID, user))
		members = append(members, member("code", login), member("state", state), info)
		if phone != "" {
			c.plant("phone", phone)
			members = append(members, member("phoneCode", c.plant("phone code", b.WeChat.PhoneCode(bridgetest.AppID, user, phone))))
		}
		return b.Post(issuePath(p), object(members...))
	}
	ticketOf := func(r bridgetest.Response) string {
		var issued struct{ Ticket string }
		r.Want(200).Decode(&issued)
		return c.plant("ticket", issued.Ticket)
	}
	tokenOf := func(r bridgetest.Response) redeemed {
		var u redeemed
		r.Want(200).Decode(&u)
		c.plant("token", u.Token)
		return u
	}
	c.plant("verifier", verifier)
	idempotencyKey := c.plant("Idempotency-Key", "planted-idempotency-key")

	// Logins, a repeat and replays.
	ticket := ticketOf(signIn("alice", "13987654321", proofKey()))
	body := object(member("ticket", ticket), member("secret", p.Secret), member("code_verifier", verifier))
	alice := tokenOf(b.Post(redeemPath(p)+"?ticket="+ticket, body, "Idempotency-Key: "+idempotencyKey))
	tokenOf(b.Post(redeemPath(p), body, "Idempotency-Key: "+idempotencyKey))
	refused(b.Post(redeemPath(p), body), 400)
	bob := tokenOf(b.Redeem(p, ticketOf(signIn("bob", "13987654322"))))

	// What is wrong on the caller's side.
	wrong := c.plant("wrong secret", "planted-wrong-secret")
	ticket = ticketOf(signIn("carol", ""))
	refused(b.Redeem(bridgetest.Pool{ID: p.ID, Secret: wrong}, ticket), 401)
	refused(b.Post(redeemPath(p)+"?secret="+p.Secret, object(member("ticket", ticket))), 401)
	refused(b.Post(redeemPath(p)+"?ticket=planted-other", body), 400)
	refused(b.Post(redeemPath(p)+"?ticket="+ticket+"&x=%zz", body), 400)
	refused(b.Post(redeemPath(p), `{"ticket":"`+ticket+`","secret":"`+p.Secret), 400)
	refused(b.Post(redeemPath(p), `{"`+p.Secret+`":1,"`+p.Secret+`":2}`), 400)
	refused(b.Post(redeemPath(p), object(member("ticket", ticket), member("secret", p.Secret), `"code_verifier":"`+p.Secret+`!"`)), 400)
	refused(b.Do("POST", b.URL+redeemPath(p), "ticket="+ticket), 415)
	refused(b.Do("GET", b.URL+redeemPath(p)+"?ticket="+ticket, ""), 405)
	refused(b.Do("GET", b.URL+"/"+ticket, ""), 404)
	refused(b.Post("/oauth/app2wxapp/auth/"+p.Secret, body), 404)
	refused(b.Do("GET", b.AdminURL+"/admin/v1/pools", "", "Authorization: Bearer "+wrong), 401)
	refused(b.Do("GET", b.AdminURL+"/admin/v1/pools", "", "Authorization: Basic "+wrong), 401)
	refused(b.Admin("POST", "/admin/v1/pools", object(member("appSecret", p.Secret), `"name":1`)), 400)
	refused(b.Admin("POST", "/admin/v1/pools/"+p.ID+"/users", object(member("openid", sandbox.OpenID(bridgetest.AppID, "alice")))), 409)
	refused(b.Admin("POST", "/admin/v1/pools/"+p.ID+"/users", object(member("phone", "13987654321"))), 400)
	refused(b.Admin("PATCH", "/admin/v1/pools/"+p.ID, object(member("appSecret", wrong), `"ticketTTL":1`)), 400)

	// Passwords, right and wrong, their hashes, and what is imported.
	usersAt := "/admin/v1/pools/" + p.ID + "/users"
	password, hash := c.plant("password", "planted-password-1"), c.plant("password hash", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID, `{"signup":"bind","bindWays":["password"]}`).Want(200)
	refusals = append(refusals, b.Admin("POST", usersAt, object(member("id", "lee"), member("username", "Lee"), member("password", password))).Want(201).Body)
	refusals = append(refusals, b.Admin("PATCH", usersAt+"/lee", object(member("passwordHash", hash))).Want(200).Body)
	b.Clock.Turn(time.Millisecond) // what began before counts for nothing
	refused(b.Admin("PATCH", usersAt+"/lee", object(member("password", c.plant("bad password", "pl4nted")))), 400)
	refused(b.Admin("PATCH", usersAt+"/lee", object(member("passwordHash", c.plant("bad hash", "planted-hash")))), 400)
	byPassword := func(password string) bridgetest.Response {
		var begun struct{ StateToken string }
		b.Issue(p, "frank").Want(200).Decode(&begun)
		return b.Post(bindPath(p), object(member("stateToken", c.plant("state token", begun.StateToken)), member("username", "Lee"), member("password", password)))
	}
	refused(byPassword(c.plant("wrong password", "planted-wrong-password")), 400)
	refused(byPassword(password), 400)
	ticketOf(byPassword("U*U"))
	c.plant("openid", sandbox.OpenID(bridgetest.AppID, "frank"))
	c.plant("unionid", sandbox.UnionID(bridgetest.Platform, "frank"))
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID, `{"signup":"open","bindWays":null}`).Want(200)

	// Codes, right and wrong, and where they go.
	c.plant("webhook secret", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID, `{"signup":"bind","bindWays":["smsCode","emailCode"],`+b.Outbox.Senders()+`}`).Want(200)
	for user, to := range map[string]string{"grace": c.plant("phone", "13987654399"), "heidi": c.plant("e-mail", "planted-heidi@planted.example.net")} {
		c.plant("openid", sandbox.OpenID(bridgetest.AppID, user))
		c.plant("unionid", sandbox.UnionID(bridgetest.Platform, user))
		if user == "grace" {
			to = "+86" + to
		}
		state := begin(b, p, user)
		send(b, p, state, to).Want(200)
		refused(send(b, p, state, to), 429)
		refused(b.Post(codePath(p)+"?phone="+to, object(state, member("way", to), member("phone", to))), 400)
		code := b.Outbox.Last(to)
		for _, shows := range []string{shown(b, to) + `,"phoneCode":"x"`, strings.Replace(shown(b, to), code, wrongCode(code, 1), 1), strings.Replace(shown(b, to), code, code+"x", 1)} {
			refused(b.Post(bindPath(p), object(state, shows)), 400)
		}
		ticketOf(b.Post(bindPath(p), object(state, shown(b, to))))
	}
	b.Outbox.Answer(403)
	refused(send(b, p, begin(b, p, "ivan"), "+86"+c.plant("phone", "13987654398")), 502)
	b.Outbox.Answer(204)
	c.plant("openid", sandbox.OpenID(bridgetest.AppID, "ivan"))
	c.plant("unionid", sandbox.UnionID(bridgetest.Platform, "ivan"))
	refused(b.Admin("POST", usersAt, object(member("email", "planted-heidi@planted.example.net"))), 409)
	refused(b.Admin("PATCH", usersAt+"/lee", object(member("email", c.plant("bad e-mail", "planted-lee@planted")))), 400)
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID, `{"signup":"open","bindWays":null}`).Want(200)

	// What WeChat does. Its session key and its words are planted as well.
	sessionKey := c.plant("session key", "cGxhbnRlZHNlc3Npb25rZXk=")
	errmsg := c.plant("errmsg", "planted words of WeChat")
	b.WeChat.Fail(sandbox.Login, sandbox.Raw(fmt.Sprintf(`{"session_key":%q,"openid":%q,"unionid":%q}`, sessionKey,
		sandbox.OpenID(bridgetest.AppID, "dave"), sandbox.UnionID(bridgetest.Platform, "dave"))), 1)
	tokenOf(b.Redeem(p, ticketOf(signIn("dave", ""))))
	b.WeChat.Fail(sandbox.Login, sandbox.Raw(fmt.Sprintf(`{"session_key":%q,"errcode":40125,"errmsg":%q}`, sessionKey, errmsg)), 1)
	refused(signIn("erin", ""), 500)
	b.WeChat.Fail(sandbox.Login, sandbox.Raw(fmt.Sprintf(`{"session_key":%q,"openid":1}`, sessionKey)), 1)
	refused(signIn("erin", ""), 502)
	for user, status := range map[string]int{
		"login:reset": 502, "login:garbage-truncated": 502, "login:redirect": 502, "login:error-40029": 400, "login:http-500": 502,
		"phone:reset": 502, "phone:garbage-truncated": 502, "phone:error--1": 502, "phone:watermark-old": 502, "phone:redirect": 502,
		"kill-token": 200, "token:error-40164": 500,
	} {
		r := signIn(user, "13987654323")
		if status == 200 {
			ticketOf(r)
			continue
		}
		refused(r, status)
	}
	for _, call := range b.WeChat.Calls(sandbox.Phone) {
		c.plant("access token", call.Query.Get("access_token"))
	}

	// The store fails, a user is blocked, another signed out, tokens checked.
	ticket = ticketOf(signIn("alice", ""))
	st.fail(userpool.ErrUnavailable)
	refused(b.Redeem(p, ticket), 503)
	refused(b.Do("GET", b.URL+"/authing/token?access_token="+bob.Token, ""), 503)
	st.heal()
	users := "/admin/v1/pools/" + p.ID + "/users/"
	b.Admin("PATCH", users+alice.ID, `{"blocked":true}`).Want(200)
	refused(b.Redeem(p, ticket), 403)
	b.Admin("POST", users+bob.ID+"/revoke", "").Want(200)
	b.Clock.Turn(time.Minute)
	for _, token := range []string{alice.Token, bob.Token, "x." + bob.Token} {
		refusals = append(refusals, b.Do("GET", b.URL+"/authing/token?access_token="+token, "").Want(200).Body)
	}
	for range failuresPerMinute + 1 {
		refusals = append(refusals, b.Redeem(bridgetest.Pool{ID: p.ID, Secret: wrong}, ticket).Body)
	}

	if err := b.Server.FlushAudit(t.Context()); err != nil {
		t.Fatal(err)
	}
	trail := b.Admin("GET", "/admin/v1/audit?limit=200", "").Want(200).Body
	for _, event := range []string{"ticket.replayed", "ticket.repeated", "redeem.refused", "secret.added", "password.set", "user.blocked", "admin.login_failed"} {
		if !strings.Contains(trail, event) {
			t.Errorf("the audit trail has no %s: the search finds nothing at all", event)
		}
	}
	c.find(t, "the audit trail", trail)
	c.find(t, "the log", b.Log.String())
	for _, m := range b.Outbox.Sent() { // six digits may stand in a longer number
		alone := regexp.MustCompile(`(^|[^0-9a-f.])` + m.Code + `($|[^0-9a-f])`)
		for where, text := range map[string]string{"the audit trail": trail, "the log": b.Log.String(), "an answer that refuses": strings.Join(refusals, "\n"), "the store": b.Stored()} {
			if alone.MatchString(text) {
				t.Errorf("%s has a code", where)
			}
		}
	}
	c.find(t, "an answer that refuses", strings.Join(refusals, "\n"))
	c.find(t, "/metrics", b.Do("GET", b.AdminURL+"/metrics", "").Want(200).Body)
	pools := b.Admin("GET", "/admin/v1/pools", "").Want(200).Body + b.Admin("GET", "/admin/v1/pools/"+p.ID, "").Want(200).Body
	c.find(t, "the admin API's pool", pools)
	c.find(t, "the admin API's user", b.Admin("GET", users+alice.ID, "").Want(200).Body, "openid", "unionid", "nickname", "avatar")

	stored := b.Stored()
	if !strings.Contains(stored, alice.ID) {
		t.Fatal("the store has no user id: the search finds nothing at all")
	}
	c.find(t, "the store", stored)
	for _, hash := range []string{s256(p.Secret), s256(ticket)} {
		if strings.Contains(stored, hash) {
			t.Error("the store has a hash in base64url")
		}
	}
	if n := strings.Count(b.Log.String(), "\n"); n < 50 {
		t.Errorf("the log has %d lines: too few for the walk", n)
	}
}
