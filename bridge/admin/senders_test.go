package admin_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"app2wxapp/bridge/bridgetest"
)

// webhookKey is 32 bytes that must not be seen.
const webhookKey = "planted-webhook-key-0123456789ab"

var webhookSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(webhookKey))

// A sender is shown with its defaults and without its secrets; a patch changes
// what it names; another provider begins anew.
func TestSenders(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(`"senders":{"sms":{"provider":"aliyun","accessKeyId":"LTAI","accessKeySecret":"planted-aliyun-key","signName":"示例","templateCode":"SMS_1"}}`)
	at := pools + "/" + p.ID
	const aliyun = `{"accessKeyId":"LTAI","codeParam":"code","endpoint":"https://dysmsapi.aliyuncs.com","minutesParam":"","provider":"aliyun","signName":"示例","templateCode":"SMS_1","templateCodeAbroad":"SMS_1"}`
	const tencent = `{"endpoint":"https://sms.tencentcloudapi.com","provider":"tencent","region":"ap-guangzhou","sdkAppId":"1400","secretId":"AKID","signName":"示例","templateId":"1","templateIdAbroad":"1","templateParams":"code"}`
	const smtp = `{"from":"no-reply@example.com","fromName":"","host":"mail.example.com","port":465,"provider":"smtp","tls":"implicit","username":"u"}`
	wants := func(what, sms, email string) {
		t.Helper()
		if body, want := b.Admin("GET", at, "").Want(200).Body, `"senders":{"sms":`+sms+`,"email":`+email+`}`; !strings.Contains(body, want) {
			t.Errorf("%s:\n%s\nwant\n%s", what, body, want)
		}
	}
	wants("created", aliyun, "null")
	for _, step := range []struct{ what, patch, sms, email string }{
		{"e-mail too", `{"senders":{"email":{"provider":"smtp","host":"mail.example.com","tls":"implicit","username":"u","password":"planted-mail-password","from":"no-reply@example.com"}}}`, aliyun, smtp},
		{"one setting", `{"senders":{"sms":{"minutesParam":"m"}}}`, strings.Replace(aliyun, `"minutesParam":""`, `"minutesParam":"m"`, 1), smtp},
		{"default again", `{"senders":{"sms":{"minutesParam":null}}}`, aliyun, smtp},
		{"the same provider named", `{"senders":{"sms":{"provider":"aliyun"}}}`, aliyun, smtp},
		{"nothing of it", `{"senders":{}}`, aliyun, smtp},
		{"another provider", `{"senders":{"sms":{"provider":"tencent","secretId":"AKID","secretKey":"planted-tencent-key","sdkAppId":"1400","signName":"示例","templateId":"1"}}}`, tencent, smtp},
		{"none", `{"senders":{"email":null}}`, tencent, "null"},
		{"none at all", `{"senders":null}`, "null", "null"},
	} {
		b.Admin("PATCH", at, step.patch).Want(200)
		wants(step.what, step.sms, step.email)
		for _, secret := range []string{"planted-aliyun-key", "planted-mail-password", "planted-tencent-key"} {
			if body := b.Admin("GET", at, "").Body; strings.Contains(body, secret) {
				t.Errorf("%s shows %s: %s", step.what, secret, body)
			}
			if strings.Contains(b.Stored(), secret) || strings.Contains(b.Log.String(), secret) {
				t.Errorf("%s: the store or the log has %s in the clear", step.what, secret)
			}
		}
	}
	// A provider that was left is not remembered.
	b.Admin("PATCH", at, `{"senders":{"sms":{"provider":"aliyun","accessKeyId":"LTAI","signName":"示例","templateCode":"SMS_1"}}}`).WantError(400, 2231, "invalid_request")
	events := b.Admin("GET", "/admin/v1/audit?type=pool.changed", "").Want(200).Body
	for _, want := range []string{`"settings":"senders.sms"`, `"settings":"senders.email"`, `"settings":"senders.sms"`} {
		if !strings.Contains(events, want) {
			t.Errorf("audit %s, want %s", events, want)
		}
	}
}

