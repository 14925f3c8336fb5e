package admin_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/bridgetest"
)

// No call of the API takes a name in its query that it does not know, nor one
// twice.
func TestQueryNames(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	wantNamed := func(method, target, name string) {
		t.Helper()
		r := b.Admin(method, target, "").WantError(400, 2231, "invalid_request")
		if !strings.Contains(r.Body, "参数错误："+name+" ") {
			t.Errorf("%s %s: %s, want the name %s", method, target, r.Body, name)
		}
	}
	seen := 0
	for _, route := range b.Server.Admin().(*echo.Echo).Routes() {
		if strings.HasPrefix(route.Path, "/admin/v1/") {
			seen++
			path := regexp.MustCompile(`:\w+`).ReplaceAllString(route.Path, "x")
			wantNamed(route.Method, path+"?foo=1", "foo")
			wantNamed(route.Method, path+"?dryRun", "dryRun")
			b.Do(route.Method, b.AdminURL+path+"?foo=1", "").WantError(401, 2020, "unauthenticated")
		}
	}
	if seen < 18 {
		t.Errorf("%d routes, want those of routes.go", seen)
	}
	for target, name := range map[string]string{
		"/audit?typ=x":                                   "typ",
		"/audit?type=x&Type=y":                           "Type",
		"/audit?limit=2&after=x":                         "after",
		"/audit?since=1h&since=2h":                       "since",
		"/audit?pool=&pool=":                             "pool",
		"/pools?limit=2&limit=3":                         "limit",
		"/pools?cursor=a&cursor=a":                       "cursor",
		"/pools?since=1h":                                "since",
		"/pools?%E5%90%8D=1":                             "…",
		"/pools?" + strings.Repeat("a", 65) + "=planted": "…",
		"/pools?limit=2;cursor=a":                        "query",
		"/pools?limit=%zz":                               "query",
	} {
		wantNamed("GET", "/admin/v1"+target, name)
	}
	b.Admin("GET", "/admin/v1/pools?limit=&cursor=", "").Want(200)
	b.Admin("GET", "/admin/v1/pools?", "").Want(200)
	b.Admin("GET", "/admin/v1/audit?pool=p&type=pool.created&since=24h&limit=2&cursor=c", "").Want(200)
}
