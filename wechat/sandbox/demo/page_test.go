package demo_test

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"app2wxapp/wechat/sandbox"
)

func TestPage(t *testing.T) {
	chrome := newBrowser(t)
	for _, w := range []words{chinese, english} {
		t.Run("login/"+w.language, func(t *testing.T) {
			p := open(t, chrome, w.language)
			p.login(w)
			p.redeemTwice(w)
		})
	}
	t.Run("refusal by keyboard", func(t *testing.T) { refusal(open(t, chrome, "zh-CN")) })
	t.Run("without phone", func(t *testing.T) { withoutPhone(open(t, chrome, "zh-CN")) })
	t.Run("without secret", func(t *testing.T) { withoutSecret(open(t, chrome, "en-US")) })
	t.Run("without Idempotency-Key", func(t *testing.T) { withoutKey(open(t, chrome, "en-US")) })
	t.Run("too late", func(t *testing.T) { tooLate(open(t, chrome, "zh-CN")) })
	t.Run("foreign state", func(t *testing.T) { foreignState(open(t, chrome, "zh-CN")) })
	t.Run("failures", func(t *testing.T) { failures(open(t, chrome, "en-US")) })
	t.Run("failure and back", func(t *testing.T) { failureAndBack(open(t, chrome, "zh-CN")) })
	t.Run("language", func(t *testing.T) { language(open(t, chrome, "fr-FR")) })
	t.Run("phone width", func(t *testing.T) { phoneWidth(open(t, chrome, "en-US")) })
}

// words is what the page says in a language.
type words struct {
	language, button, consent, user, allowed, state, done, refused, invalid, good, same, revoked string
}

var (
	chinese = words{
		language: "zh-CN", button: "微信登录", consent: "示例 App 申请以下信息", user: "小红", allowed: "授权成功",
		state: "state 与发起时一致", done: "登录成功", refused: "第二次换取被拒绝", invalid: "票据无效、已过期或已使用",
		good: "令牌有效", same: "同一个令牌", revoked: "第一个令牌已被吊销",
	}
	english = words{
		language: "en-US", button: "Log in with WeChat", consent: "Demo App asks for", user: "Alice", allowed: "Allowed",
		state: "state is the one that was sent", done: "You are logged in", refused: "The second redemption was refused",
		invalid: "the ticket is invalid, expired or used", good: "The token is valid", same: "the same token",
		revoked: "The first token was revoked",
	}
)

// login walks from the login button to the user's profile.
func (p *page) login(w words) {
	p.t.Helper()
	p.want("#login", w.button)
	p.want("#ticket[data-is=none]")
	p.click("#login")

	path, err := url.Parse(p.text("#path"))
	if err != nil {
		p.t.Fatal(err)
	}
	q := path.Query()
	if path.Path != "/routes/explore" || q.Get("userPoolId") != p.pool.ID || q.Get("getPhone") != "1" || q.Get("fromApp") != "1" ||
		q.Get("useSelfWxapp") != "0" || len(q.Get("code_challenge")) != 43 || q.Get("code_challenge_method") != "S256" || len(q.Get("state")) != 22 {
		p.t.Errorf("launch path: %s", path)
	}
	p.want("#mini-consent", w.consent, p.pool.ID, "openid")
	p.click("#allow-phone")
	p.want("#mini-done", w.allowed, "138****8000")
	p.want("#ticket[data-is=live]")
	p.click("#back")

	p.want("#ext-msg", "code=200&message=授权成功&ticket=", "&state="+q.Get("state"))
	p.want("#state-good", w.state)
	// The clock of the test's bridge stands at another day.
	if left, _, _ := strings.Cut(p.text("#left"), " "); !between(left, 60, 120) {
		p.t.Errorf("%s of the ticket's 120 seconds are left", left)
	}
	p.click("#redeem")
	p.want("#app-done", w.done, w.user, "13800138000", sandbox.OpenID("wx0123456789abcdef", w.user))
	p.want("#ticket[data-is=redeemed]")
	p.want("#checks li.pass:last-child")
	p.want("#token-header", `"alg": "HS256"`)
	p.want("#token-payload", `"clientId": "`+p.pool.ID+`"`)
}

// between tells whether s is a number from low to high.
func between(s string, low, high int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && low <= n && n <= high
}

// redeemTwice does so with the first Idempotency-Key, and then without one.
func (p *page) redeemTwice(w words) {
	p.t.Helper()
	p.click("#check")
	p.want("#checked.good", w.good)
	p.click("#repeat")
	p.want("#again-result", w.same)
	p.want("#checked.good", w.good)
	p.click("#again")
	p.want("#again-result", w.refused, "400", "4001", "invalid_ticket", w.invalid, "requestId")
	p.want("#checks li:nth-child(4).stop")
	p.want("#checked.bad", w.revoked)

	p.want("#log", "curl '"+p.url+"/oauth/app2wxapp/auth/"+p.pool.ID+"'", "Idempotency-Key: ", "Accept-Language: "+w.language[:2])
	p.click("#log-open")
	p.want("#log li:last-child pre", "curl '"+p.url+"/authing/token'", "Authorization: Bearer ")
}

func refusal(p *page) {
	press := func(keys string) {
		p.t.Helper()
		p.run("press a key", chromedp.KeyEvent(keys))
	}
	p.run("focus", chromedp.Focus("#login"))
	press(kb.Enter)
	p.want("#mini-consent h3:focus")
	for _, id := range []string{"user", "phone", "failure", "allow-phone", "allow", "refuse"} {
		press(kb.Tab)
		p.want("#" + id + ":focus")
	}
	press(kb.Enter)
	p.want("#app-refused h3:focus")
	state := strings.TrimPrefix(p.text("#path")[strings.LastIndex(p.text("#path"), "state="):], "state=")
	if got, want := p.text("#refused-msg"), "code=400&message=用户取消授权&state="+state; got != want {
		p.t.Errorf("extMsg %q, want %q", got, want)
	}
	p.want("#state-refused.good")
	p.want("#ticket[data-is=none]")
	p.click("#app-refused [data-restart]")
	p.want("#login:not(:disabled)")
}

