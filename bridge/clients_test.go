package bridge_test

import (
	"encoding/json"
	"strings"
	"testing"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/userpool"
)

// extMsg takes the launch parameter apart as Authing's Swift sample does: on
// "&", each part on "=", element 1, nothing decoded. A part without "=" crashes
// the app.
func extMsg(t *testing.T, s string) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, part := range strings.Split(s, "&") {
		pair := strings.Split(part, "=")
		if len(pair) < 2 {
			t.Fatalf("extMsg %q: part %q crashes the sample", s, part)
		}
		values[pair[0]] = pair[1]
	}
	return values
}

// The sample of Authing's page: the ticket pasted into the URL as it is and in
// the body too, no secret, no header but the content type.
func TestSwiftSample(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(`"secretRequired":false`)
	var issued struct{ AppParameter string }
	b.Issue(p, "alice", userInfo, b.PhoneCode("alice", "13800138000")).Want(200).Decode(&issued)
	back := extMsg(t, issued.AppParameter)
	if back["code"] != "200" || back["message"] == "" {
		t.Fatalf("the sample stops at %v", back)
	}
	ticket := back["ticket"]
	r := b.Post(redeemPath(p)+"?ticket="+ticket, `{"ticket":"`+ticket+`"}`).Want(200)

	var user map[string]any // the keys of the page, at top level
	r.Decode(&user)
	for _, key := range []string{"nickname", "photo", "unionid", "token", "phone", "_id"} {
		if _, ok := user[key].(string); !ok {
			t.Errorf("%s is %T, want a string", key, user[key])
		}
	}
	if user["nickname"] != "示例<&>用户" || user["phone"] != "13800138000" {
		t.Errorf("nickname %v, phone %v", user["nickname"], user["phone"])
	}
	if _, ok := user["code"]; ok {
		t.Error("code beside the user: clients take it for an error")
	}
}

// demoUser decodes an answer as AuthingIOSDemo does: data is a text that is
// JSON once more; nickname, photo, unionid and token are cast to String, and
// the key phone is read without asking.
func demoUser(t *testing.T, r bridgetest.Response) map[string]any {
	t.Helper()
	if got := r.Header.Get("Content-Type"); !strings.Contains(strings.ToLower(got), "charset=utf-8") {
		t.Errorf("Content-Type %q: the demo reads a body without charset as Latin-1", got)
	}
	var envelope map[string]any
	r.Decode(&envelope)
	text, ok := envelope["data"].(string)
	if !ok {
		t.Fatalf("data is %T in %s, want a string", envelope["data"], r.Body)
	}
	var user map[string]any
	if err := json.Unmarshal([]byte(text), &user); err != nil {
		t.Fatalf("data is not JSON: %v", err)
	}
	for _, key := range []string{"nickname", "photo", "unionid", "token"} {
		if _, ok := user[key].(string); !ok {
			t.Errorf("%s is %T, want a string", key, user[key])
		}
	}
	if _, ok := user["phone"]; !ok {
		t.Error("no phone")
	}
	return user
}

func TestAuthingIOSDemo(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(`"secretRequired":false`, `"responseFormat":"envelope"`)
	for _, members := range [][]string{
		{userInfo, b.PhoneCode("alice", "13800138000")},
		nil,
	} {
		user := "bare"
		if members != nil {
			user = "alice"
		}
		ticket := b.Ticket(p, user, members...)
		r := b.Post(redeemPath(p)+"?ticket="+ticket, `{"ticket":"`+ticket+`"}`).Want(200)
		u := demoUser(t, r)
		if !strings.HasPrefix(r.Body, `{"code":200,"message":"获取用户信息成功","data":"{\"emailVerified\":false,`) {
			t.Errorf("got %s", r.Body)
		}
		if want := map[string]any{"alice": "13800138000", "bare": nil}[user]; u["phone"] != want {
			t.Errorf("%s: phone %v, want %v", user, u["phone"], want)
		}
	}
}

