package wechat_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

// opened decodes what the sandbox sealed.
func opened(t *testing.T, s sandbox.Sealed) userpool.Sealed {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(s.EncryptedData)
	if err != nil {
		t.Fatal(err)
	}
	iv, err := base64.StdEncoding.DecodeString(s.IV)
	if err != nil {
		t.Fatal(err)
	}
	return userpool.Sealed{Data: data, IV: iv}
}

func TestOpenPhone(t *testing.T) {
	w := newWorld(t, 0, nil)
	for granted, want := range map[string]userpool.PhoneGrant{
		"13800138000":   {Phone: "+8613800138000", Country: "86"},
		"+85291234567":  {Phone: "+85291234567", Country: "852"},
		"+12025550123":  {Phone: "+12025550123", Country: "1"},
		"+447700900123": {Phone: "+447700900123", Country: "44"},
	} {
		code := w.sandbox.LoginCode(app.ID, "alice")
		s, got, err := w.client.OpenPhone(context.Background(), app, code, opened(t, w.sandbox.SealedPhone(code, granted)))
		if err != nil || got != want || s.OpenID != sandbox.OpenID(app.ID, "alice") || s.UnionID != sandbox.UnionID(platform, "alice") {
			t.Errorf("%s: %v, %s %s, %v", granted, s, string(got.Phone), got.Country, err)
		}
	}
}

func TestOpenProfile(t *testing.T) {
	w := newWorld(t, 0, nil)
	code := w.sandbox.LoginCode(app.ID, "alice")
	info := sandbox.UserInfo{NickName: "示例用户", Gender: 1, Language: "zh_CN", City: "Hangzhou", Province: "Zhejiang", Country: "China", AvatarURL: "https://example.com/a"}
	s, got, err := w.client.OpenProfile(context.Background(), app, code, opened(t, w.sandbox.SealedProfile(code, info)))
	want := userpool.Profile{Nickname: "示例用户", AvatarURL: "https://example.com/a", Gender: 1, Language: "zh_CN", City: "Hangzhou", Province: "Zhejiang", Country: "China"}
	if err != nil || got != want || s.OpenID != sandbox.OpenID(app.ID, "alice") {
		t.Errorf("%v, %v, %v", s, got, err)
	}
}

// Whatever is wrong with sealed data: one error, with one text.
func TestSealedFaults(t *testing.T) {
	w := newWorld(t, 0, nil)
	type watermark struct {
		Timestamp int64  `json:"timestamp"`
		AppID     string `json:"appid"`
	}
	type phone struct {
		PhoneNumber     string    `json:"phoneNumber"`
		PurePhoneNumber string    `json:"purePhoneNumber"`
		CountryCode     string    `json:"countryCode"`
		Watermark       watermark `json:"watermark"`
	}
	good := func() phone {
		return phone{"13800138000", "13800138000", "86", watermark{w.Now().Unix(), app.ID}}
	}
	sealed := func(v any) func(string) userpool.Sealed {
		return func(code string) userpool.Sealed {
			return opened(t, w.sandbox.Seal(code, func(string, string) any { return v }))
		}
	}
	altered := func(change func(*userpool.Sealed)) func(string) userpool.Sealed {
		return func(code string) userpool.Sealed {
			s := sealed(good())(code)
			change(&s)
			return s
		}
	}
	of := func(change func(*phone)) func(string) userpool.Sealed {
		p := good()
		change(&p)
		return sealed(p)
	}
	var text string
	for name, make := range map[string]func(code string) userpool.Sealed{
		"another login's key": func(string) userpool.Sealed {
			return sealed(good())(w.sandbox.LoginCode(app.ID, "alice"))
		},
		"another AppID":          of(func(p *phone) { p.Watermark.AppID = "wxffffffffffffffff" }),
		"no watermark":           sealed(map[string]string{"phoneNumber": "13800138000", "purePhoneNumber": "13800138000", "countryCode": "86"}),
		"old":                    of(func(p *phone) { p.Watermark.Timestamp = w.Now().Add(-5*time.Minute - time.Second).Unix() }),
		"of the future":          of(func(p *phone) { p.Watermark.Timestamp = w.Now().Add(5*time.Minute + time.Second).Unix() }),
		"numbers that differ":    of(func(p *phone) { p.PhoneNumber = "13900139000" }),
		"a number with a letter": of(func(p *phone) { p.PhoneNumber, p.PurePhoneNumber = "1380013800a", "1380013800a" }),
		"no number":              of(func(p *phone) { p.PhoneNumber, p.PurePhoneNumber = "", "" }),
		"a member more": sealed(struct {
			phone
			X string
		}{good(), "x"}),
		"a member in another case": sealed(map[string]any{"PhoneNumber": "13800138000", "purePhoneNumber": "13800138000", "countryCode": "86", "watermark": good().Watermark}),
		"no object":                sealed("13800138000"),
		"wrong padding":            altered(func(s *userpool.Sealed) { s.Data[len(s.Data)-17] ^= 0xff }),
		"a block cut off":          altered(func(s *userpool.Sealed) { s.Data = s.Data[:len(s.Data)-16] }),
		"half a block":             altered(func(s *userpool.Sealed) { s.Data = s.Data[:len(s.Data)-1] }),
		"no data":                  altered(func(s *userpool.Sealed) { s.Data = nil }),
		"a short IV":               altered(func(s *userpool.Sealed) { s.IV = s.IV[:15] }),
		"a first block altered":    altered(func(s *userpool.Sealed) { s.IV[15] ^= 1 }),
		"a profile":                sealed(map[string]any{"nickName": "x", "watermark": good().Watermark}),
	} {
		code := w.sandbox.LoginCode(app.ID, "alice")
		_, got, err := w.client.OpenPhone(context.Background(), app, code, make(code))
		if !errors.Is(err, userpool.ErrCode) || got != (userpool.PhoneGrant{}) {
			t.Errorf("%s: %s, %v; want ErrCode and nothing", name, string(got.Phone), err)
			continue
		}
		if text == "" {
			text = err.Error()
		}
		if err.Error() != text {
			t.Errorf("%s: %q, others: %q", name, err, text)
		}
	}
	if n := strings.Count(strings.Join(w.observed(), "\n"), "jscode2session ok"); n != 18 {
		t.Errorf("%d codes were exchanged, want 18", n)
	}
}

