package wechat_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

func TestPhone(t *testing.T) {
	w := newWorld(t, 0, nil)
	for granted, want := range map[string]userpool.Phone{
		"13800138000":   "+8613800138000",
		"+85291234567":  "+85291234567",
		"+12025550123":  "+12025550123",
		"+447700900123": "+447700900123",
	} {
		for _, f := range []sandbox.Failure{"alice", sandbox.CountryNumber, sandbox.CountryEmpty, sandbox.CountryPlus} {
			user := string(f)
			code := w.sandbox.PhoneCode(app.ID, user, granted)
			got, err := w.client.Phone(context.Background(), app, sandbox.OpenID(app.ID, user), code)
			if err != nil || got != want {
				t.Errorf("%s, %s: %s, %v; want %s", granted, user, string(got), err, string(want))
			}
		}
	}
	c := w.sandbox.Calls(sandbox.Phone)[0]
	if c.Method != "POST" || len(c.Query) != 1 || c.Query.Get("access_token") == "" {
		t.Errorf("%s %s, want POST with access_token alone", c.Method, c.Query)
	}
}

// The openid goes with the code, so that nobody's login gets another one's
// number.
func TestPhoneOfAnotherUser(t *testing.T) {
	w := newWorld(t, 0, nil)
	code := w.sandbox.PhoneCode(app.ID, "bob", "13900139000")
	phone, err := w.client.Phone(context.Background(), app, sandbox.OpenID(app.ID, "alice"), code)
	wantError(t, "bob's code in alice's login", err, userpool.ErrCode)
	if phone != "" {
		t.Errorf("bob's code in alice's login: %s", string(phone))
	}
	want := fmt.Sprintf(`{"code":%q,"openid":%q}`, code, sandbox.OpenID(app.ID, "alice"))
	if got := w.sandbox.Calls(sandbox.Phone)[0].Body; got != want {
		t.Errorf("body %s, want %s", got, want)
	}
}

// The two kinds of code are not interchangeable.
func TestWrongKindOfCode(t *testing.T) {
	w := newWorld(t, 0, nil)
	_, err := w.client.Phone(context.Background(), app, sandbox.OpenID(app.ID, "alice"), w.sandbox.LoginCode(app.ID, "alice"))
	wantError(t, "login code for a phone", err, userpool.ErrCode)
	_, err = w.client.Code2Session(context.Background(), app, w.sandbox.PhoneCode(app.ID, "alice", "13800138000"))
	wantError(t, "phone code for a login", err, userpool.ErrCode)
}

func TestPhoneNumbers(t *testing.T) {
	w := newWorld(t, 0, nil)
	for _, row := range []struct {
		number, pure, country string // as in the answer, JSON
		want                  userpool.Phone
	}{
		{`"13800138000"`, `"13800138000"`, `"86"`, "+8613800138000"},
		{`"13800138000"`, `"13800138000"`, `86`, "+8613800138000"},
		{`"13800138000"`, `"13800138000"`, `""`, "+8613800138000"},
		{`"13800138000"`, `"13800138000"`, `"+86"`, "+8613800138000"},
		{`"13800138000"`, `"13800138000"`, `null`, "+8613800138000"},
		{`""`, `"13800138000"`, `""`, "+8613800138000"},
		{`"+85291234567"`, `"91234567"`, `"852"`, "+85291234567"},
		{`"+85291234567"`, `"91234567"`, `""`, "+85291234567"},
		// Nobody documents that the prefix begins with a plus.
		{`"85291234567"`, `"91234567"`, `""`, "+85291234567"},
		{`"8613800138000"`, `"13800138000"`, `""`, "+8613800138000"},

		{`"1"`, `""`, `"86"`, ""},
		{`"1"`, `null`, `"86"`, ""},
		{`"1"`, `13800138000`, `"86"`, ""},
		{`"1"`, `"138 0013 8000"`, `"86"`, ""},
		{`"1"`, `"+8613800138000"`, `"86"`, ""},
		{`"1"`, `"138****8000"`, `"86"`, ""},
		{`"1"`, `"1234567890123456"`, `"86"`, ""},
		{`"1"`, `"13800138000"`, `"CN"`, ""},
		{`"1"`, `"13800138000"`, `"8 6"`, ""},
		{`"1"`, `"13800138000"`, `"++86"`, ""},
		{`"1"`, `"13800138000"`, `86.5`, ""},
		{`"1"`, `"13800138000"`, `-86`, ""},
		{`"1"`, `"13800138000"`, `0`, ""},
		{`"1"`, `"13800138000"`, `["86"]`, ""},
		{`"+85291234567"`, `"13800138000"`, `""`, ""},
		{`"+852 91234567"`, `"91234567"`, `""`, ""},
		{`"+"`, `"13800138000"`, `""`, ""},
	} {
		body := fmt.Sprintf(`{"errcode":0,"phone_info":{"phoneNumber":%s,"purePhoneNumber":%s,"countryCode":%s,"watermark":{"timestamp":%d,"appid":%q}}}`,
			row.number, row.pure, row.country, w.Now().Unix(), app.ID)
		w.sandbox.Fail(sandbox.Phone, sandbox.Raw(body), 1)
		w.observed()
		got, err := w.phone()
		if row.want != "" && (err != nil || got != row.want) {
			t.Errorf("%s: %s, %v; want %s", body, string(got), err, string(row.want))
		}
		if row.want == "" {
			wantError(t, body, err, userpool.ErrWeChatUnavailable)
			if got != "" || !slices.Contains(w.observed(), "getuserphonenumber garbage") {
				t.Errorf("%s: %s, %v; want garbage", body, string(got), err)
			}
		}
	}
}

// The watermark is of our AppID and of the last five minutes, give or take five
// minutes of clocks.
func TestWatermark(t *testing.T) {
	w := newWorld(t, 0, nil)
	for _, row := range []struct {
		appID string
		age   time.Duration
		ok    bool
	}{
		{app.ID, 0, true},
		{app.ID, 5 * time.Minute, true},
		{app.ID, 5*time.Minute + time.Second, false},
		{app.ID, -5 * time.Minute, true},
		{app.ID, -5*time.Minute - time.Second, false},
		{app.ID, time.Duration(w.Now().Unix()) * time.Second, false}, // as if absent
		{"wxffffffffffffffff", 0, false},
		{"WX0123456789ABCDEF", 0, false},
		{"", 0, false},
	} {
		body := fmt.Sprintf(`{"phone_info":{"purePhoneNumber":"13800138000","countryCode":"86","watermark":{"timestamp":%d,"appid":%q}}}`,
			w.Now().Add(-row.age).Unix(), row.appID)
		w.sandbox.Fail(sandbox.Phone, sandbox.Raw(body), 1)
		got, err := w.phone()
		if row.ok && (err != nil || got == "") || !row.ok && (err == nil || got != "") {
			t.Errorf("watermark of %q, %v old: %s, %v; want ok %v", row.appID, row.age, string(got), err, row.ok)
		}
		if !row.ok {
			wantError(t, body, err, userpool.ErrWeChatUnavailable)
		}
	}
	for _, f := range []sandbox.Failure{sandbox.WatermarkApp, sandbox.WatermarkOld} {
		w.sandbox.Fail(sandbox.Phone, f, 1)
		_, err := w.phone()
		wantError(t, string(f), err, userpool.ErrWeChatUnavailable)
	}
}
