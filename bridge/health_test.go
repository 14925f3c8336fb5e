package bridge_test

import (
	"regexp"
	"strings"
	"testing"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/userpool"
)

// Health is told on both listeners, and to anybody.
func TestHealth(t *testing.T) {
	t.Parallel()
	option, st := withFailing()
	b := bridgetest.New(t, option)
	want := func(path string, status int, body string) {
		t.Helper()
		for _, url := range []string{b.URL, b.AdminURL} {
			r := b.Do("GET", url+path, "")
			if r.Status != status || r.Body != body {
				t.Errorf("%s: %d %s, want %d %s", url+path, r.Status, r.Body, status, body)
			}
			wantHeaders(t, r)
		}
	}
	want("/healthz", 200, `{"status":"ok"}`)
	want("/readyz", 200, `{"status":"ready"}`)
	st.fail(userpool.ErrUnavailable)
	want("/healthz", 200, `{"status":"ok"}`)
	want("/readyz", 503, `{"status":"store unavailable"}`)
	st.heal()
	want("/readyz", 200, `{"status":"ready"}`)

	// While it drains, what still comes is served.
	p := b.NewPool()
	ticket := b.Ticket(p, "alice")
	b.Server.Drain()
	want("/healthz", 200, `{"status":"ok"}`)
	want("/readyz", 503, `{"status":"draining"}`)
	wantUsable(t, b, p, ticket)

	// Connections end with their answers, and a new one is served.
	for range 2 {
		if r := b.Issue(p, "alice"); r.Status != 200 || !r.Last {
			t.Errorf("while draining: %d, last on its connection: %v, want 200 and true", r.Status, r.Last)
		}
	}
}

// metricNames has every metric of contract section 4.5, and one of its lines.
var metricNames = map[string]string{
	"app2wxapp_tickets_issued_total":             `app2wxapp_tickets_issued_total{pool="metered"} 2`,
	"app2wxapp_ticket_redemptions_total":         `app2wxapp_ticket_redemptions_total{pool="metered",result="ok"} 1`,
	"app2wxapp_ticket_age_ratio":                 `app2wxapp_ticket_age_ratio_count 1`,
	"app2wxapp_wechat_requests_total":            `app2wxapp_wechat_requests_total{api="jscode2session",result="ok"} 2`,
	"app2wxapp_wechat_request_duration_seconds":  `app2wxapp_wechat_request_duration_seconds_count{api="jscode2session"} 2`,
	"app2wxapp_phone_verifications_total":        `app2wxapp_phone_verifications_total{pool="metered"} 1`,
	"app2wxapp_http_request_duration_seconds":    `app2wxapp_http_request_duration_seconds_count{method="POST",route="/oauth/app2wxapp/ticket/:userPoolId",status="200"} 2`,
	"app2wxapp_store_commit_seconds":             `app2wxapp_store_commit_seconds_count`,
	"app2wxapp_store_commit_writes":              `app2wxapp_store_commit_writes_count`,
	"app2wxapp_build_info":                       `app2wxapp_build_info{version="test"} 1`,
	"go_goroutines":                              `go_goroutines `,
	"app2wxapp_ticket_redemptions_total, failed": `app2wxapp_ticket_redemptions_total{pool="metered",result="invalid_secret"} 1`,
	"app2wxapp_ticket_redemptions_total, replay": `app2wxapp_ticket_redemptions_total{pool="metered",result="replayed"} 1`,
	"app2wxapp_ticket_redemptions_total, guess":  `app2wxapp_ticket_redemptions_total{pool="metered",result="unknown"} 1`,
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(`"id":"metered"`)
	ticket := b.Ticket(p, "alice", b.PhoneCode("alice", "13800138000"))
	b.Ticket(p, "bob")
	b.Redeem(bridgetest.Pool{ID: p.ID, Secret: "x"}, ticket).Want(401)
	b.Redeem(p, ticket).Want(200)
	b.Redeem(p, ticket).Want(400)
	b.Redeem(p, "guess").Want(400)

	r := b.Do("GET", b.AdminURL+"/metrics", "").Want(200)
	for name, line := range metricNames {
		if !strings.Contains(r.Body, "\n"+line) {
			t.Errorf("no %s: want a line that begins with %q", name, line)
		}
	}
	b.Do("GET", b.URL+"/metrics", "").WantError(404, 4040, "not_found")
}

