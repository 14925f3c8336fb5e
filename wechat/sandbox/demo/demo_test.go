package demo_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"app2wxapp/wechat/sandbox/demo"
)

var info = demo.Info{
	BridgeURL: "http://127.0.0.1:8080", AdminURL: "http://127.0.0.1:8081",
	PoolID: "demo", PoolSecret: "secret", AppID: "wx0123456789abcdef", AdminToken: "token",
}

func TestHandler(t *testing.T) {
	srv := httptest.NewServer(demo.Handler(info))
	defer srv.Close()
	for _, row := range []struct {
		method, path string
		status       int
		contentType  string
	}{
		{"GET", "/sandbox/", 200, "text/html; charset=utf-8"},
		{"HEAD", "/sandbox/", 200, "text/html; charset=utf-8"},
		{"GET", "/sandbox/app.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/sandbox/style.css", 200, "text/css; charset=utf-8"},
		{"GET", "/sandbox/icon.svg", 200, "image/svg+xml"},
		{"GET", "/sandbox/info.json", 200, "application/json"},
		{"GET", "/sandbox/nothing", 404, "text/plain; charset=utf-8"},
		{"GET", "/", 404, "text/plain; charset=utf-8"},
		{"POST", "/sandbox/info.json", 405, "text/plain; charset=utf-8"},
	} {
		req, _ := http.NewRequest(row.method, srv.URL+row.path, nil)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != row.status || res.Header.Get("Content-Type") != row.contentType {
			t.Errorf("%s %s: %d %q, want %d %q", row.method, row.path, res.StatusCode, res.Header.Get("Content-Type"), row.status, row.contentType)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s %s: %s is %q, want %q", row.method, row.path, name, got, want)
			}
		}
		if got := res.Header.Get("Cache-Control"); res.StatusCode == 200 && got != "no-store" {
			t.Errorf("%s %s: Cache-Control is %q, want no-store", row.method, row.path, got)
		}
	}
}

func TestInfo(t *testing.T) {
	srv := httptest.NewServer(demo.Handler(info))
	defer srv.Close()
	res, err := http.Get(srv.URL + "/sandbox/info.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got demo.Info
	if err := json.Unmarshal(body, &got); err != nil || !reflect.DeepEqual(got, info) {
		t.Errorf("info.json: %s, %v, want %+v", body, err, info)
	}
	for _, name := range []string{"bridgeUrl", "adminUrl", "poolId", "poolSecret", "appId", "adminToken"} {
		if !strings.Contains(string(body), `"`+name+`"`) {
			t.Errorf("info.json: %s has no %s", body, name)
		}
	}
}
