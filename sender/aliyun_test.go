package sender_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"testing"
	"time"

	"app2wxapp/userpool"
)

func byAliyun(endpoint string) userpool.Sender {
	return userpool.Sender{Provider: userpool.ProviderAliyun, Aliyun: userpool.AliyunSender{
		AccessKeyID: "LTAIexample", AccessKeySecret: key, SignName: "阿里云 +测试~", TemplateCode: "SMS_154950909",
		TemplateCodeAbroad: "SMS_999", Endpoint: endpoint,
	}}
}

// acs3 returns what is wrong with a call, as Aliyun's gateway checks it: from
// what came, knowing the secret only.
func acs3(c call, secret string) error {
	var signed, signature string
	auth := c.Header.Get("Authorization")
	for _, part := range strings.Split(strings.TrimPrefix(auth, "ACS3-HMAC-SHA256 "), ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "SignedHeaders":
			signed = value
		case "Signature":
			signature = value
		}
	}
	names := strings.Split(signed, ";")
	if !sort.StringsAreSorted(names) {
		return fmt.Errorf("signed headers %q are not sorted", signed)
	}
	canonical := ""
	for _, name := range names {
		value := c.Header.Get(name)
		if name == "host" {
			value = c.Host
		}
		canonical += name + ":" + value + "\n"
	}
	for _, needed := range []string{"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"} {
		if !strings.Contains(";"+signed+";", ";"+needed+";") {
			return fmt.Errorf("%s is not signed", needed)
		}
	}
	body := sha256.Sum256([]byte(c.body))
	if hash := hex.EncodeToString(body[:]); c.Header.Get("x-acs-content-sha256") != hash {
		return fmt.Errorf("x-acs-content-sha256 %s, want %s", c.Header.Get("x-acs-content-sha256"), hash)
	}
	var pairs []string
	for name, values := range c.URL.Query() {
		pairs = append(pairs, rfc3986(name)+"="+rfc3986(values[0]))
	}
	sort.Strings(pairs)
	request := sha256.Sum256([]byte(strings.Join([]string{c.Method, c.URL.EscapedPath(), strings.Join(pairs, "&"), canonical, signed, hex.EncodeToString(body[:])}, "\n")))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("ACS3-HMAC-SHA256\n" + hex.EncodeToString(request[:])))
	if want := hex.EncodeToString(mac.Sum(nil)); signature != want {
		return fmt.Errorf("signature %s, want %s", signature, want)
	}
	return nil
}

// rfc3986 escapes all but letters, digits and -_.~
func rfc3986(text string) string {
	out := ""
	for _, b := range []byte(text) {
		if strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~", b) >= 0 {
			out += string(b)
		} else {
			out += fmt.Sprintf("%%%02X", b)
		}
	}
	return out
}