// The data of the envelope is the object that the other format has.
func TestEnvelopeHasTheSameUser(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	key := "Idempotency-Key: once"
	body := object(member("ticket", b.Ticket(p, "alice", userInfo)), member("secret", p.Secret))
	bare := b.Post(redeemPath(p), body, key).Want(200)
	patch(b, p, `"responseFormat":"envelope"`)
	var envelope struct{ Data string }
	b.Post(redeemPath(p), body, key).Want(200).Decode(&envelope)
	if envelope.Data != bare.Body {
		t.Errorf("data\n%s\nuser\n%s", envelope.Data, bare.Body)
	}
}

// Errors of an envelope pool are HTTP 200 with the contract's codes: its
// clients take any other status for a broken network.
func TestEnvelopeErrors(t *testing.T) {
	t.Parallel()
	option, st := withFailing()
	b := bridgetest.New(t, option)
	p := b.NewPool(`"responseFormat":"envelope"`)
	used := b.Ticket(p, "alice")
	b.Redeem(p, used).Want(200)
	blocked := b.Ticket(p, "bob")
	id := redeemEnvelope(b, p, b.Ticket(p, "bob"))
	for _, row := range []struct {
		name string
		do   func(b *bridgetest.Bridge) bridgetest.Response
		code int
	}{
		{"bad JSON", func(b *bridgetest.Bridge) bridgetest.Response { return b.Post(redeemPath(p), "{") }, 2231},
		{"used", func(b *bridgetest.Bridge) bridgetest.Response { return b.Redeem(p, used) }, 4001},
		{"no secret", func(b *bridgetest.Bridge) bridgetest.Response { return b.Post(redeemPath(p), `{"ticket":"x"}`) }, 4010},
		{"wrong secret", func(b *bridgetest.Bridge) bridgetest.Response {
			return b.Post(redeemPath(p), `{"ticket":"x","secret":"x"}`)
		}, 4011},
		{"blocked", func(b *bridgetest.Bridge) bridgetest.Response {
			b.Admin("PATCH", "/admin/v1/pools/"+p.ID+"/users/"+id, `{"blocked":true}`).Want(200)
			return b.Redeem(p, blocked)
		}, 2005},
		{"form", func(b *bridgetest.Bridge) bridgetest.Response { return b.Do("POST", b.URL+redeemPath(p), "ticket=x") }, 4150},
		{"too large", func(b *bridgetest.Bridge) bridgetest.Response {
			return b.Post(redeemPath(p), `{"pad":"`+strings.Repeat("a", 64<<10)+`"}`)
		}, 4130},
		{"store", func(b *bridgetest.Bridge) bridgetest.Response {
			ticket := b.Ticket(p, "carol")
			st.fail(userpool.ErrUnavailable)
			defer st.heal()
			return b.Redeem(p, ticket)
		}, 5030},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := b.In(t)
			r := row.do(b).Want(200)
			var got map[string]any
			r.Decode(&got)
			data, hasData := got["data"]
			message, _ := got["message"].(string)
			if len(got) != 3 || got["code"] != float64(row.code) || message == "" || !hasData || data != nil {
				t.Errorf(`got %s, want {"code":%d,"message":…,"data":null}`, r.Body, row.code)
			}
			wantHeaders(t, r)
		})
	}
	// Only redemption has the envelope, and only for a pool that exists.
	b.Post("/oauth/app2wxapp/auth/nobody", "{}").WantError(404, 2224, "pool_not_found")
	b.Post(issuePath(p), "{}").WantError(400, 2231, "invalid_request")
}

// redeemEnvelope redeems a ticket of an envelope pool and returns the user's id.
func redeemEnvelope(b *bridgetest.Bridge, p bridgetest.Pool, ticket string) string {
	var envelope struct{ Data string }
	b.Redeem(p, ticket).Want(200).Decode(&envelope)
	var u redeemed
	if err := json.Unmarshal([]byte(envelope.Data), &u); err != nil {
		panic(err)
	}
	return u.ID
}
