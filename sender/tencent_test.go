package sender_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"app2wxapp/userpool"
)

func byTencent(endpoint string) userpool.Sender {
	return userpool.Sender{Provider: userpool.ProviderTencent, Tencent: userpool.TencentSender{
		SecretID: "AKIDexample", SecretKey: key, SDKAppID: "1400006666", SignName: "腾讯云", TemplateID: "1110",
		TemplateIDAbroad: "2220", TemplateParams: "code,minutes", Endpoint: endpoint,
	}}
}

var tc3Form = regexp.MustCompile(`^TC3-HMAC-SHA256 Credential=AKIDexample/(\d{4}-\d\d-\d\d)/sms/tc3_request, SignedHeaders=([a-z;-]+), Signature=([0-9a-f]{64})$`)

// tc3 returns what is wrong with a call, as Tencent's gateway checks it: from
// what came, knowing the secret only.
func tc3(c call, secret string) error {
	auth := tc3Form.FindStringSubmatch(c.Header.Get("Authorization"))
	if auth == nil {
		return fmt.Errorf("Authorization %q", c.Header.Get("Authorization"))
	}
	day, signed := auth[1], auth[2]
	stamp := c.Header.Get("X-TC-Timestamp")
	canonical := ""
	for _, name := range strings.Split(signed, ";") {
		value := c.Header.Get(name)
		if name == "host" {
			value = c.Host
		}
		canonical += name + ":" + strings.ToLower(value) + "\n"
	}
	if !strings.HasPrefix(signed, "content-type;host") {
		return fmt.Errorf("signed are %s", signed)
	}
	body := sha256.Sum256([]byte(c.body))
	request := sha256.Sum256([]byte(c.Method + "\n/\n\n" + canonical + "\n" + signed + "\n" + hex.EncodeToString(body[:])))
	sign := func(key []byte, text string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	k := sign(sign(sign([]byte("TC3"+secret), day), "sms"), "tc3_request")
	want := hex.EncodeToString(sign(k, "TC3-HMAC-SHA256\n"+stamp+"\n"+day+"/sms/tc3_request\n"+hex.EncodeToString(request[:])))
	if auth[3] != want {
		return fmt.Errorf("signature %s, want %s", auth[3], want)
	}
	return nil
}

func tencentGateway(t testing.TB, answer string) *standIn {
	return newStandIn(t, func(_ int, w http.ResponseWriter, c call) {
		if err := tc3(c, key); err != nil {
			fmt.Fprintf(w, `{"Response":{"Error":{"Code":"AuthFailure.SignatureFailure","Message":%q},"RequestId":"r"}}`, err)
			return
		}
		fmt.Fprint(w, answer)
	})
}

func TestTencent(t *testing.T) {
	t.Parallel()
	for to, template := range map[string]string{"+86" + number: "1110", "+85261234567": "2220"} {
		gateway, p := tencentGateway(t, `{"Response":{"SendStatusSet":[{"SerialNo":"5000:1045","PhoneNumber":"`+to+`","Fee":1,"SessionContext":"","Code":"Ok","Message":"send success","IsoCode":"CN"}],"RequestId":"a0aabda6"}}`), newPost(t, nil)
		m := sms()
		m.To = to
		want(t, to, p.send(userpool.ChannelSMS, byTencent(gateway.URL), m), nil, "")
		gateway.wantCalls(t, to, 1)
		p.wantResult(userpool.ChannelSMS, "tencent", "sent")
		c := gateway.all()[0]
		var body map[string]any
		if err := json.Unmarshal([]byte(c.body), &body); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(map[string]any{
			"PhoneNumberSet": []any{to}, "SmsSdkAppId": "1400006666", "TemplateId": template, "SignName": "腾讯云", "TemplateParamSet": []any{code, "5"},
		}, body); d != "" {
			t.Errorf("body (-want +got):\n%s", d)
		}
		h := c.Header
		if h.Get("X-TC-Action") != "SendSms" || h.Get("X-TC-Version") != "2021-01-11" || h.Get("X-TC-Region") != "ap-guangzhou" || h.Get("X-TC-Timestamp") != fmt.Sprint(at.Unix()) || c.URL.String() != "/" {
			t.Errorf("%s %v", c.URL, h)
		}
	}
}

func TestTencentAnswers(t *testing.T) {
	t.Parallel()
	status := func(code string) string {
		return `{"Response":{"SendStatusSet":[{"SerialNo":"","PhoneNumber":"+86` + number + `","Fee":0,"Code":"` + code + `","Message":"x"}],"RequestId":"r"}}`
	}
	refused := func(code string) string {
		return `{"Response":{"Error":{"Code":"` + code + `","Message":"x"},"RequestId":"r"}}`
	}
	for answer, row := range map[string]struct {
		means error
		code  string
		wait  time.Duration
		calls int
	}{
		status("LimitExceeded.PhoneNumberThirtySecondLimit"):                     {userpool.ErrSendLimited, "LimitExceeded.PhoneNumberThirtySecondLimit", 30 * time.Second, 1},
		status("LimitExceeded.PhoneNumberOneHourLimit"):                          {userpool.ErrSendLimited, "LimitExceeded.PhoneNumberOneHourLimit", time.Hour, 1},
		status("LimitExceeded.PhoneNumberDailyLimit"):                            {userpool.ErrSendLimited, "LimitExceeded.PhoneNumberDailyLimit", 24 * time.Hour, 1},
		status("LimitExceeded.DeliveryFrequencyLimit"):                           {userpool.ErrSendLimited, "LimitExceeded.DeliveryFrequencyLimit", 0, 1},
		status("FailedOperation.PhoneNumberInBlacklist"):                         {userpool.ErrRecipientRefused, "FailedOperation.PhoneNumberInBlacklist", 0, 1},
		refused("InvalidParameterValue.IncorrectPhoneNumber"):                    {userpool.ErrRecipientRefused, "InvalidParameterValue.IncorrectPhoneNumber", 0, 1},
		refused("InvalidParameterValue.SdkAppIdNotExist"):                        {userpool.ErrSenderSetup, "InvalidParameterValue.SdkAppIdNotExist", 0, 1},
		refused("AuthFailure.SecretIdNotFound"):                                  {userpool.ErrSenderSetup, "AuthFailure.SecretIdNotFound", 0, 1},
		status("FailedOperation.InsufficientBalanceInSmsPackage"):                {userpool.ErrSenderSetup, "FailedOperation.InsufficientBalanceInSmsPackage", 0, 1},
		status("FailedOperation.TemplateIncorrectOrUnapproved"):                  {userpool.ErrSenderSetup, "FailedOperation.TemplateIncorrectOrUnapproved", 0, 1},
		status("UnauthorizedOperation.IndividualUserMarketingSmsPermissionDeny"): {userpool.ErrSenderSetup, "UnauthorizedOperation.IndividualUserMarketingSmsPermissionDeny", 0, 1},
		refused("InternalError.Timeout"):                                         {userpool.ErrSendFailed, "InternalError.Timeout", 0, 1},
		refused("RequestLimitExceeded"):                                          {userpool.ErrSendFailed, "RequestLimitExceeded", 0, 3},
		refused(number):                                                          {userpool.ErrSendFailed, "", 0, 1},
		`{"Response":{"SendStatusSet":[]}}`:                                      {userpool.ErrSendFailed, "HTTP-200", 0, 1},
		`{"Response":{"SendStatusSet":[{"Code":"Ok"},{"Code":"Ok"}]}}`:           {userpool.ErrSendFailed, "HTTP-200", 0, 1},
		`not JSON`: {userpool.ErrSendFailed, "HTTP-200", 0, 1},
	} {
		t.Run(answer, func(t *testing.T) {
			t.Parallel()
			gateway := tencentGateway(t, answer)
			got := newPost(t, nil).send(userpool.ChannelSMS, byTencent(gateway.URL), sms())
			want(t, answer, got, row.means, row.code)
			if got != nil && got.RetryAfter != row.wait {
				t.Errorf("RetryAfter %v, want %v", got.RetryAfter, row.wait)
			}
			gateway.wantCalls(t, answer, row.calls)
		})
	}
}

func TestTencentWrongKey(t *testing.T) {
	t.Parallel()
	gateway := tencentGateway(t, "")
	s := byTencent(gateway.URL)
	s.Tencent.SecretKey = key + "-wrong"
	want(t, "wrong key", newPost(t, nil).send(userpool.ChannelSMS, s, sms()), userpool.ErrSenderSetup, "AuthFailure.SignatureFailure")
}