// aliyunGateway answers like Aliyun: first the signature, then what was asked
// for.
func aliyunGateway(t testing.TB, answer string) *standIn {
	return newStandIn(t, func(_ int, w http.ResponseWriter, c call) {
		if err := acs3(c, key); err != nil {
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"Code":"SignatureDoesNotMatch","Message":%q,"RequestId":"r"}`, err)
			return
		}
		fmt.Fprint(w, answer)
	})
}

func TestAliyun(t *testing.T) {
	t.Parallel()
	for to, row := range map[string]struct{ number, template string }{
		"+86" + number: {number, "SMS_154950909"}, "+85261234567": {"85261234567", "SMS_999"},
	} {
		gateway, p := aliyunGateway(t, `{"Message":"OK","RequestId":"F655A8D5","Code":"OK","BizId":"9006197469364984"}`), newPost(t, nil)
		m, s := sms(), byAliyun(gateway.URL)
		m.To, s.Aliyun.CodeParam, s.Aliyun.MinutesParam = to, "c", "min"
		want(t, to, p.send(userpool.ChannelSMS, s, m), nil, "")
		gateway.wantCalls(t, to, 1)
		p.wantResult(userpool.ChannelSMS, "aliyun", "sent")
		c := gateway.all()[0]
		q := c.URL.Query()
		if q.Get("PhoneNumbers") != row.number || q.Get("TemplateCode") != row.template || q.Get("SignName") != s.Aliyun.SignName {
			t.Errorf("%s: query %v", to, q)
		}
		var param map[string]string
		if err := json.Unmarshal([]byte(q.Get("TemplateParam")), &param); err != nil || len(param) != 2 || param["c"] != code || param["min"] != "5" {
			t.Errorf("TemplateParam %s", q.Get("TemplateParam"))
		}
		if c.Header.Get("x-acs-action") != "SendSms" || c.Header.Get("x-acs-version") != "2017-05-25" || c.Header.Get("x-acs-date") != "2026-11-22T03:04:05Z" {
			t.Errorf("header %v", c.Header)
		}
	}
}

func TestAliyunAnswers(t *testing.T) {
	t.Parallel()
	for answer, row := range map[string]struct {
		means error
		code  string
		wait  time.Duration
		calls int
	}{
		`{"Code":"isv.BUSINESS_LIMIT_CONTROL","Message":"触发分钟级流控Permits:1"}`: {userpool.ErrSendLimited, "isv.BUSINESS_LIMIT_CONTROL", time.Minute, 1},
		`{"Code":"isv.BUSINESS_LIMIT_CONTROL","Message":"触发小时级流控Permits:5"}`: {userpool.ErrSendLimited, "isv.BUSINESS_LIMIT_CONTROL", time.Hour, 1},
		`{"Code":"isv.BUSINESS_LIMIT_CONTROL","Message":"触发天级流控Permits:10"}`: {userpool.ErrSendLimited, "isv.BUSINESS_LIMIT_CONTROL", 24 * time.Hour, 1},
		`{"Code":"isv.DAY_LIMIT_CONTROL","Message":""}`:                      {userpool.ErrSendLimited, "isv.DAY_LIMIT_CONTROL", 0, 1},
		`{"Code":"isv.MOBILE_NUMBER_ILLEGAL","Message":"` + number + `"}`:    {userpool.ErrRecipientRefused, "isv.MOBILE_NUMBER_ILLEGAL", 0, 1},
		`{"Code":"isv.AMOUNT_NOT_ENOUGH","Message":"账户余额不足"}`:                {userpool.ErrSenderSetup, "isv.AMOUNT_NOT_ENOUGH", 0, 1},
		`{"Code":"isv.SMS_SIGNATURE_ILLEGAL","Message":"该账号下找不到对应签名"}`:       {userpool.ErrSenderSetup, "isv.SMS_SIGNATURE_ILLEGAL", 0, 1},
		`{"Code":"InvalidAccessKeyId.NotFound","Message":"not found"}`:       {userpool.ErrSenderSetup, "InvalidAccessKeyId.NotFound", 0, 1},
		`{"Code":"isp.SYSTEM_ERROR","Message":""}`:                           {userpool.ErrSendFailed, "isp.SYSTEM_ERROR", 0, 1},
		`{"Code":"Throttling.User","Message":"Request was denied"}`:          {userpool.ErrSendFailed, "Throttling.User", 0, 3},
		`{"Code":"something new","Message":""}`:                              {userpool.ErrSendFailed, "", 0, 1},
		`{"Code":"isv.` + number + `","Message":""}`:                         {userpool.ErrSenderSetup, "", 0, 1},
		`{"Code":"isv.` + code + `","Message":""}`:                           {userpool.ErrSenderSetup, "", 0, 1},
		`{"Code":7}`:      {userpool.ErrSendFailed, "HTTP-200", 0, 1},
		`<html>OK</html>`: {userpool.ErrSendFailed, "HTTP-200", 0, 1},
		`{}`:              {userpool.ErrSendFailed, "HTTP-200", 0, 1},
		``:                {userpool.ErrSendFailed, "HTTP-200", 0, 1},
	} {
		t.Run(answer, func(t *testing.T) {
			t.Parallel()
			gateway := aliyunGateway(t, answer)
			got := newPost(t, nil).send(userpool.ChannelSMS, byAliyun(gateway.URL), sms())
			want(t, answer, got, row.means, row.code)
			if got != nil && got.RetryAfter != row.wait {
				t.Errorf("RetryAfter %v, want %v", got.RetryAfter, row.wait)
			}
			gateway.wantCalls(t, answer, row.calls)
		})
	}
}

// A wrong key is the operator's to mend.
func TestAliyunWrongKey(t *testing.T) {
	t.Parallel()
	gateway, p := aliyunGateway(t, `{"Code":"OK"}`), newPost(t, nil)
	s := byAliyun(gateway.URL)
	s.Aliyun.AccessKeySecret = key + "-wrong"
	want(t, "wrong key", p.send(userpool.ChannelSMS, s, sms()), userpool.ErrSenderSetup, "SignatureDoesNotMatch")
	p.wantResult(userpool.ChannelSMS, "aliyun", "setup")
}

// No SMS goes out twice: what may have been taken is not sent again.
func TestSMSOnce(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(int, http.ResponseWriter, call){
		"500":        func(_ int, w http.ResponseWriter, _ call) { w.WriteHeader(500) },
		"503":        func(_ int, w http.ResponseWriter, _ call) { w.WriteHeader(503) },
		"broken off": func(int, http.ResponseWriter, call) { panic(http.ErrAbortHandler) },
	} {
		for provider, by := range map[string]func(string) userpool.Sender{"aliyun": byAliyun, "tencent": byTencent} {
			to := newStandIn(t, answer)
			got := newPost(t, nil).send(userpool.ChannelSMS, by(to.URL), sms())
			if got == nil || got.Means != userpool.ErrSendFailed {
				t.Errorf("%s, %s: %v", provider, name, got)
			}
			to.wantCalls(t, provider+", "+name, 1)
		}
	}
	// A redirect would take the number and the code elsewhere.
	elsewhere := answering(t, 200, `{"Code":"OK"}`)
	for provider, by := range map[string]func(string) userpool.Sender{"aliyun": byAliyun, "tencent": byTencent} {
		to := answering(t, 307, "", "Location", elsewhere.URL)
		want(t, provider, newPost(t, nil).send(userpool.ChannelSMS, by(to.URL), sms()), userpool.ErrSenderSetup, "HTTP-307")
	}
	elsewhere.wantCalls(t, "redirect", 0)
}
