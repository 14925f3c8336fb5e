package sender

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"app2wxapp/userpool"
)

// tencent sends by Tencent Cloud SMS: SendSms of sms 2021-01-11, signed with
// TC3-HMAC-SHA256.
//
// A call is made again if no connection was had, or if Tencent's gateway answered
// that there are too many, which it does before the SMS service sees the call.
type tencent struct {
	*Service
	to userpool.TencentSender
}

func (t tencent) try(ctx context.Context, m message) (again bool, err error) {
	endpoint, err := url.Parse(t.to.Endpoint)
	if err != nil {
		return false, refusal{means: userpool.ErrSenderSetup, cause: errors.New("endpoint")}
	}
	template := t.to.TemplateID
	if !strings.HasPrefix(m.To, "+86") {
		template = t.to.TemplateIDAbroad
	}
	var vars []string
	for _, name := range strings.Split(t.to.TemplateParams, ",") {
		if name == "minutes" {
			vars = append(vars, m.minutes())
		} else {
			vars = append(vars, m.Code)
		}
	}
	body, err := json.Marshal(struct {
		PhoneNumberSet   []string
		SmsSdkAppId      string
		TemplateId       string
		SignName         string
		TemplateParamSet []string
	}{[]string{m.To}, t.to.SDKAppID, template, t.to.SignName, vars})
	if err != nil {
		return false, err
	}
	endpoint.Path = "/"
	header := signTencent(t.to.SecretID, string(t.to.SecretKey), "sms", endpoint.Host, "SendSms", body, t.now())
	header.Set("X-TC-Version", "2021-01-11")
	header.Set("X-TC-Region", t.to.Region)
	got, reached, err := t.post(ctx, endpoint, header, body)
	if err != nil {
		var r refusal
		return !reached && errors.As(err, &r) && !errors.Is(r.means, userpool.ErrSenderSetup), err
	}
	return judgeTencent(got)
}

// signTencent returns the header of a call: its Authorization, and what that is
// made of.
//
// Tencent's page: "签名方法 v3".
func signTencent(id, key, service, host, action string, body []byte, at time.Time) http.Header {
	const (
		algorithm = "TC3-HMAC-SHA256"
		media     = "application/json; charset=utf-8"
		signed    = "content-type;host;x-tc-action"
	)
	day, stamp := at.UTC().Format("2006-01-02"), strconv.FormatInt(at.Unix(), 10)
	scope := day + "/" + service + "/tc3_request"
	canonical := "POST\n/\n\ncontent-type:" + media + "\nhost:" + host + "\nx-tc-action:" + strings.ToLower(action) + "\n\n" + signed + "\n" + sha256Hex(body)
	k := hmacSHA256([]byte("TC3"+key), day)
	k = hmacSHA256(hmacSHA256(k, service), "tc3_request")
	signature := hex.EncodeToString(hmacSHA256(k, algorithm+"\n"+stamp+"\n"+scope+"\n"+sha256Hex([]byte(canonical))))
	return http.Header{
		"Content-Type":   {media},
		"X-Tc-Action":    {action},
		"X-Tc-Timestamp": {stamp},
		"Authorization":  {algorithm + " Credential=" + id + "/" + scope + ", SignedHeaders=" + signed + ", Signature=" + signature},
	}
}

// tencentRefusals say what the beginnings of Tencent's codes mean; the first that
// fits counts.
//
// Tencent's page: "错误码" of SendSms.
var tencentRefusals = []struct {
	prefix string
	means  error
}{
	{"LimitExceeded", userpool.ErrSendLimited},
	{"FailedOperation.PhoneNumberInBlacklist", userpool.ErrRecipientRefused},
	{"InvalidParameterValue.IncorrectPhoneNumber", userpool.ErrRecipientRefused},
	{"UnsupportedOperation.UnsupportedRegion", userpool.ErrRecipientRefused},
	{"UnsupportedOperation.", userpool.ErrSenderSetup},
	{"AuthFailure", userpool.ErrSenderSetup},
	{"UnauthorizedOperation", userpool.ErrSenderSetup},
	{"InvalidParameter", userpool.ErrSenderSetup}, // and InvalidParameterValue
	{"MissingParameter", userpool.ErrSenderSetup},
	{"FailedOperation.", userpool.ErrSenderSetup}, // template, signature name, package
	{"ResourceInsufficient", userpool.ErrSenderSetup},
}

// judgeTencent returns what an answer means.
func judgeTencent(a answer) (again bool, err error) {
	var got struct {
		Response struct {
			Error         struct{ Code string }
			SendStatusSet []struct{ Code string }
		}
	}
	code := ""
	if json.Unmarshal(a.body, &got) == nil {
		code = got.Response.Error.Code
		if code == "" && len(got.Response.SendStatusSet) == 1 {
			code = got.Response.SendStatusSet[0].Code
		}
	}
	switch {
	case code == "":
		return false, refusal{means: userpool.ErrSendFailed, code: status(a.status), cause: errors.New("no answer of the SMS service")}
	case a.status == http.StatusOK && strings.EqualFold(code, "Ok"):
		return false, nil
	}
	r := refusal{means: userpool.ErrSendFailed, code: code}
	for _, row := range tencentRefusals {
		if strings.HasPrefix(code, row.prefix) {
			r.means = row.means
			break
		}
	}
	if r.means == userpool.ErrSendLimited {
		r.retryAfter = tencentWait(code)
	}
	return code == "RequestLimitExceeded" || strings.HasPrefix(code, "RequestLimitExceeded."), r
}

// tencentWait returns when the limit of that code ends, 0 if it does not say.
func tencentWait(code string) time.Duration {
	for part, wait := range map[string]time.Duration{"ThirtySecond": 30 * time.Second, "OneHour": time.Hour, "Daily": 24 * time.Hour} {
		if strings.Contains(code, part) {
			return wait
		}
	}
	return 0
}
