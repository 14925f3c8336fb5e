package bridge_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"app2wxapp/bridge/bridgetest"
)

// errorRows has each error of contract section 4.3 that a caller can bring
// about with a whole store. do is called twice, once for each language.
var errorRows = []struct {
	name         string
	do           func(w world, headers ...string) bridgetest.Response
	status, code int
	slug         string
}{
	{"body malformed", func(w world, h ...string) bridgetest.Response {
		return w.Post(redeemPath(w.pool), `{"ticket":`, h...)
	}, 400, 2231, "invalid_request"},
	{"ticket missing", func(w world, h ...string) bridgetest.Response {
		return w.Post(redeemPath(w.pool), `{}`, h...)
	}, 400, 2231, "invalid_request"},
	{"code missing", func(w world, h ...string) bridgetest.Response {
		return w.Post(issuePath(w.pool), `{}`, h...)
	}, 400, 2231, "invalid_request"},
	{"ticket unknown", func(w world, h ...string) bridgetest.Response {
		return w.Post(redeemPath(w.pool), object(member("ticket", strings.Repeat("A", 51)), member("secret", w.pool.Secret)), h...)
	}, 400, 4001, "invalid_ticket"},
	{"WeChat refuses the code", issueTo("error-40029"), 400, 4002, "invalid_code"},
	{"no secret", func(w world, h ...string) bridgetest.Response {
		return w.Post(redeemPath(w.pool), `{"ticket":"x"}`, h...)
	}, 401, 4010, "secret_required"},
	{"wrong secret", func(w world, h ...string) bridgetest.Response {
		return w.Post(redeemPath(w.pool), `{"ticket":"x","secret":"wrong"}`, h...)
	}, 401, 4011, "invalid_secret"},
	{"no admin token", func(w world, h ...string) bridgetest.Response {
		return w.Do("GET", w.AdminURL+"/admin/v1/pools", "", h...)
	}, 401, 2020, "unauthenticated"},
	{"user blocked", func(w world, h ...string) bridgetest.Response {
		w.Clock.Turn(time.Millisecond) // the other language's round blocked the same user
		u := login(w.Bridge, w.pool, "mallory")
		path := "/admin/v1/pools/" + w.pool.ID + "/users/" + u.ID
		ticket := w.Ticket(w.pool, "mallory")
		w.Admin("PATCH", path, `{"blocked":true}`).Want(200)
		defer w.Admin("PATCH", path, `{"blocked":false}`)
		w.Post(issuePath(w.pool), object(loginCode(w.Bridge, "mallory")), h...).WantError(403, 2005, "user_blocked")
		return w.Post(redeemPath(w.pool), object(member("ticket", ticket), member("secret", w.pool.Secret)), h...)
	}, 403, 2005, "user_blocked"},
	{"signup closed", func(w world, h ...string) bridgetest.Response {
		return w.Post(issuePath(w.NewPool(`"signup":"closed"`)), object(loginCode(w.Bridge, "alice")), h...)
	}, 403, 4031, "signup_closed"},
	{"risky user", issueTo("error-40226"), 403, 4032, "wechat_risk"},
	{"app not allowed", func(w world, h ...string) bridgetest.Response {
		return w.Post(issuePath(w.NewPool(`"allowedApps":["wxaaaaaaaaaaaaaaaa"]`)), object(loginCode(w.Bridge, "alice")), h...)
	}, 403, 4033, "app_not_allowed"},
	{"phone required", func(w world, h ...string) bridgetest.Response {
		return w.Post(issuePath(w.NewPool(`"phoneRequired":true`)), object(loginCode(w.Bridge, "alice")), h...)
	}, 403, 4034, "phone_required"},
	{"unknown pool", func(w world, h ...string) bridgetest.Response {
		return w.Post("/oauth/app2wxapp/auth/nobody", `{}`, h...)
	}, 404, 2224, "pool_not_found"},
	{"unknown pool, issue", func(w world, h ...string) bridgetest.Response {
		return w.Post("/oauth/app2wxapp/ticket/nobody", `{}`, h...)
	}, 404, 2224, "pool_not_found"},
	{"no pool's id", func(w world, h ...string) bridgetest.Response {
		return w.Post("/oauth/app2wxapp/auth/a%2Fb", `{}`, h...)
	}, 404, 2224, "pool_not_found"},
	{"over-long pool id", func(w world, h ...string) bridgetest.Response {
		return w.Post("/oauth/app2wxapp/auth/"+strings.Repeat("a", 65), `{}`, h...)
	}, 404, 2224, "pool_not_found"},
	{"unknown route", func(w world, h ...string) bridgetest.Response {
		return w.Post("/oauth/elsewhere", `{}`, h...)
	}, 404, 4040, "not_found"},
	{"admin API on the public listener", func(w world, h ...string) bridgetest.Response {
		return w.Do("GET", w.URL+"/admin/v1/pools", "", append(h, "Authorization: Bearer "+bridgetest.AdminToken)...)
	}, 404, 4040, "not_found"},
	{"unknown user", func(w world, h ...string) bridgetest.Response {
		return w.Do("GET", w.AdminURL+"/admin/v1/pools/"+w.pool.ID+"/users/nobody", "", append(h, "Authorization: Bearer "+bridgetest.AdminToken)...)
	}, 404, 2004, "user_not_found"},
	{"wrong method", func(w world, h ...string) bridgetest.Response {
		return w.Do("PUT", w.URL+redeemPath(w.pool), `{}`, h...)
	}, 405, 4050, "method_not_allowed"},
	{"body too large", func(w world, h ...string) bridgetest.Response {
		return w.Post(redeemPath(w.pool), `{"pad":"`+strings.Repeat("a", 64<<10)+`"}`, h...)
	}, 413, 4130, "too_large"},
	{"no JSON", func(w world, h ...string) bridgetest.Response {
		return w.Do("POST", w.URL+redeemPath(w.pool), "ticket=x", append(h, "Content-Type: application/x-www-form-urlencoded")...)
	}, 415, 4150, "unsupported_media_type"},
	{"too many failures", func(w world, h ...string) bridgetest.Response {
		h = append(h, from("203.0.113.99"))
		for range 60 {
			w.Post(redeemPath(w.pool), `{"ticket":"x"}`, h...)
		}
		return w.Post(redeemPath(w.pool), `{"ticket":"x"}`, h...)
	}, 429, 4290, "rate_limited"},
	{"AppSecret refused", issueTo("error-40125"), 500, 1000, "server_error"},
	{"WeChat busy", issueTo("error--1"), 502, 5020, "wechat_unavailable"},
}

