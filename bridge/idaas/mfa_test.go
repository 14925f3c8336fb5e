package idaas_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"app2wxapp/bridge/bridgetest"
)

const totpPath = "/api/v2/sdk/mfa/totp/verify"

// enrol gives the user a second factor, and returns its secret.
func enrol(t *testing.T, b *bridgetest.Bridge, p bridgetest.Pool, user string) string {
	t.Helper()
	path := "/admin/v1/pools/" + p.ID + "/users/" + user + "/totp"
	var added struct{ Secret string }
	b.Admin("POST", path, "").Want(201).Decode(&added)
	b.Admin("POST", path+"/confirm", byTOTP(t, b, added.Secret)).Want(200)
	b.Clock.Turn(time.Minute)
	return added.Secret
}

// byTOTP is a body with the code of this moment.
func byTOTP(t *testing.T, b *bridgetest.Bridge, secret string) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, b.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"code":%q}`, code)
}

// Who has a second factor gets no token before it is shown, after a sign-in and
// after a bind, which binds nothing before.
func TestSecondFactor(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool(signupBind, `"mfa":"enrolled"`)
	imported(b, p, "known", "13800138000")
	secret := enrol(t, b, p, "known")
	r := call(b, p, bindPath, phoneCode(b, "alice", "13800138000"), state(b, p, "alice")).Want(200)
	asked := decoded(r)
	if want := `{"state_token":"` + asked.StateToken + `","data":null,"status":"MFA_AUTH"}`; r.Body != want {
		t.Fatalf("bind: %s, want %s", r.Body, want)
	}
	if again := login(b, p, "alice"); again.Status != "USER_REGISTER" {
		t.Errorf("bound before the second factor: %+v", again)
	}
	const wrong = "动态码不正确或已使用"
	s := "X-state-token: " + asked.StateToken
	wantError(t, "wrong", call(b, p, totpPath, `{"code":"000000"}`, s), 400, "SDK.MFA.0001", wrong)
	if r := call(b, p, totpPath, `{}`, s); r.Status != 400 || decoded(r).Code != "SDK.COMMON.1001" {
		t.Errorf("no code: %d %s", r.Status, r.Body)
	}
	wantError(t, "no state", call(b, p, totpPath, byTOTP(t, b, secret)), 400, "SDK.COMMON.1007", badState)
	wantDenied(t, "another proof", call(b, p, bindPath, phoneCode(b, "alice", "13800138000"), s))
	got := decoded(call(b, p, totpPath, byTOTP(t, b, secret), s).Want(200))
	if got.Status != "SUCCESS" || claims(t, got.IDToken)["sub"] != "known" {
		t.Errorf("with the second factor: %+v", got)
	}
	session(t, renew(b, p, got.SessionToken))
	wantError(t, "the state again", call(b, p, totpPath, byTOTP(t, b, secret), s), 400, "SDK.COMMON.1005", over)

	second := login(b, p, "alice")
	if second.Status != "MFA_AUTH" || second.SessionToken != "" || second.IDToken != "" {
		t.Errorf("second login: %+v", second)
	}
	s = "X-state-token: " + second.StateToken
	wantError(t, "a used code", call(b, p, totpPath, byTOTP(t, b, secret), s), 400, "SDK.MFA.0001", wrong)
	b.Clock.Turn(time.Minute)
	call(b, p, totpPath, byTOTP(t, b, secret), s).Want(200)

	patch(b, p, `"mfa":"required"`, `"loginWays":["wechatPhone"]`)
	wantDenied(t, "by phone alone", call(b, p, phonePath, phoneCodeAs(b, "alice", "13800138000", "code")))
	wantDenied(t, "required, and has none", call(b, p, registerPath, phoneCode(b, "bob", "13900139000"), state(b, p, "bob")))
}
