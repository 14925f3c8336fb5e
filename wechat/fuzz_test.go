package wechat

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"app2wxapp/userpool"
)

// saying is a WeChat that says the same to every call but the one for a token.
type saying struct {
	status int
	body   []byte
}

func (s saying) roundTrip(_ context.Context, r *http.Request) (int, []byte, error) {
	if strings.HasSuffix(r.URL.Path, "stable_token") {
		return http.StatusOK, []byte(`{"access_token":"planted-token","expires_in":7200}`), nil
	}
	return s.status, s.body, nil
}

// Whatever WeChat answers, a caller gets a well-formed session or number, or one
// of the four errors, whose text has no secret in it.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"openid":"o1","unionid":"u1","session_key":"planted-session-key"}`, `{"openid":""}`, `{"openid":1}`, `{"errcode":40029,"errmsg":"invalid code"}`,
		`{"errcode":-1}`, `{"errcode":"40029"}`, `{"errcode":1e99}`, `{"errcode":0,"openid":"a b"}`, `null`, `[]`, ``, "\xff", `{"openid":"o1"}{}`,
		`{"errcode":40001,"errmsg":"planted-secret planted-code planted-token"}`,
		`{"phone_info":{"phoneNumber":"13800138000","purePhoneNumber":"13800138000","countryCode":86,"watermark":{"timestamp":0,"appid":"wx1"}}}`,
		`{"phone_info":{"purePhoneNumber":"0","countryCode":"+86"}}`, `{"phone_info":null}`,
	} {
		f.Add(200, []byte(seed))
	}
	f.Add(500, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		c := New(Config{BaseURL: "https://wechat.invalid"})
		c.http = saying{status, body}
		app := userpool.App{ID: "wx1", Secret: "planted-secret"}
		s, err := c.Code2Session(context.Background(), app, "planted-code")
		if err == nil && (!wellFormedID(s.OpenID) || s.UnionID != "" && !wellFormedID(s.UnionID)) {
			t.Errorf("%d %q: session %+v", status, body, s)
		}
		typed(t, err)
		phone, err := c.Phone(context.Background(), app, "o1", "planted-code")
		if number, ok := strings.CutPrefix(string(phone), "+"); err == nil && (!ok || !isDigits(number) || len(number) > maxE164) {
			t.Errorf("%d %q: phone %q", status, body, phone)
		}
		typed(t, err)
	})
}

func typed(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if !errors.Is(err, userpool.ErrCode) && !errors.Is(err, userpool.ErrWeChatRisk) && !errors.Is(err, userpool.ErrWeChatSetup) && !errors.Is(err, userpool.ErrWeChatUnavailable) {
		t.Errorf("an error of no kind: %v", err)
	}
	for _, planted := range []string{"planted-secret", "planted-code", "planted-token", "planted-session-key"} {
		if strings.Contains(err.Error(), planted) {
			t.Errorf("the error shows %s: %v", planted, err)
		}
	}
}