// Every block of a phone's text is of a fixed form: whoever alters a byte of
// the data gets no number at all, or the same one.
func TestSealedPhoneAltered(t *testing.T) {
	w := newWorld(t, 0, nil)
	code := w.sandbox.LoginCode(app.ID, "alice")
	n := len(opened(t, w.sandbox.SealedPhone(code, "13800138000")).Data)
	for i := range n + 16 {
		code := w.sandbox.LoginCode(app.ID, "alice")
		s := opened(t, w.sandbox.SealedPhone(code, "13800138000"))
		if all := append(s.IV[:16:16], s.Data...); true {
			all[i] ^= 1
			s.IV, s.Data = all[:16], all[16:]
		}
		if _, got, err := w.client.OpenPhone(context.Background(), app, code, s); !errors.Is(err, userpool.ErrCode) {
			t.Errorf("byte %d altered: %s, %v", i, string(got.Phone), err)
		}
	}
}

func TestSealedProfileFaults(t *testing.T) {
	w := newWorld(t, 0, nil)
	for name, text := range map[string]map[string]any{
		"another user's openid": {"openId": sandbox.OpenID(app.ID, "bob"), "watermark": map[string]any{"timestamp": w.Now().Unix(), "appid": app.ID}},
		"another AppID":         {"nickName": "x", "watermark": map[string]any{"timestamp": w.Now().Unix(), "appid": "wxffffffffffffffff"}},
		"old":                   {"nickName": "x", "watermark": map[string]any{"timestamp": w.Now().Add(-time.Hour).Unix(), "appid": app.ID}},
	} {
		code := w.sandbox.LoginCode(app.ID, "alice")
		_, _, err := w.client.OpenProfile(context.Background(), app, code, opened(t, w.sandbox.Seal(code, func(string, string) any { return text })))
		if !errors.Is(err, userpool.ErrCode) {
			t.Errorf("%s: %v, want ErrCode", name, err)
		}
	}
	// The code itself is refused as ever.
	code := w.sandbox.LoginCode(app.ID, "alice")
	s := opened(t, w.sandbox.SealedPhone(code, "13800138000"))
	if _, _, err := w.client.OpenPhone(context.Background(), app, "no code", s); !errors.Is(err, userpool.ErrCode) {
		t.Errorf("no code: %v", err)
	}
}
