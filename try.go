package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox/demo"
)

func tryCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "try",
		Short: "Play one login, step by step; exit status 0 only if all of it held / 演示一次完整登录",
		Long: `Play app, mini program and app server once: launch, authorize, ticket, redeem, and
the second redemption refused. Every step is printed with its time and its curl.
Without --url it starts a sandbox of its own. Against a bridge, the pool must have
responseFormat=user and revokeOnReplay=true, the defaults.

依次扮演 App、小程序和应用服务器，走完一次登录：拉起、授权、票据、换取，以及第二次换取被拒绝。
每一步都打印耗时和对应的 curl 命令。不带 --url 时自动启动一个沙箱。
针对已运行的服务时，用户池须为 responseFormat=user 和 revokeOnReplay=true（默认值）。`,
		Args: cobra.NoArgs,
		RunE: runTry,
	}
	f := c.Flags()
	f.String("url", "", "a running sandbox, or a bridge with --pool and --code")
	f.String("pool", "", "user pool id, for a bridge that is no sandbox")
	f.String("secret-file", "", "file with the pool secret, for a bridge that is no sandbox")
	f.String("code", "", "a fresh code of wx.login, for a bridge that is no sandbox")
	f.String("phone-code", "", "a fresh code of the phone button")
	return c
}

func runTry(c *cobra.Command, _ []string) error {
	f := c.Flags()
	flag := func(name string) string { v, _ := f.GetString(name); return v } // the names are those above
	p := &player{out: c.OutOrStdout(), url: strings.TrimRight(flag("url"), "/"), user: "alice",
		pool: flag("pool"), code: flag("code"), phoneCode: flag("phone-code")}
	if err := givenURL("url", p.url); err != nil {
		return err
	}
	if file := flag("secret-file"); file != "" {
		b, err := os.ReadFile(file) // #nosec G304 -- the operator names the file
		if err != nil {
			return err
		}
		p.secret = strings.TrimSpace(string(b))
	}
	ctx := c.Context()
	if p.url == "" {
		return trySandbox(ctx, p)
	}
	if p.code == "" {
		if err := p.askSandbox(ctx); err != nil {
			return err
		}
	} else if p.pool == "" {
		return errors.New("--code needs --pool")
	}
	return p.play(ctx)
}

// trySandbox plays against a sandbox that lives as long as the play.
func trySandbox(ctx context.Context, p *player) error {
	s, err := newSimulation(0, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.run(serving) }()
	p.url = s.info.BridgeURL
	err = p.askSandbox(ctx)
	if err == nil {
		err = p.play(ctx)
	}
	stop()
	return errors.Join(err, <-ended)
}

// player plays app, mini program and app server over HTTP.
type player struct {
	out       io.Writer
	url, user string
	pool      string
	secret    string
	appID     string // of a sandbox, "" for a real bridge
	code      string
	phoneCode string
	step      int
}

const steps = 9

// askSandbox learns the demo pool from the sandbox's page.
func (p *player) askSandbox(ctx context.Context) error {
	status, body, err := p.send(ctx, http.MethodGet, "/sandbox/info.json", "")
	if err != nil {
		return fmt.Errorf("no bridge at %s: %w", p.url, err)
	}
	var info demo.Info
	if status != http.StatusOK || json.Unmarshal(body, &info) != nil {
		return fmt.Errorf("%s is no sandbox: give --pool, --code (of wx.login) and --secret-file", p.url)
	}
	p.pool, p.secret, p.appID = info.PoolID, info.PoolSecret, info.AppID
	return nil
}

