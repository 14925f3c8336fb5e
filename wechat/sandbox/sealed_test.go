package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"app2wxapp/wechat/sandbox"
)

// Who drives the sandbox over HTTP gets sealed data for a login code that is
// out; package wechat's tests open them.
func TestSealedControl(t *testing.T) {
	s := sandbox.New(sandbox.Config{})
	s.AddApp(sandbox.App{ID: "wx1", Secret: "secret"})
	ask := func(body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/sandbox/wechat/sealed", strings.NewReader(body)))
		return w
	}
	code := s.LoginCode("wx1", "alice")
	for _, body := range []string{`{"code":"` + code + `","phone":"13800138000"}`, `{"code":"` + code + `","userInfo":{"nickName":"x"}}`} {
		if w := ask(body); w.Code != 200 || !strings.Contains(w.Body.String(), `"encryptedData":"`) || !strings.Contains(w.Body.String(), `"iv":"`) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	for body, field := range map[string]string{
		`{"code":"x","phone":"13800138000"}`: "code", `{"code":"` + code + `"}`: "phone or userInfo", `{"code":"` + code + `","phone":"x"}`: "phone",
		`{"code":"` + s.PhoneCode("wx1", "alice", "13800138000") + `","phone":"13800138000"}`: "code",
	} {
		if w := ask(body); w.Code != 400 || !strings.Contains(w.Body.String(), field) {
			t.Errorf("%s: %d %s, want 400 about %s", body, w.Code, w.Body, field)
		}
	}
}
