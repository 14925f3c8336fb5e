package userpool_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"app2wxapp/userpool"
)

// hide fails the test if the text holds any of the secrets, plain or in hex.
func hide(t *testing.T, how, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		for _, form := range []string{s, fmt.Sprintf("%x", s), fmt.Sprintf("%X", s), fmt.Sprintf("% x", s)} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows %s: %s", how, s, text)
			}
		}
	}
}

// However a Secret or a Phone is printed, alone or inside something, it is not
// shown.
func TestSecretsDoNotPrint(t *testing.T) {
	const plain, number, middle = "planted-secret", "13876543210", "7654"
	s, p, mail := userpool.Secret(plain), userpool.Phone("+86"+number), userpool.Email(plain+"@example.com")
	type inside struct {
		Secret userpool.Secret
		Phone  userpool.Phone
		Email  userpool.Email
	}
	both := inside{s, p, mail}
	for name, v := range map[string]any{
		"secret": s, "phone": p, "pointer to secret": &s, "pointer to phone": &p, "e-mail": mail, "pointer to e-mail": &mail, "struct": both, "pointer": &both,
		"slice": []inside{both}, "map": map[string]inside{"key": both}, "any": []any{s, p},
		"pool":    userpool.Pool{Settings: userpool.Settings{AppSecret: s}, JWTSecret: s},
		"user":    &userpool.User{Phone: p, Email: mail},
		"keys":    userpool.Keys{Phone: p, Email: mail},
		"app":     userpool.App{Secret: s},
		"new":     userpool.NewPool{JWTSecret: s, Settings: userpool.Settings{AppSecret: s}},
		"message": userpool.Message{To: "+86" + number, Code: plain, Purpose: "bind"},
		"to send": []*userpool.Message{{To: "+86" + number, Code: plain}},
		"match":   userpool.Matches{ByPhone: []userpool.User{{Phone: p}}},
	} {
		for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %t %c %U %o %e %10s %-30v %.3s") {
			hide(t, name+" by "+verb, fmt.Sprintf(verb, v), plain, number, middle)
		}
		hide(t, name+" by Sprint", fmt.Sprint(v)+fmt.Sprintln(v), plain, number, middle)
		hide(t, name+" in an error", fmt.Errorf("with %v: %w", v, userpool.ErrCode).Error(), plain, number, middle)
		if b, err := json.Marshal(v); err == nil {
			hide(t, name+" as JSON", string(b), plain, number, middle)
		} else {
			t.Errorf("%s as JSON: %v", name, err)
		}
		var b bytes.Buffer
		// The digits of a time can be any, those of the phone included.
		noTime := &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, noTime), slog.NewJSONHandler(&b, noTime)} {
			log := slog.New(h)
			log.With("with", v).Info("secret", "value", v, slog.Group("group", "in", v))
		}
		hide(t, name+" in a log", b.String(), plain, number, middle)
	}
	b, err := xml.Marshal(both)
	if err != nil {
		t.Fatal(err)
	}
	hide(t, "XML", string(b), plain, number, middle)
	if got := fmt.Sprintf("%v %s %d|%v %s %d", s, s, s, p, p, p); got != "*** *** ***|138****3210 138****3210 138****3210" {
		t.Errorf("printed: %s", got)
	}
}

func TestPhoneForms(t *testing.T) {
	for _, row := range []struct {
		phone         userpool.Phone
		local, masked string
	}{
		{"", "", ""},
		{"+8613800138000", "13800138000", "138****8000"},
		{"+85261234567", "+85261234567", "+852****4567"},
		{"+12025550123", "+12025550123", "+120****0123"},
		{"+4912345", "+4912345", "+49****45"},
		{"+491234", "+491234", "****"},
	} {
		if row.phone.Local() != row.local || row.phone.Masked() != row.masked {
			t.Errorf("%q: local %q, masked %q, want %q, %q", string(row.phone), row.phone.Local(), row.phone.Masked(), row.local, row.masked)
		}
	}
}

func TestNewSecret(t *testing.T) {
	seen := map[userpool.Secret]bool{}
	for range 100 {
		s := userpool.NewSecret()
		if len(s) != 43 || strings.ContainsAny(string(s), "+/=") || seen[s] {
			t.Errorf("secret %q", string(s))
		}
		seen[s] = true
	}
}