func withoutPhone(p *page) {
	p.click("#login")
	p.click("#allow")
	p.want("#masked", "未提供")
	p.click("#back")
	p.click("#redeem")
	p.want("#profile", "null")
	if n := p.WeChat.Count(sandbox.Phone); n != 0 {
		p.t.Errorf("%d calls of %s, want none", n, sandbox.Phone)
	}
}

// A caller without the secret uses nothing up.
func withoutSecret(p *page) {
	p.click("#login")
	p.click("#allow-phone")
	p.click("#back")
	p.click("#by-app")
	p.click("#redeem")
	p.want("#redeem-problem", "401", "4010", "secret_required", "this user pool demands its secret", "requestId", "uses nothing up")
	p.want("#checks li:nth-child(3).stop")
	p.want("#ticket[data-is=live]")
	p.click("#by-server")
	p.click("#redeem")
	p.want("#app-done", "Alice")
}

func withoutKey(p *page) {
	p.click("#login")
	p.click("#allow-phone")
	p.click("#back")
	p.click("#idempotent")
	p.click("#redeem")
	p.want("#no-key", "cannot be repeated")
	p.want("#repeat:disabled")
	p.click("#again")
	p.want("#checked.bad", "revoked")
	p.click("#app-done [data-restart]")
	p.want("#ticket[data-is=none]")
	p.want("#mini-idle")
	p.want("#login")
}

// The ring runs by the browser's clock, the ticket by the bridge's.
func tooLate(p *page) {
	turn := func(ms int) {
		p.t.Helper()
		p.eval(fmt.Sprintf(`performance.now = () => %d`, ms), nil)
	}
	turn(0)
	p.click("#login")
	p.click("#allow-phone")
	p.click("#back")
	p.want("#left", "120 秒")
	turn(119_999)
	p.want("#left", "1 秒")
	p.want("#ticket[data-is=live]")
	turn(120_000)
	p.want("#over", "票据已过期")
	p.want("#ticket[data-is=over]")
	p.Clock.Turn(2 * time.Minute)
	p.click("#redeem")
	p.want("#redeem-problem", "invalid_ticket", "票据无效")
	p.click("#app-reply [data-restart]")
	p.want("#ticket[data-is=none]")
}

// A reply to somebody else's launch is dropped, ticket and all.
func foreignState(p *page) {
	p.eval(`{
		const fetched = fetch
		window.fetch = async (...args) => {
			const response = await fetched(...args)
			return new Response((await response.text()).replace('&state=', '&state=x'), response)
		}
	}`, nil)
	p.click("#login")
	p.click("#allow-phone")
	p.click("#back")
	p.want("#app-refused", "code=200&message=授权成功&ticket=")
	p.want("#state-refused.bad", "state 不一致")
}

// What the page says of each failure is what the bridge answers.
func failures(p *page) {
	var all []struct{ User, Comes string }
	p.eval(`Array.from(document.querySelectorAll('#failure option[value]:not([value=""])'),
		o => ({ user: o.value, comes: o.textContent.split(' → ')[1] }))`, &all)
	if len(all) < 10 {
		p.t.Fatalf("%d failures to choose from, want them all: %v", len(all), all)
	}
	p.click("#login")
	for _, f := range all {
		if strings.Contains(f.User, "slow-3s") {
			continue // the bridge of a test gives up after a second
		}
		p.choose("#failure", f.User)
		p.want("#failure-why", "Result: ")
		p.click("#allow-phone")
		if f.Comes == "ok" {
			p.want("#mini-done", "138****8000")
			p.click("#app-waiting [data-restart]")
			p.click("#login")
			continue
		}
		p.want("#mini-failed .problem .error", f.Comes)
		p.want("#mini-failed .problem .requestId", "-")
		p.click("#retry")
	}
}

func failureAndBack(p *page) {
	p.click("#login")
	p.choose("#failure", "error-40226")
	p.click("#allow-phone")
	p.want("#issue-problem", "403", "4032", "wechat_risk", "微信判定该用户为高风险")
	p.click("#back-failed")
	p.want("#refused-msg", "code=4032&message=登录失败&state=")
	p.want("#state-refused.good")
}

// language is opened by a browser that prefers neither.
func language(p *page) {
	p.want("#login", "Log in with WeChat")
	p.click("#login")
	p.choose("#failure", "error-40226")
	p.click(`[data-language="zh-CN"]`)
	p.want("#mini-consent", "示例 App 申请以下信息", "微信判定该用户为高风险，拒绝登录。 结果：wechat_risk")
	p.want("#log", "打开小程序")
	p.run("reload", chromedp.Reload(), chromedp.WaitVisible("#app.active"))
	p.want(`html[lang="zh-CN"] #login`, "微信登录")
	p.want(`[data-language="zh-CN"][aria-pressed=true]`)
}

func phoneWidth(p *page) {
	p.run("resize", chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	fits := func(where string) {
		p.t.Helper()
		var width int
		p.eval(`document.documentElement.scrollWidth`, &width)
		if width > 390 {
			p.t.Errorf("%s is %d pixels wide, want at most 390", where, width)
		}
	}
	fits("the start")
	p.login(english)
	p.click("#log-open")
	fits("the end")
}
