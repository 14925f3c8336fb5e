package authing_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"app2wxapp/wechat/sandbox"
)

// said is what a call of the SDK came to.
type said struct {
	Value json.RawMessage
	Error json.RawMessage
	Token string
}

// sdk has the SDK make the calls, and returns what each came to.
func (r rig) sdk(options map[string]any, calls ...[]any) []said {
	r.t.Helper()
	const clients = "../clients"
	if _, err := os.Stat(filepath.Join(clients, "node_modules", "authing-wxapp-sdk")); errors.Is(err, fs.ErrNotExist) {
		r.t.Fatal("authing-wxapp-sdk is not installed in bridge/clients: run make tools")
	}
	avatar := filepath.Join(r.t.TempDir(), "avatar.png")
	if err := os.WriteFile(avatar, picture(r.t, 1), 0o600); err != nil {
		r.t.Fatal(err)
	}
	in, err := json.Marshal(map[string]any{"options": options, "image": avatar, "calls": calls})
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.CommandContext(r.t.Context(), "node", "authing.js")
	var out, complaints bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = clients, bytes.NewReader(in), &out, &complaints
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("node: %v\n%s\n%s", err, out.String(), complaints.String())
	}
	var all []said
	dec := json.NewDecoder(&out)
	for dec.More() {
		var s said
		if err := dec.Decode(&s); err != nil {
			r.t.Fatal(err)
		}
		all = append(all, s)
	}
	if len(all) != len(calls) {
		r.t.Fatalf("%d of %d calls ended: %s\n%s", len(all), len(calls), out.String(), complaints.String())
	}
	return all
}

// options are a client's of this server. A slash after the address is one that
// people write.
func (r rig) options() map[string]any {
	return map[string]any{"userPoolId": r.pool.ID, "host": r.URL + "/", "appHost": r.URL + "/", "websocketHost": r.URL}
}

// npm authing-wxapp-sdk 4.3.22-alpha.7, unmodified.
func TestSDK(t *testing.T) {
	r := newRig(t, `"matchPhone":true`)
	profileCode, phoneCode, getCode := r.code("alice"), r.code("alice"), r.code("bob")
	profile := r.WeChat.SealedProfile(profileCode, sandbox.UserInfo{NickName: "另一个名字", City: "Hangzhou"})
	phone, get := r.WeChat.SealedPhone(phoneCode, "13800138000"), r.WeChat.SealedPhone(getCode, "+85291234567")
	got := r.sdk(r.options(),
		[]any{"checkLoginStatus"},
		[]any{"loginByCode", r.code("alice")},
		[]any{"loginByCode", r.code("alice"), map[string]any{"rawData": `{"nickName":"示例用户","gender":1,"language":"zh_CN","city":"","province":"","country":"China","avatarUrl":"https://example.com/a.png"}`}},
		[]any{"loginByCode", profileCode, map[string]any{"iv": profile.IV, "encryptedData": profile.EncryptedData}},
		[]any{"loginByPhone", phoneCode, phone.IV, phone.EncryptedData},
		[]any{"getPhone", getCode, get.IV, get.EncryptedData},
		[]any{"getCurrentUser"},
		[]any{"updateProfile", map[string]any{"nickname": "Bob", "company": "示例公司", "gender": "F", "password": "dropped by the SDK"}},
		[]any{"updateAvatar"},
		[]any{"checkLoginStatus"},
		[]any{"refreshToken"},
		[]any{"getCurrentUser"},
		[]any{"updateProfile", map[string]any{"blocked": true}},
		[]any{"loginByCode", "no code of WeChat's"},
		[]any{"logout"},
		[]any{"checkLoginStatus"},
		[]any{"getCurrentUser"},
	)
	for i, wantError := range []bool{12: true, 13: true, 16: false} {
		if failed := got[i].Error != nil; failed != wantError {
			t.Errorf("call %d: error %s, value %s", i, got[i].Error, got[i].Value)
		}
	}
	user := func(i int) (u userOf) {
		t.Helper()
		if err := json.Unmarshal(got[i].Value, &u); err != nil {
			t.Fatalf("call %d: %v in %s", i, err, got[i].Value)
		}
		if u.Token == "" || u.Token != got[i].Token {
			t.Errorf("call %d: the user's token is %q, the SDK stores %q", i, u.Token, got[i].Token)
		}
		return u
	}
	has := func(i int, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(string(got[i].Value)+string(got[i].Error), text) {
				t.Errorf("call %d: %s%s, want %s in it", i, got[i].Value, got[i].Error, text)
			}
		}
	}
	has(0, `"code":2020`, `"status":false`)
	first, second, third, byPhone := user(1), user(2), user(3), user(4)
	if first.Nickname != nil || first.LoginsCount != 1 || second.Nickname == nil || *second.Nickname != "示例用户" || *second.Gender != "M" || *third.Nickname != "示例用户" || third.LoginsCount != 3 {
		t.Errorf("logins: %+v, %+v, %+v", first, second, third)
	}
	if byPhone.ID != first.ID || byPhone.Phone == nil || *byPhone.Phone != "13800138000" || !byPhone.PhoneVerified {
		t.Errorf("by phone: %+v", byPhone)
	}
	has(3, `"city":"Hangzhou"`)
	has(5, `"countryCode":"852"`, `"purePhoneNumber":"91234567"`, `"phoneNumber":"+85291234567"`, union("bob"))
	if u := user(6); u.ID != first.ID || u.Token != byPhone.Token {
		t.Errorf("current user: %+v", u)
	}
	if u := user(7); *u.Nickname != "Bob" || *u.Company != "示例公司" || *u.Gender != "F" {
		t.Errorf("updated: %+v", u)
	}
	photo := user(8).Photo
	if photo == nil || !strings.HasPrefix(*photo, r.URL+"/uploads/") {
		t.Fatalf("photo %v", photo)
	}
	if res := r.Do("GET", *photo, ""); res.Status != 200 || res.Body != string(picture(t, 1)) || res.Header.Get("Content-Type") != "image/png" {
		t.Errorf("the photo is %d %v", res.Status, res.Header)
	}
	has(9, `"code":200`, `"status":true`, `"id":"`+first.ID+`"`)
	if got[10].Token == byPhone.Token || got[10].Token == "" {
		t.Errorf("refreshed: %q", got[10].Token)
	}
	if u := user(11); u.Token != got[10].Token || *u.Nickname != "Bob" {
		t.Errorf("after the refresh: %+v", u)
	}
	has(12, `"code":2018`)
	has(13, `\"code\":4002`)
	if got[13].Token != got[10].Token || got[14].Token != "" {
		t.Errorf("tokens %q, %q", got[13].Token, got[14].Token)
	}
	has(15, `"code":2020`)
	if string(got[16].Value) != "null" {
		t.Errorf("nobody is the current user: %s", got[16].Value)
	}
	status := r.graphql(got[10].Token, `query($token: String) { checkLoginStatus(token: $token) { code status } }`, nil)
	if status.Body != `{"data":{"checkLoginStatus":{"code":2207,"status":false}}}` {
		t.Errorf("the token after the logout: %s", status.Body)
	}
}

// A client that is made with an application's id, which is the pool's.
func TestSDKByAppID(t *testing.T) {
	r := newRig(t)
	got := r.sdk(map[string]any{"appId": r.pool.ID, "host": r.URL, "appHost": r.URL}, []any{"loginByCode", r.code("alice")}, []any{"logout"})
	for i, s := range got {
		if s.Error != nil {
			t.Errorf("call %d: %s", i, s.Error)
		}
	}
}