// Nobody can make metrics grow: labels come from fixed sets.
func TestMetricLabels(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(`"id":"metered"`)
	for _, path := range []string{"/planted", "/oauth/planted", "/oauth/app2wxapp/auth/planted", "/oauth/app2wxapp/ticket/planted", "/authing/token/planted",
		"/oauth/app2wxapp/auth/planted/planted", "/admin/v1/planted", "/admin/v1/pools/planted"} {
		for _, method := range []string{"GET", "POST", "PUT", "OPTIONS", "HEAD", "PLANTED"} {
			for _, url := range []string{b.URL, b.AdminURL} {
				b.Do(method, url+path, "", "User-Agent: planted", "Authorization: Bearer planted")
			}
		}
	}
	b.Redeem(p, "planted")
	b.Issue(p, "error-40029@planted")
	b.Ticket(p, "alice", `"launch":{"appId":"planted"}`)

	text := b.Do("GET", b.AdminURL+"/metrics", "").Want(200).Body
	if strings.Contains(strings.ToLower(text), "planted") {
		t.Error("a caller's words are in the metrics")
	}
	sets := map[string]*regexp.Regexp{
		"route":  regexp.MustCompile(`^(other|/oauth/app2wxapp/(auth|ticket)/:userPoolId|/authing/token|/admin/v1/[a-zA-Z:/]+|/metrics|/healthz|/readyz)$`),
		"method": regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|other)$`),
		"status": regexp.MustCompile(`^[2-5][0-9][0-9]$`),
		"pool":   regexp.MustCompile(`^metered$`),
		"result": regexp.MustCompile(`^[a-z_0-9]+$`),
		"api":    regexp.MustCompile(`^(jscode2session|stable_token|getuserphonenumber)$`),
	}
	seen := map[string]map[string]bool{}
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "app2wxapp_") {
			continue
		}
		for _, label := range regexp.MustCompile(`(\w+)="([^"]*)"`).FindAllStringSubmatch(line, -1) {
			name, value := label[1], label[2]
			if name == "le" || name == "version" {
				continue
			}
			if set := sets[name]; set == nil || !set.MatchString(value) {
				t.Errorf("label %s=%q is of no fixed set: %s", name, value, line)
			}
			if seen[name] == nil {
				seen[name] = map[string]bool{}
			}
			seen[name][value] = true
		}
	}
	if !seen["route"]["other"] || !seen["method"]["other"] {
		t.Errorf("routes %v, methods %v; want other among both", seen["route"], seen["method"])
	}
}

// What every answer says, whatever it answers.
func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	for name, r := range map[string]bridgetest.Response{
		"success":     b.Issue(p, "alice"),
		"error":       b.Redeem(p, "x"),
		"not found":   b.Do("GET", b.URL+"/", ""),
		"method":      b.Do("PUT", b.URL+redeemPath(p), ""),
		"options":     b.Do("OPTIONS", b.URL+redeemPath(p), ""),
		"too large":   b.Post(redeemPath(p), strings.Repeat(" ", 64<<10+1)),
		"admin":       b.Admin("GET", "/admin/v1/pools", ""),
		"admin's 401": b.Do("GET", b.AdminURL+"/admin/v1/pools", ""),
		"no content":  b.Admin("DELETE", "/admin/v1/pools/"+p.ID+"/secrets/x", ""),
		"metrics":     b.Do("GET", b.AdminURL+"/metrics", ""),
		"health":      b.Do("GET", b.URL+"/healthz", ""),
	} {
		for header, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		} {
			if got := r.Header.Get(header); got != want {
				t.Errorf("%s: %s %q, want %q", name, header, got, want)
			}
		}
		if r.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: no X-Request-Id", name)
		}
		for _, header := range []string{"Access-Control-Allow-Origin", "Server", "X-Powered-By", "Set-Cookie"} {
			if got := r.Header.Get(header); got != "" {
				t.Errorf("%s: %s %q", name, header, got)
			}
		}
	}
}
