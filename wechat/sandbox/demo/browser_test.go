package demo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/wechat/sandbox/demo"
)

const chromium = "/usr/bin/chromium"

// newBrowser starts a headless Chromium that ends with the test.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	if _, err := exec.LookPath(chromium); err != nil {
		t.Fatalf("there is no %s to open the page with: run `make tools`", chromium)
	}
	// The allocator makes a fresh --user-data-dir, and removes it.
	ctx, cancel := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(chromium), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// page is the demo page in a tab of its own, on a sandbox of its own.
type page struct {
	*bridgetest.Bridge
	pool bridgetest.Pool
	url  string

	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	errors []string // of the console
}

// open opens the page in a browser that prefers the language. The test fails if
// the console shows an error, which is also where violations of the
// Content-Security-Policy are told.
func open(t *testing.T, chrome context.Context, language string) *page {
	t.Helper()
	p := &page{Bridge: bridgetest.New(t), t: t}
	p.pool = p.NewPool()

	srv := httptest.NewUnstartedServer(nil)
	p.url = "http://" + srv.Listener.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("/", p.Server.Public())
	mux.Handle("/sandbox/wechat/", p.WeChat)
	mux.Handle(demo.Path, demo.Handler(demo.Info{
		BridgeURL: p.url, AdminURL: p.AdminURL, PoolID: p.pool.ID, PoolSecret: p.pool.Secret,
		AppID: bridgetest.AppID, AdminToken: bridgetest.AdminToken,
	}))
	srv.Config.Handler = mux
	srv.Start()
	t.Cleanup(srv.Close)

	ctx, cancel := chromedp.NewContext(chrome)
	t.Cleanup(cancel)
	p.ctx, cancel = context.WithTimeout(ctx, 120*time.Second)
	t.Cleanup(cancel)
	chromedp.ListenTarget(p.ctx, p.listen)
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, e := range p.errors {
			t.Errorf("console: %s", e)
		}
	})
	p.run("open the page", chromedp.ActionFunc(func(ctx context.Context) error {
		_, _, _, agent, _, err := browser.GetVersion().Do(ctx)
		if err != nil {
			return err
		}
		return emulation.SetUserAgentOverride(agent).WithAcceptLanguage(language).Do(ctx)
	}),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}),
		chromedp.EmulateViewport(1280, 900),
		chromedp.Navigate(p.url+demo.Path), chromedp.WaitVisible("#app.active"))
	return p
}

// listen keeps what the console shows as errors, except for refusals of the
// bridge, which Chromium counts among them.
func (p *page) listen(event any) {
	var e string
	switch event := event.(type) {
	case *runtime.EventExceptionThrown:
		e = event.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		if event.Type != runtime.APITypeError && event.Type != runtime.APITypeWarning && event.Type != runtime.APITypeAssert {
			return
		}
		args, _ := json.Marshal(event.Args)
		e = string(args)
	case *log.EventEntryAdded:
		if event.Entry.Level != log.LevelError && event.Entry.Level != log.LevelWarning ||
			event.Entry.Source == log.SourceNetwork && strings.HasPrefix(event.Entry.URL, p.url+"/oauth/") {
			return
		}
		e = fmt.Sprintf("%s: %s %s", event.Entry.Source, event.Entry.Text, event.Entry.URL)
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errors = append(p.errors, e)
}

func (p *page) run(what string, actions ...chromedp.Action) {
	p.t.Helper()
	if err := chromedp.Run(p.ctx, actions...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// click clicks on what becomes visible.
func (p *page) click(selector string) {
	p.t.Helper()
	p.run("click "+selector, chromedp.Click(selector, chromedp.NodeVisible, chromedp.ByQuery))
}

// choose takes an option of a select.
func (p *page) choose(selector, value string) {
	p.t.Helper()
	p.eval(fmt.Sprintf(`{
		const select = document.querySelector(%q)
		select.value = %q
		select.dispatchEvent(new Event('change'))
	}`, selector, value), nil)
}

// want waits until the visible element has these texts in it.
func (p *page) want(selector string, texts ...string) {
	p.t.Helper()
	args := []any{selector}
	for _, text := range texts {
		args = append(args, text)
	}
	ctx, cancel := context.WithTimeout(p.ctx, 40*time.Second)
	defer cancel()
	err := chromedp.Run(ctx, chromedp.PollFunction(`(selector, ...texts) => {
		const e = document.querySelector(selector)
		return e && e.checkVisibility() && texts.every(text => e.textContent.includes(text))
	}`, nil, chromedp.WithPollingArgs(args...)))
	if err != nil {
		var got any
		p.eval(fmt.Sprintf(`(e => e && (e.checkVisibility() ? '' : 'invisible: ') + e.textContent)(document.querySelector(%q))`, selector), &got)
		p.t.Fatalf("%s: %q, want %q (%v)", selector, got, texts, err)
	}
}

// text returns the text of an element.
func (p *page) text(selector string) (s string) {
	p.t.Helper()
	p.run("text of "+selector, chromedp.TextContent(selector, &s, chromedp.ByQuery))
	return s
}

// eval evaluates JavaScript.
func (p *page) eval(js string, result any) {
	p.t.Helper()
	p.run("evaluate "+js, chromedp.Evaluate(js, result))
}