// world is what a row of errorRows acts on.
type world struct {
	*bridgetest.Bridge
	pool bridgetest.Pool
}

// issueTo asks for a ticket of the user, at whose name the simulator fails.
func issueTo(user string) func(world, ...string) bridgetest.Response {
	return func(w world, h ...string) bridgetest.Response {
		return w.Post(issuePath(w.pool), object(loginCode(w.Bridge, user)), h...)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t, bridgetest.TrustProxies)
	w := world{b, b.NewPool()}
	for _, row := range errorRows {
		t.Run(row.name, func(t *testing.T) {
			w := world{w.In(t), w.pool}
			for _, lang := range []struct {
				accept string
				han    bool
			}{{"", true}, {"en", false}} {
				var headers []string
				if lang.accept != "" {
					headers = append(headers, "Accept-Language: "+lang.accept)
				}
				r := row.do(w, headers...).WantError(row.status, row.code, row.slug)
				var got struct{ Message string }
				r.Decode(&got)
				if han := strings.ContainsFunc(got.Message, func(c rune) bool { return unicode.Is(unicode.Han, c) }); han != lang.han {
					t.Errorf("Accept-Language %q: message %q, want Chinese %t", lang.accept, got.Message, lang.han)
				}
				if retry := r.Header.Get("Retry-After"); (retry != "") != (row.status == 429 || row.status == 503) {
					t.Errorf("Retry-After %q with %d", retry, row.status)
				}
				wantHeaders(t, r)
				if !errorShape.MatchString(r.Body) {
					t.Errorf("got %s, want the four members of an error", r.Body)
				}
			}
		})
	}
}

var errorShape = regexp.MustCompile(`^\{"code":[0-9]{4},"error":"[a-z_]+","message":"[^"]+","requestId":"[0-9a-f-]{36}"\}$`)