// A trial tells what the provider said, in words, and leaves an event without the
// number. After a restart the settings are there.
func TestTestSender(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	const number, address = "13876543210", "planted.person@example.com"
	status, got := 200, ""
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = string(body)
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(status)
		w.Write(body)
	}))
	t.Cleanup(hook.Close)
	webhook := fmt.Sprintf(`{"provider":"webhook","url":%q,"secret":%q}`, hook.URL, webhookSecret)
	p := b.NewPool(`"senders":{"sms":` + webhook + `,"email":` + webhook + `}`)
	b.Restart()
	at := pools + "/" + p.ID + "/senders/"
	for _, row := range []struct {
		status                int
		channel, to           string
		result, code, message string
		retryAfter            int
	}{
		{200, "sms", "+86" + number, "sent", "", "服务商已接收，请确认是否收到", 0},
		{204, "email", address, "sent", "", "服务商已接收，请确认是否收到", 0},
		{422, "sms", "+86" + number, "refused", "HTTP-422", "服务商拒绝向该号码或地址发送", 0},
		{429, "sms", "+86" + number, "limited", "HTTP-429", "已达到服务商的发送频率或数量限制", 60},
		{403, "email", address, "setup", "HTTP-403", "服务商拒绝了配置或账户：请检查密钥、签名、模板、余额、地址和证书", 0},
		{500, "sms", "+86" + number, "failed", "HTTP-500", "服务商没有响应或出错，验证码仍有可能已发出", 0},
	} {
		status = row.status
		r := b.Admin("POST", at+row.channel+"/test", `{"to":"`+row.to+`"}`).Want(200)
		if want := fmt.Sprintf(`{"sent":%t,"result":%q,"provider":"webhook","providerCode":%q,"message":%q,"detail":"","retryAfter":%d}`, row.result == "sent", row.result, row.code, row.message, row.retryAfter); r.Body != want {
			t.Errorf("%d: %s, want %s", row.status, r.Body, want)
		}
		if !strings.Contains(got, `"purpose":"test"`) || !strings.Contains(got, row.to) {
			t.Errorf("the webhook got %s", got)
		}
	}
	if r := b.Do("POST", b.AdminURL+at+"sms/test", `{"to":"+86`+number+`"}`, "Content-Type: application/json", "Accept-Language: en", "Authorization: Bearer "+bridgetest.AdminToken).Want(200); !strings.Contains(r.Body, "does not answer") || !strings.Contains(got, `"language":"en"`) {
		t.Errorf("in English: %s, the webhook got %s", r.Body, got)
	}
	hook.Close()
	if r := b.Admin("POST", at+"email/test", `{"to":"`+address+`"}`).Want(200); !strings.Contains(r.Body, `"result":"failed"`) || !strings.Contains(r.Body, "没有发出任何内容") || !strings.Contains(r.Body, "connection refused") {
		t.Errorf("nobody listens: %s", r.Body)
	}
	events := b.Admin("GET", "/admin/v1/audit?type=sender.tested", "").Want(200).Body
	if n := strings.Count(events, `"type":"sender.tested"`); n != 8 || !strings.Contains(events, `"detail":{"channel":"email","provider":"webhook","result":"setup"}`) {
		t.Errorf("%d events: %s", n, events)
	}
	metrics := b.Do("GET", b.AdminURL+"/metrics", "").Want(200).Body
	if want := fmt.Sprintf(`app2wxapp_sends_total{channel="sms",pool=%q,provider="webhook",result="failed"} 2`, p.ID); !strings.Contains(metrics, want) {
		t.Errorf("metrics lack %s", want)
	}
	for where, text := range map[string]string{"audit": events, "metrics": metrics, "log": b.Log.String(), "store": b.Stored()} {
		for _, secret := range []string{number, "planted.person", webhookKey, webhookSecret} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s has %s", where, secret)
			}
		}
	}
}

func TestTestSenderRefuses(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(`"senders":{"sms":{"provider":"webhook","url":"http://127.0.0.1:1","secret":"` + webhookSecret + `"}}`)
	at := pools + "/" + p.ID + "/senders/"
	for _, body := range []string{``, `{}`, `{"to":""}`, `{"to":"13800138000"}`, `{"to":"user@example.com"}`, `{"to":1}`, `{"to":"+8613800138000","code":"1"}`, `[]`} {
		b.Admin("POST", at+"sms/test", body).WantError(400, 2231, "invalid_request")
	}
	for _, channel := range []string{"email", "fax", "SMS"} {
		b.Admin("POST", at+channel+"/test", `{"to":"+8613800138000"}`).WantError(403, 4037, "no_sender")
	}
	b.Admin("POST", pools+"/nobody/senders/sms/test", `{"to":"+8613800138000"}`).WantError(404, 2224, "pool_not_found")
	b.Do("POST", b.AdminURL+at+"sms/test", `{"to":"+8613800138000"}`, "Content-Type: application/json").WantError(401, 2020, "unauthenticated")
}
