package sender

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"app2wxapp/userpool"
)

// aliyun sends by Aliyun SMS: SendSms of Dysmsapi 2017-05-25, signed with
// ACS3-HMAC-SHA256.
//
// A call is made again if no connection was had, or if Aliyun's gateway answered
// that it throttles, which it does before the SMS service sees the call.
type aliyun struct {
	*Service
	to userpool.AliyunSender
}

func (a aliyun) try(ctx context.Context, m message) (again bool, err error) {
	endpoint, err := url.Parse(a.to.Endpoint)
	if err != nil {
		return false, refusal{means: userpool.ErrSenderSetup, cause: errors.New("endpoint")}
	}
	param := map[string]string{a.to.CodeParam: m.Code}
	if a.to.MinutesParam != "" {
		param[a.to.MinutesParam] = m.minutes()
	}
	vars, err := json.Marshal(param)
	if err != nil {
		return false, err
	}
	template := a.to.TemplateCode
	// Numbers are written without a plus sign: the mainland's alone, others with
	// their country's.
	number, mainland := strings.CutPrefix(m.To, "+86")
	if !mainland {
		number, template = strings.TrimPrefix(m.To, "+"), a.to.TemplateCodeAbroad
	}
	// The parameters are in the query, where this API has them: it goes nowhere
	// but to Aliyun, and is in no error and no log of ours.
	call := aliyunCall{
		host: endpoint.Host, action: "SendSms", version: "2017-05-25", at: a.now(), nonce: userpool.NewID(a.now()),
		query: url.Values{"PhoneNumbers": {number}, "SignName": {a.to.SignName}, "TemplateCode": {template}, "TemplateParam": {string(vars)}},
	}
	endpoint.Path, endpoint.RawQuery = "/", call.canonicalQuery()
	got, reached, err := a.post(ctx, endpoint, call.sign(a.to.AccessKeyID, string(a.to.AccessKeySecret)), nil)
	if err != nil {
		var r refusal
		return !reached && errors.As(err, &r) && !errors.Is(r.means, userpool.ErrSenderSetup), err
	}
	return judgeAliyun(got)
}

// aliyunCall is a call without a body of an API in Aliyun's RPC style.
type aliyunCall struct {
	host, action, version string
	at                    time.Time
	nonce                 string
	query                 url.Values
}

// sign returns the call's header.
//
// Aliyun's page: "V3版本请求体&签名机制" (V3 request structure and signature).
func (c aliyunCall) sign(keyID, key string) http.Header {
	h := map[string]string{
		"host": c.host, "x-acs-action": c.action, "x-acs-version": c.version, "x-acs-signature-nonce": c.nonce,
		"x-acs-date": c.at.UTC().Format("2006-01-02T15:04:05Z"), "x-acs-content-sha256": sha256Hex(nil),
	}
	var names []string
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	canonical := "POST\n/\n" + c.canonicalQuery() + "\n"
	for _, name := range names {
		canonical += name + ":" + h[name] + "\n"
	}
	signed := strings.Join(names, ";")
	canonical += "\n" + signed + "\n" + h["x-acs-content-sha256"]
	const algorithm = "ACS3-HMAC-SHA256"
	signature := hex.EncodeToString(hmacSHA256([]byte(key), algorithm+"\n"+sha256Hex([]byte(canonical))))

	header := http.Header{}
	for _, name := range names[1:] { // host is the connection's
		header.Set(name, h[name])
	}
	header.Set("Authorization", algorithm+" Credential="+keyID+",SignedHeaders="+signed+",Signature="+signature)
	return header
}

// canonicalQuery is sorted, and escaped as RFC 3986 has it.
func (c aliyunCall) canonicalQuery() string {
	return strings.ReplaceAll(c.query.Encode(), "+", "%20")
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func hmacSHA256(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// aliyunRefusals say what Aliyun's codes mean; others that begin with isv. are
// the operator's to mend: keys, balance, signature name, template.
//
// Aliyun's page: "API错误码" of Short Message Service.
var aliyunRefusals = map[string]error{
	"isv.BUSINESS_LIMIT_CONTROL": userpool.ErrSendLimited, // of the number
	"isv.DAY_LIMIT_CONTROL":      userpool.ErrSendLimited, // of the account, as the operator set it
	"isv.MONTH_LIMIT_CONTROL":    userpool.ErrSendLimited,
	"isv.SMS_OVER_LIMIT":         userpool.ErrSendLimited,

	"isv.MOBILE_NUMBER_ILLEGAL":         userpool.ErrRecipientRefused,
	"isv.PHONE_NUMBER_ILLEGAL":          userpool.ErrRecipientRefused,
	"isv.DOMESTIC_NUMBER_NOT_SUPPORTED": userpool.ErrRecipientRefused,
	"isv.NOT_SUPPORTED_COUNTRY":         userpool.ErrRecipientRefused,
	"isv.COUNTRY_RESTRICTED":            userpool.ErrRecipientRefused,

	"isp.RAM_PERMISSION_DENY":       userpool.ErrSenderSetup,
	"SignatureDoesNotMatch":         userpool.ErrSenderSetup,
	"IncompleteSignature":           userpool.ErrSenderSetup,
	"InvalidTimeStamp.Expired":      userpool.ErrSenderSetup, // this machine's clock
	"InvalidAccessKeyId.NotFound":   userpool.ErrSenderSetup,
	"InvalidAccessKeyId.Inactive":   userpool.ErrSenderSetup,
	"NoPermission":                  userpool.ErrSenderSetup,
	"Forbidden.RAM":                 userpool.ErrSenderSetup,
	"Forbidden.AccessKeyDisabled":   userpool.ErrSenderSetup,
	"InvalidSecurityToken.Expired":  userpool.ErrSenderSetup,
	"InvalidAction.NotFound":        userpool.ErrSenderSetup,
	"InvalidAccountStatus.NotFound": userpool.ErrSenderSetup,
}

// judgeAliyun returns what an answer means.
func judgeAliyun(a answer) (again bool, err error) {
	var got struct{ Code, Message string }
	if json.Unmarshal(a.body, &got) != nil || got.Code == "" {
		return false, refusal{means: userpool.ErrSendFailed, code: status(a.status), cause: errors.New("no answer of the SMS service")}
	}
	if a.status == http.StatusOK && got.Code == "OK" {
		return false, nil
	}
	r := refusal{means: userpool.ErrSendFailed, code: got.Code}
	switch means := aliyunRefusals[got.Code]; {
	case means != nil:
		r.means = means
	case got.Code == "Throttling" || strings.HasPrefix(got.Code, "Throttling."):
		return true, r
	case strings.HasPrefix(got.Code, "isv.") || strings.HasPrefix(got.Code, "InvalidAccessKeyId") || strings.HasPrefix(got.Code, "Forbidden"):
		r.means = userpool.ErrSenderSetup
	}
	if r.means == userpool.ErrSendLimited {
		r.retryAfter = aliyunWait(got.Message)
	}
	return false, r
}

// aliyunWait returns when a limit ends that a message names, 0 if it names none:
// "触发小时级流控Permits:5".
func aliyunWait(message string) time.Duration {
	for unit, wait := range map[string]time.Duration{"分钟级": time.Minute, "小时级": time.Hour, "天级": 24 * time.Hour} {
		if strings.Contains(message, unit) {
			return wait
		}
	}
	return 0
}