// play plays the login. Its error names the step that did not hold.
func (p *player) play(ctx context.Context) error {
	began := time.Now()
	verifier, state := string(userpool.NewSecret()), string(userpool.NewSecret())[:22]
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])

	p.say("App 拉起小程序（WXLaunchMiniProgram）", "the app launches the mini program")
	p.detail("path  /routes/explore?userPoolId=%s&getPhone=1&fromApp=1&useSelfWxapp=0&code_challenge=%s&code_challenge_method=S256&state=%s", p.pool, challenge, state)

	p.say("用户在小程序里授权，小程序取得 code", "the user consents, the mini program gets its codes")
	if err := p.authorize(ctx); err != nil {
		return err
	}

	p.say("小程序向服务申请票据", "the mini program asks the bridge for a ticket")
	request := map[string]any{"code": p.code, "code_challenge": challenge, "code_challenge_method": "S256", "state": state, "launch": map[string]any{"scene": 1069}}
	if p.phoneCode != "" {
		request["phoneCode"] = p.phoneCode
	}
	var issued struct {
		Ticket, AppParameter string
		ExpiresIn            int
	}
	if err := p.expect(ctx, "/oauth/app2wxapp/ticket/"+p.pool, request, 200, &issued); err != nil {
		return err
	}

	p.say("小程序返回 App，App 核对 state", "the launchApp button returns to the app, which checks state")
	p.detail("extMsg  %s", issued.AppParameter)
	returned := map[string]string{}
	for _, part := range strings.Split(issued.AppParameter, "&") {
		key, value, _ := strings.Cut(part, "=")
		returned[key] = value
	}
	if returned["code"] != "200" || returned["state"] != state || returned["ticket"] != issued.Ticket {
		return p.failed("the returned string is not the ticket's")
	}

	redeem := "/oauth/app2wxapp/auth/" + p.pool
	p.say("别人截获票据但没有 verifier：被拒绝，票据不受影响", "a thief without the verifier is refused and uses nothing up")
	stolen := map[string]any{"ticket": issued.Ticket}
	if p.secret != "" {
		stolen["secret"] = p.secret
	}
	if err := p.expect(ctx, redeem, stolen, 400, nil); err != nil {
		return err
	}

	p.say("应用服务器用票据换取用户信息和 token", "the app's server redeems the ticket for profile and token")
	good := map[string]any{"ticket": issued.Ticket, "code_verifier": verifier}
	if p.secret != "" {
		good["secret"] = p.secret
	}
	var user, again struct{ Token string }
	key := userpool.NewID(time.Now())
	if err := p.expect(ctx, redeem, good, 200, &user, "Idempotency-Key", key); err != nil {
		return err
	}

	p.say("回答丢失了？用同一个 Idempotency-Key 重试，得到同一份回答", "the answer got lost? a retry with the same Idempotency-Key gets it again")
	if err := p.expect(ctx, redeem, good, 200, &again, "Idempotency-Key", key); err != nil {
		return err
	}
	if again != user {
		return p.failed("the token is another one")
	}

	p.say("业务后端校验 token", "a backend checks the token")
	if err := p.checkToken(ctx, user.Token, true); err != nil {
		return err
	}

	p.say("同一张票据再换一次：被拒绝，第一次的 token 也随之吊销", "the same ticket again: refused, and the first token is revoked")
	if err := p.expect(ctx, redeem, good, 400, nil); err != nil {
		return err
	}
	if err := p.checkToken(ctx, user.Token, false); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "\n✓ 全部成立，用时 %v · all of it held\n", time.Since(began).Round(time.Millisecond))
	return nil
}

// authorize gets the codes that WeChat would give the mini program, unless they
// were given.
func (p *player) authorize(ctx context.Context) error {
	if p.appID == "" {
		p.detail("code  given by --code")
		return nil
	}
	var got struct{ Code string }
	if err := p.expect(ctx, "/sandbox/wechat/login-code", map[string]any{"appId": p.appID, "user": p.user}, 200, &got); err != nil {
		return err
	}
	p.code = got.Code
	if err := p.expect(ctx, "/sandbox/wechat/phone-code", map[string]any{"appId": p.appID, "user": p.user, "phone": "13800138000"}, 200, &got); err != nil {
		return err
	}
	p.phoneCode = got.Code
	return nil
}

// say begins a step.
func (p *player) say(zh, en string) {
	p.step++
	fmt.Fprintf(p.out, "\n[%d/%d] %s\n      %s\n", p.step, steps, zh, en)
}

func (p *player) detail(format string, args ...any) {
	fmt.Fprintf(p.out, "      "+format+"\n", args...)
}

func (p *player) failed(format string, args ...any) error {
	return fmt.Errorf("step %d of %d did not hold: %s", p.step, steps, fmt.Sprintf(format, args...))
}

// expect posts the request, prints it and its answer, and wants the status.
// headers are names and values in turn.
func (p *player) expect(ctx context.Context, path string, request map[string]any, status int, out any, headers ...string) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	also := ""
	for i := 0; i < len(headers); i += 2 {
		also += fmt.Sprintf(" -H '%s: %s'", headers[i], headers[i+1])
	}
	p.detail("$ curl -X POST %s%s -H 'Content-Type: application/json'%s -d '%s'", p.url, path, also, p.hide(string(body)))
	start := time.Now()
	got, answer, err := p.send(ctx, http.MethodPost, path, string(body), headers...)
	if err != nil {
		return p.failed("%v", err)
	}
	p.detail("→ %d  %s  (%v)", got, answer, time.Since(start).Round(10*time.Microsecond))
	if got == http.StatusUnauthorized && p.secret == "" {
		return p.failed("the pool demands its secret; give --secret-file")
	}
	if got != status {
		return p.failed("got %d, want %d", got, status)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

func (p *player) checkToken(ctx context.Context, token string, want bool) error {
	p.detail("$ curl %s/authing/token -H 'Authorization: Bearer %s'", p.url, token)
	start := time.Now()
	_, answer, err := p.send(ctx, http.MethodGet, "/authing/token", "", "Authorization", "Bearer "+token)
	if err != nil {
		return p.failed("%v", err)
	}
	p.detail("→ %s  (%v)", answer, time.Since(start).Round(10*time.Microsecond))
	var got struct{ Status bool }
	if err := json.Unmarshal(answer, &got); err != nil {
		return p.failed("%v", err)
	}
	if got.Status != want {
		return p.failed("the token's status is %t, want %t", got.Status, want)
	}
	return nil
}

// hide keeps the secret of a real pool off the screen.
func (p *player) hide(text string) string {
	if p.secret == "" || p.appID != "" {
		return text
	}
	return strings.ReplaceAll(text, p.secret, "$SECRET")
}

// send makes a request; headers are names and values in turn.
func (p *player) send(ctx context.Context, method, path, body string, headers ...string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, bytes.TrimSpace(answer), err
}