// wantHeaders checks what every answer has.
func wantHeaders(t *testing.T, r bridgetest.Response) {
	t.Helper()
	for name, want := range map[string]string{
		"Cache-Control":          "no-store",
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "no-referrer",
		"Content-Type":           "application/json; charset=utf-8",
	} {
		if got := r.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if id := r.Header.Values("X-Request-Id"); len(id) != 1 || len(id[0]) != 36 {
		t.Errorf("X-Request-Id %q, want one UUID", id)
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	for accept, english := range map[string]bool{
		"zh-CN,zh;q=0.9,en;q=0.8":   false,
		"en-US,en;q=0.9":            true,
		"en-GB":                     true,
		"fr":                        false,
		"fr,en;q=0.5":               true,
		"*":                         false,
		";;;":                       false,
		strings.Repeat("en,", 1000): false, // not worth parsing
	} {
		r := b.Do("POST", b.URL+"/oauth/app2wxapp/auth/nobody", "", "Accept-Language: "+accept)
		if got := strings.Contains(r.Body, "no such user pool"); got != english {
			t.Errorf("Accept-Language %.40q: %s, want English %t", accept, r.Body, english)
		}
	}
}

// An X-Request-Id is made here: a caller's would let them write into our log.
func TestRequestIDIsOurs(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	r := b.Do("GET", b.URL+"/healthz", "", "X-Request-Id: planted")
	if got := r.Header.Get("X-Request-Id"); got == "planted" || got == "" {
		t.Errorf("X-Request-Id %q, want one of ours", got)
	}
	if strings.Contains(b.Log.String(), "planted") {
		t.Error("the caller's X-Request-Id is in the log")
	}
	if b.Do("GET", b.URL+"/healthz", "").Header.Get("X-Request-Id") == r.Header.Get("X-Request-Id") {
		t.Error("two requests have the same X-Request-Id")
	}
}

func TestMethodNotAllowed(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	admin := "Authorization: Bearer " + bridgetest.AdminToken
	for _, row := range []struct{ method, url, allow string }{
		{"GET", b.URL + redeemPath(p), "POST"},
		{"PUT", b.URL + redeemPath(p), "POST"},
		{"DELETE", b.URL + issuePath(p), "POST"},
		{"POST", b.URL + "/authing/token", "GET"},
		{"POST", b.URL + "/.well-known/jwks.json", "GET"},
		{"POST", b.URL + "/healthz", "GET"},
		{"PUT", b.AdminURL + "/admin/v1/pools/" + p.ID, "GET, PATCH"},
		{"DELETE", b.AdminURL + "/admin/v1/pools", "GET, POST"},
		{"POST", b.AdminURL + "/metrics", "GET"},
		{"ODD", b.URL + redeemPath(p), "POST"},
	} {
		r := b.Do(row.method, row.url, "", admin)
		r.WantError(405, 4050, "method_not_allowed")
		allow := r.Header.Get("Allow")
		for method := range strings.SplitSeq(row.allow, ", ") {
			if !strings.Contains(allow, method) {
				t.Errorf("%s %s: Allow %q, want %s in it", row.method, row.url, allow, method)
			}
		}
		if strings.Contains(allow, row.method) {
			t.Errorf("%s %s: refused and in Allow %q", row.method, row.url, allow)
		}
	}
	// A method cannot be smuggled in.
	b.Do("GET", b.URL+redeemPath(p), "", "X-HTTP-Method-Override: POST").WantError(405, 4050, "method_not_allowed")
}

// What there is not below /api/v2/ is told in the dialect of its clients, on the
// public listener alone: IDaaS's in its shape with the fitting status, Authing's
// calls as Authing tells errors. Elsewhere it is told in our own.
func TestNoSuchCallInDialects(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	const (
		idaas404    = `{"error_code":"SDK.HTTP.0404","error_msg":"没有这个地址"}`
		idaas405    = `{"error_code":"SDK.HTTP.0405","error_msg":"不支持该请求方法，见 Allow 响应头"}`
		authing404  = `{"code":4040,"message":"本服务不支持该接口","data":null}`
		authing405  = `{"code":4050,"message":"不支持该请求方法，见 Allow 响应头","data":null}`
		miniprogram = "/api/v2/sdk/login/wechat-miniprogram"
	)
	for _, row := range []struct {
		method, path string
		status       int
		allow, body  string
	}{
		{"GET", miniprogram, 405, "POST", idaas405},
		{"OPTIONS", miniprogram, 405, "POST", idaas405},
		{"ODD", miniprogram, 405, "POST", idaas405},
		{"HEAD", miniprogram, 405, "POST", ""},
		{"POST", "/api/v2/sdk/captcha", 405, "GET", idaas405},
		{"HEAD", "/api/v2/sdk/captcha", 405, "GET", ""},
		{"POST", "/api/v2/sdk/logout", 405, "GET", idaas405},
		{"POST", miniprogram + "/", 404, "", idaas404},
		{"OPTIONS", miniprogram + "/", 404, "", idaas404},
		{"POST", "//api//v2/sdk/nothing", 404, "", idaas404},
		{"POST", "/api/v2/sdk/login/wechat", 404, "", idaas404},
		{"HEAD", "/api/v2/sdk/login/wechat", 404, "", ""},
		{"GET", "/api/v2/sdk/", 404, "", idaas404},

		{"GET", "/api/v2/upload", 405, "POST", authing405},
		{"OPTIONS", "/api/v2/upload", 405, "POST", authing405},
		{"POST", "/api/v2/logout", 405, "GET", authing405},
		{"HEAD", "/api/v2/logout", 405, "GET", ""},
		{"PUT", "/api/v2/userpools/detail", 405, "GET", authing405},
		{"GET", "/api/v2/users/me/orgs", 200, "", authing404},
		{"OPTIONS", "/api/v2/users/me/orgs", 200, "", authing404},
		{"POST", "/api/v2/logout/", 200, "", authing404},
		{"POST", "/api/v2/sdk", 200, "", authing404},
		{"POST", "/api/v2/", 200, "", authing404},
	} {
		r := b.Do(row.method, b.URL+row.path, "")
		if r.Status != row.status || r.Body != row.body || r.Header.Get("Allow") != row.allow {
			t.Errorf("%s %s: %d, Allow %q, %s; want %d, %q, %s", row.method, row.path, r.Status, r.Header.Get("Allow"), r.Body, row.status, row.allow, row.body)
		}
	}
	english := b.Do("GET", b.URL+miniprogram, "", "X-L: en").Want(405).Body
	if !strings.Contains(english, "this method is not allowed here") {
		t.Errorf("with X-L: en: %s", english)
	}
	for _, path := range []string{"/api/v2", "/api/v1/oauth2/nothing", "/api/v20/sdk/nothing"} {
		b.Do("POST", b.URL+path, "").WantError(404, 4040, "not_found")
	}
	b.Do("POST", b.URL+"/api/v1/oauth2/keys", "").WantError(405, 4050, "method_not_allowed")
	for _, path := range []string{miniprogram, "/api/v2/users/me/orgs"} {
		b.Do("GET", b.AdminURL+path, "").WantError(404, 4040, "not_found")
	}
}

// A body is refused by its declared length before a byte of it is read, and by
// its bytes where no length is declared.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	ticket := b.Ticket(p, "alice")

	conn, err := net.Dial("tcp", strings.TrimPrefix(b.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", redeemPath(p), 50<<20)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("a declared length of 50 MB: %v", err)
	}
	res.Body.Close()
	if res.StatusCode != 413 {
		t.Errorf("a declared length of 50 MB: %d, want 413 before any byte of it was sent", res.StatusCode)
	}

	for _, row := range []struct {
		name   string
		body   *endless
		status int
	}{
		{"50 MB in chunks", newEndless(object(member("ticket", ticket), member("secret", p.Secret)), 50<<20), 413},
		{"64 KiB and a byte in chunks", newEndless(object(member("ticket", ticket)), 64<<10+1), 413},
		{"64 KiB in chunks", newEndless(object(member("ticket", ticket)), 64<<10), 401}, // read, and without a secret
	} {
		req, err := http.NewRequest("POST", b.URL+redeemPath(p), row.body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		res.Body.Close()
		if res.StatusCode != row.status {
			t.Errorf("%s: %d, want %d", row.name, res.StatusCode, row.status)
		}
	}
	wantUsable(t, b, p, ticket)
}
