package admin_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
)

const trail = "/admin/v1/audit"

// events is a page of the trail as a test reads it.
type events struct {
	Items []struct {
		ID, At, Type, PoolID, UserID, Actor, Addr string
		Detail                                    map[string]string
	}
	NextCursor *string
}

// told returns the types of what the query finds, the newest first.
func told(b *bridgetest.Bridge, query string) string {
	var page events
	b.Admin("GET", trail+query, "").Want(200).Decode(&page)
	var types []string
	for _, e := range page.Items {
		types = append(types, e.Type)
	}
	return strings.Join(types, " ")
}

// flush is what the program does once a minute.
func flush(t *testing.T, b *bridgetest.Bridge) {
	t.Helper()
	if err := b.Server.FlushAudit(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// What an operator reads after a login, a repeat, a replay and a block.
func TestAudit(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	if r := b.Admin("GET", trail, "").Want(200); r.Body != `{"items":[],"nextCursor":null}` {
		t.Errorf("empty trail: %s", r.Body)
	}
	p := b.NewPool()
	redeem := func(ticket string) bridgetest.Response {
		b.Clock.Turn(time.Second)
		return b.Post("/oauth/app2wxapp/auth/"+p.ID, fmt.Sprintf(`{"ticket":%q,"secret":%q}`, ticket, p.Secret), "Idempotency-Key: k")
	}
	ticket := b.Ticket(p, "alice")
	var u struct{ ID string }
	redeem(ticket).Want(200).Decode(&u)
	redeem(ticket).Want(200)
	b.Redeem(p, ticket).Want(400)
	b.Admin("PATCH", pools+"/"+p.ID+"/users/"+u.ID, `{"blocked":true}`).Want(200)
	b.Clock.Turn(time.Second)
	b.Do("GET", b.AdminURL+trail, "", "Authorization: Bearer wrong").Want(401)
	if got, want := told(b, ""), "user.blocked ticket.replayed pool.created"; got != want {
		t.Errorf("at once: %s, want %s", got, want)
	}
	flush(t, b)

	var page events
	r := b.Admin("GET", trail, "").Want(200)
	r.Decode(&page)
	jti := ""
	for _, e := range page.Items {
		if e.Detail["jti"] != "" {
			jti = e.Detail["jti"]
		}
	}
	var want []string
	for i, row := range []struct{ at, typ, user, pool, actor, detail string }{
		{"03", "admin.login_failed", "", "", "caller", `"count":"1"`},
		{"02", "ticket.repeated", u.ID, p.ID, "caller", `"count":"1"`},
		{"02", "user.blocked", u.ID, p.ID, "operator", ``},
		{"02", "ticket.replayed", u.ID, p.ID, "caller", `"jti":"` + jti + `","revoked":"true"`},
		{"00", "pool.created", "", p.ID, "operator", ``},
	} {
		if i >= len(page.Items) {
			break
		}
		want = append(want, fmt.Sprintf(`{"id":%q,"at":"2026-11-20T08:30:%s.412Z","type":%q,"poolId":%q,"userId":%q,"actor":%q,"addr":"127.0.0.1","detail":{%s}}`,
			page.Items[i].ID, row.at, row.typ, row.pool, row.user, row.actor, row.detail))
	}
	if want := `{"items":[` + strings.Join(want, ",") + `],"nextCursor":null}`; r.Body != want || len(page.Items) != 5 || jti == "" {
		t.Errorf("got\n%s\nwant\n%s", r.Body, want)
	}

	for query, want := range map[string]string{
		"?pool=" + p.ID:               "ticket.repeated user.blocked ticket.replayed pool.created",
		"?pool=other":                 "",
		"?type=user.blocked":          "user.blocked",
		"?since=1s":                   "admin.login_failed ticket.repeated user.blocked ticket.replayed",
		"?since=999ms":                "admin.login_failed",
		"?since=2026-11-20T08:30:02Z": "admin.login_failed ticket.repeated user.blocked ticket.replayed",
		"?since=2026-11-20T16:30:03%2B08:00&limit=5": "admin.login_failed",
		"?type=pool.created&since=1h":                "pool.created",
	} {
		if got := told(b, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}

	// Page by page, while the trail grows at its other end.
	var walked []string
	for next := trail + "?limit=2"; next != ""; {
		var page events
		b.Admin("GET", next, "").Want(200).Decode(&page)
		for _, e := range page.Items {
			walked = append(walked, e.ID)
		}
		next = ""
		if page.NextCursor != nil {
			next = trail + "?limit=2&cursor=" + *page.NextCursor
			b.NewPool()
		}
	}
	var all []string
	for _, e := range page.Items {
		all = append(all, e.ID)
	}
	if fmt.Sprint(walked) != fmt.Sprint(all) {
		t.Errorf("page by page %v, want %v", walked, all)
	}

	if r := b.Admin("GET", trail+"/verify", "").Want(200); !strings.HasPrefix(r.Body, `{"ok":true,"events":7,"head":"`) || !strings.HasSuffix(r.Body, `","brokenAt":null}`) {
		t.Errorf("verify: %s", r.Body)
	}
	b.Restart()
	if got := told(b, "?limit=1&type=user.blocked"); got != "user.blocked" {
		t.Errorf("after a restart: %s", got)
	}
}

func TestAuditRefuses(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	for query, field := range map[string]string{
		"pool=a/b": "pool", "type=ticket": "type", "type=user.created": "type", "since=yesterday": "since", "since=-1h": "since", "since=0s": "since",
		"since=2026-11-20": "since", "limit=0": "limit", "limit=201": "limit", "limit=x": "limit", "cursor=a%20b": "cursor",
	} {
		r := b.Admin("GET", trail+"?"+query, "").WantError(400, 2231, "invalid_request")
		wantField(t, r, query, field)
		if !strings.Contains(r.Body, "必须") {
			t.Errorf("%s: %s", query, r.Body)
		}
		r = b.Do("GET", b.AdminURL+trail+"?"+query, "", "Authorization: Bearer "+bridgetest.AdminToken, "Accept-Language: en")
		if r.WantError(400, 2231, "invalid_request"); !strings.Contains(r.Body, "invalid request: "+field+" must be") {
			t.Errorf("%s in English: %s", query, r.Body)
		}
	}
}

// A refusal that is repeated makes no write of its own.
func TestRefusalsAreOneEvent(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	for range 200 {
		b.Redeem(bridgetest.Pool{ID: p.ID, Secret: "wrong"}, "x")
		b.Do("GET", b.AdminURL+trail, "")
	}
	if got := told(b, ""); got != "pool.created" {
		t.Errorf("before the flush: %s", got)
	}
	flush(t, b)
	var page events
	b.Admin("GET", trail+"?type=redeem.refused", "").Want(200).Decode(&page)
	counts := map[string]string{}
	for _, e := range page.Items {
		counts[e.Detail["reason"]] = e.Detail["count"]
	}
	if len(page.Items) != 2 || counts["invalid_secret"] != "60" || counts["rate_limited"] != "140" {
		t.Errorf("200 wrong secrets made %v", page.Items)
	}
	b.Admin("GET", trail+"?type=admin.login_failed", "").Want(200).Decode(&page)
	if len(page.Items) != 1 || page.Items[0].Detail["count"] != "200" {
		t.Errorf("200 calls without the token made %v", page.Items)
	}
}
