package userpool_test

import (
	"errors"
	"strings"
	"testing"

	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

func TestProfileFillsWhatIsEmpty(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	with := func(profile userpool.Profile) userpool.Profile {
		t.Helper()
		l := r.login(p, "alice", "")
		l.Profile = profile
		u, err := r.SignIn(ctx, p, l)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.stored(u).Profile; got != u.Profile {
			t.Errorf("stored %+v, want %+v", got, u.Profile)
		}
		return u.Profile
	}
	first := userpool.Profile{Nickname: "爱丽丝", City: "Hangzhou"}
	if got := with(first); got != first {
		t.Errorf("first: %+v", got)
	}
	got := with(userpool.Profile{Nickname: "x", AvatarURL: "https://example.com/a", Gender: 2, Language: "zh_CN", City: "x", Province: "Zhejiang", Country: "China"})
	want := userpool.Profile{Nickname: "爱丽丝", AvatarURL: "https://example.com/a", Gender: 2, Language: "zh_CN", City: "Hangzhou", Province: "Zhejiang", Country: "China"}
	if got != want {
		t.Errorf("second: got %+v, want %+v", got, want)
	}
	if got := with(userpool.Profile{AvatarURL: "https://example.com/b", Gender: 1, Language: "x", Province: "x", Country: "x"}); got != want {
		t.Errorf("third: got %+v, want %+v", got, want)
	}
	if got := with(userpool.Profile{}); got != want {
		t.Errorf("empty: got %+v, want %+v", got, want)
	}
}

func TestLoginValidation(t *testing.T) {
	long := strings.Repeat("界", 65)
	for _, row := range []struct {
		field  string // "" for a good one
		change func(*userpool.Login)
	}{
		{"", func(l *userpool.Login) {}},
		{"code", func(l *userpool.Login) { l.Code = "" }},
		{"code", func(l *userpool.Login) { l.Code = strings.Repeat("c", 513) }},
		{"phoneCode", func(l *userpool.Login) { l.PhoneCode = strings.Repeat("c", 513) }},
		{"", func(l *userpool.Login) { l.Profile.Nickname = long[:64*3] }},
		{"userInfo.nickName", func(l *userpool.Login) { l.Profile.Nickname = long }},
		{"userInfo.language", func(l *userpool.Login) { l.Profile.Language = long }},
		{"userInfo.city", func(l *userpool.Login) { l.Profile.City = long }},
		{"userInfo.province", func(l *userpool.Login) { l.Profile.Province = long }},
		{"userInfo.country", func(l *userpool.Login) { l.Profile.Country = long }},
		{"userInfo.nickName", func(l *userpool.Login) { l.Profile.Nickname = "a\x00b" }},
		{"userInfo.nickName", func(l *userpool.Login) { l.Profile.Nickname = "a\nb" }},
		{"userInfo.city", func(l *userpool.Login) { l.Profile.City = "a\u0085b" }},
		{"userInfo.country", func(l *userpool.Login) { l.Profile.Country = "a\x7f" }},
		{"userInfo.gender", func(l *userpool.Login) { l.Profile.Gender = -1 }},
		{"userInfo.gender", func(l *userpool.Login) { l.Profile.Gender = 3 }},
		{"", func(l *userpool.Login) { l.Profile.Gender = 2 }},
		{"", func(l *userpool.Login) { l.Profile.AvatarURL = "https://thirdwx.qlogo.cn/mmopen/vi_32/x/132" }},
		{"userInfo.avatarUrl", func(l *userpool.Login) { l.Profile.AvatarURL = "http://example.com/a" }},
		{"userInfo.avatarUrl", func(l *userpool.Login) { l.Profile.AvatarURL = "javascript:alert(1)" }},
		{"userInfo.avatarUrl", func(l *userpool.Login) { l.Profile.AvatarURL = "https:///a" }},
		{"userInfo.avatarUrl", func(l *userpool.Login) { l.Profile.AvatarURL = "https://example.com/\n" }},
		{"userInfo.avatarUrl", func(l *userpool.Login) { l.Profile.AvatarURL = "wxfile://tmp_a" }},
		{"", func(l *userpool.Login) { l.Profile.AvatarURL = "https://e.com/" + strings.Repeat("a", 498) }},
		{"userInfo.avatarUrl", func(l *userpool.Login) { l.Profile.AvatarURL = "https://e.com/" + strings.Repeat("a", 499) }},
	} {
		r := newRig(t)
		p := r.pool(game)
		l := r.login(p, "alice", "")
		row.change(&l)
		_, err := r.SignIn(ctx, p, l)
		asked := r.weixin.Count(sandbox.Login)
		var bad *userpool.InvalidError
		switch {
		case row.field == "" && err != nil:
			t.Errorf("%+v: %v", l, err)
		case row.field != "" && (!errors.As(err, &bad) || bad.Field != row.field || bad.EN == "" || bad.ZH == ""):
			t.Errorf("%+v: got %v, want an InvalidError of %s", l, err, row.field)
		case row.field != "" && asked != 0:
			t.Errorf("%s: WeChat was asked", row.field)
		}
	}
}
