package userpool

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Provider is who takes a code and brings it to its recipient.
type Provider string

// The providers that there are, each with its channels.
const (
	ProviderNone    Provider = ""        // nothing can be sent
	ProviderWebhook Provider = "webhook" // the operator's own service; both channels
	ProviderAliyun  Provider = "aliyun"  // Aliyun SMS
	ProviderTencent Provider = "tencent" // Tencent Cloud SMS
	ProviderSMTP    Provider = "smtp"    // a mail server
)

// Sender says what a channel's codes go out by; the zero value is nothing. Of the
// members that follow Provider only that one's count.
type Sender struct {
	Provider Provider
	Webhook  WebhookSender
	Aliyun   AliyunSender
	Tencent  TencentSender
	SMTP     SMTPSender
}

// WebhookSender is an operator's own service. It may stand anywhere that this
// program can reach, also in a private network: who sets it has the admin token.
type WebhookSender struct {
	URL       string // https, or http on loopback
	Secret    Secret // of the signature: "whsec_" and base64 of 24 to 64 bytes
	AllowHTTP bool   // http to other hosts, too: codes and numbers go in the clear
}

// AliyunSender is an account at Aliyun SMS.
type AliyunSender struct {
	AccessKeyID        string
	AccessKeySecret    Secret
	SignName           string
	TemplateCode       string
	TemplateCodeAbroad string // for numbers outside mainland China; "" for the same
	CodeParam          string // the template's variable for the code
	MinutesParam       string // that for its life in minutes; "" for none
	Endpoint           string // scheme and host
}

// TencentSender is an account at Tencent Cloud SMS.
type TencentSender struct {
	SecretID         string
	SecretKey        Secret
	SDKAppID         string
	SignName         string
	TemplateID       string
	TemplateIDAbroad string // for numbers outside mainland China; "" for the same
	TemplateParams   string // the template's variables in order, with commas: "code" and "minutes"
	Region           string
	Endpoint         string // scheme and host
}

// SMTPSender is an account at a mail server.
type SMTPSender struct {
	Host     string
	Port     int
	TLS      SMTPTLS // how the connection is secured
	Username string  // "" for a server that asks for none
	Password Secret
	From     string // the address that codes come from
	FromName string // what stands beside it, "" for nothing
}

// SMTPTLS is how a connection to a mail server is secured.
type SMTPTLS string

const (
	SMTPStartTLS SMTPTLS = "starttls" // STARTTLS, and nothing is sent without; also ""
	SMTPImplicit SMTPTLS = "implicit" // TLS from the first byte
	SMTPPlain    SMTPTLS = "none"     // none: codes go in the clear
)

// WithDefaults returns the sender with what its empty settings mean.
func (s Sender) WithDefaults() Sender {
	or := func(text *string, def string) { *text = cmp.Or(*text, def) }
	switch s.Provider {
	case ProviderAliyun:
		or(&s.Aliyun.CodeParam, "code")
		or(&s.Aliyun.Endpoint, "https://dysmsapi.aliyuncs.com")
		or(&s.Aliyun.TemplateCodeAbroad, s.Aliyun.TemplateCode)
	case ProviderTencent:
		or(&s.Tencent.TemplateParams, "code")
		or(&s.Tencent.Region, "ap-guangzhou")
		or(&s.Tencent.Endpoint, "https://sms.tencentcloudapi.com")
		or(&s.Tencent.TemplateIDAbroad, s.Tencent.TemplateID)
	case ProviderSMTP:
		s.SMTP.TLS = cmp.Or(s.SMTP.TLS, SMTPStartTLS)
		port := 587
		if s.SMTP.TLS == SMTPImplicit {
			port = 465
		}
		s.SMTP.Port = cmp.Or(s.SMTP.Port, port)
	}
	return s
}

// Sender returns what the channel's codes go out by.
func (s Settings) Sender(c Channel) Sender {
	switch c {
	case ChannelSMS:
		return s.SMS
	case ChannelEmail:
		return s.Email
	}
	return Sender{}
}

// SetSender sets what the channel's codes go out by.
func (s *Settings) SetSender(c Channel, to Sender) {
	switch c {
	case ChannelSMS:
		s.SMS = to
	case ChannelEmail:
		s.Email = to
	}
}

// Providers returns those of a channel.
func Providers(c Channel) []Provider {
	if c == ChannelEmail {
		return []Provider{ProviderSMTP, ProviderWebhook}
	}
	return []Provider{ProviderAliyun, ProviderTencent, ProviderWebhook}
}

// SenderOption is a setting of a Sender under its name on the wire.
type SenderOption struct {
	Name  string
	Value any // *string, *Secret, *bool, *int or *SMTPTLS, in the Sender
}

// Options returns the settings of the sender's provider, in the order that people
// read them in. What is set through them is set in the sender. It is the one
// table of them: the admin API and the stores go by it.
func (s *Sender) Options() []SenderOption {
	switch s.Provider {
	case ProviderWebhook:
		w := &s.Webhook
		return []SenderOption{{"url", &w.URL}, {"secret", &w.Secret}, {"allowHTTP", &w.AllowHTTP}}
	case ProviderAliyun:
		a := &s.Aliyun
		return []SenderOption{
			{"accessKeyId", &a.AccessKeyID}, {"accessKeySecret", &a.AccessKeySecret}, {"signName", &a.SignName},
			{"templateCode", &a.TemplateCode}, {"templateCodeAbroad", &a.TemplateCodeAbroad},
			{"codeParam", &a.CodeParam}, {"minutesParam", &a.MinutesParam}, {"endpoint", &a.Endpoint},
		}
	case ProviderTencent:
		t := &s.Tencent
		return []SenderOption{
			{"secretId", &t.SecretID}, {"secretKey", &t.SecretKey}, {"sdkAppId", &t.SDKAppID}, {"signName", &t.SignName},
			{"templateId", &t.TemplateID}, {"templateIdAbroad", &t.TemplateIDAbroad}, {"templateParams", &t.TemplateParams},
			{"region", &t.Region}, {"endpoint", &t.Endpoint},
		}
	case ProviderSMTP:
		m := &s.SMTP
		return []SenderOption{
			{"host", &m.Host}, {"port", &m.Port}, {"tls", &m.TLS}, {"username", &m.Username}, {"password", &m.Password},
			{"from", &m.From}, {"fromName", &m.FromName},
		}
	}
	return nil
}

// Limits of a sender's settings.
const (
	maxSenderURL  = 2048
	maxSenderText = 256
)

// validate returns an *InvalidError for the first setting of the channel's sender
// that cannot be, under its name on the wire.
func (s Sender) validate(c Channel) error {
	if s.Provider == ProviderNone {
		return nil
	}
	at := "senders." + string(c) + "."
	if !slices.Contains(Providers(c), s.Provider) {
		if c == ChannelEmail {
			return Invalid(at+"provider", `must be "smtp" or "webhook"`, `必须为 "smtp" 或 "webhook"`)
		}
		return Invalid(at+"provider", `must be "aliyun", "tencent" or "webhook"`, `必须为 "aliyun"、"tencent" 或 "webhook"`)
	}
	for _, o := range s.Options() {
		text, limit := "", maxSenderText
		switch v := o.Value.(type) {
		case *string:
			text = *v
		case *Secret:
			text = string(*v)
		}
		if o.Name == "url" {
			limit = maxSenderURL
		}
		if len(text) > limit || hasControl(text) || !utf8.ValidString(text) {
			return Invalid(at+o.Name, fmt.Sprintf("must be at most %d bytes without control characters", limit), fmt.Sprintf("最多 %d 字节，不能含控制字符", limit))
		}
	}
	switch s.Provider {
	case ProviderWebhook:
		return s.Webhook.validate(at)
	case ProviderAliyun:
		return s.Aliyun.validate(at)
	case ProviderTencent:
		return s.Tencent.validate(at)
	}
	return s.SMTP.validate(at)
}

// required returns an *InvalidError for the first setting that is not given. The
// texts are pairs of name and value.
func required(at string, pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if strings.TrimSpace(pairs[i+1]) == "" {
			return Invalid(at+pairs[i], "is required", "必填")
		}
	}
	return nil
}

// Key returns the key of the signature, and whether Secret has one.
func (w WebhookSender) Key() ([]byte, bool) {
	text, ok := strings.CutPrefix(string(w.Secret), "whsec_")
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	return key, ok && err == nil && 24 <= len(key) && len(key) <= 64
}

func (w WebhookSender) validate(at string) error {
	if err := required(at, "url", w.URL, "secret", string(w.Secret)); err != nil {
		return err
	}
	if !validEndpoint(w.URL, w.AllowHTTP) {
		return Invalid(at+"url", "must be an https URL without user and fragment; http only on loopback or with allowHTTP", "必须为不含用户名和片段的 https 地址；http 只能用于本机或设 allowHTTP")
	}
	if _, ok := w.Key(); !ok {
		return Invalid(at+"secret", `must be "whsec_" and base64 of 24 to 64 random bytes: echo whsec_$(openssl rand -base64 32)`, `必须为 "whsec_" 加 24 到 64 个随机字节的 base64：echo whsec_$(openssl rand -base64 32)`)
	}
	return nil
}

func (a AliyunSender) validate(at string) error {
	if err := required(at, "accessKeyId", a.AccessKeyID, "accessKeySecret", string(a.AccessKeySecret), "signName", a.SignName, "templateCode", a.TemplateCode); err != nil {
		return err
	}
	if !validCredential(a.AccessKeyID) {
		return Invalid(at+"accessKeyId", "must be an AccessKey ID", "必须为 AccessKey ID")
	}
	if cmp.Or(a.CodeParam, "code") == a.MinutesParam {
		return Invalid(at+"minutesParam", "must be another variable than codeParam", "不能与 codeParam 相同")
	}
	return validateEndpoint(at, a.Endpoint)
}

func (t TencentSender) validate(at string) error {
	if err := required(at, "secretId", t.SecretID, "secretKey", string(t.SecretKey), "sdkAppId", t.SDKAppID, "signName", t.SignName, "templateId", t.TemplateID); err != nil {
		return err
	}
	if !validCredential(t.SecretID) {
		return Invalid(at+"secretId", "must be a SecretId", "必须为 SecretId")
	}
	switch t.TemplateParams {
	case "", "code", "code,minutes", "minutes,code":
	default:
		return Invalid(at+"templateParams", `must be "code", "code,minutes" or "minutes,code"`, `必须为 "code"、"code,minutes" 或 "minutes,code"`)
	}
	if t.Region != "" && !validCredential(t.Region) {
		return Invalid(at+"region", "must be a region, such as ap-guangzhou", "必须为地域，例如 ap-guangzhou")
	}
	return validateEndpoint(at, t.Endpoint)
}

func (m SMTPSender) validate(at string) error {
	if err := required(at, "host", m.Host, "from", m.From); err != nil {
		return err
	}
	if !validHost(m.Host) {
		return Invalid(at+"host", "must be a host name or an address, without a port", "必须为主机名或 IP 地址，不含端口")
	}
	if m.Port < 0 || m.Port > 65535 {
		return Invalid(at+"port", "must be 1 to 65535", "必须在 1 到 65535 之间")
	}
	switch m.TLS {
	case "", SMTPStartTLS, SMTPImplicit, SMTPPlain:
	default:
		return Invalid(at+"tls", `must be "starttls", "implicit" or "none"`, `必须为 "starttls"、"implicit" 或 "none"`)
	}
	if (m.Username == "") != (m.Password == "") {
		return Invalid(at+"password", "must be given together with username", "必须与 username 同时给出")
	}
	if m.Username != "" && m.TLS == SMTPPlain && !Loopback(m.Host) {
		return Invalid(at+"tls", "must not be none where a password is sent to another host", "向其他主机发送密码时不能为 none")
	}
	if _, ok := ParseEmail(m.From); !ok {
		return Invalid(at+"from", "must be an e-mail address alone, such as no-reply@example.com", "必须为单独的邮箱地址，例如 no-reply@example.com")
	}
	return nil
}

func validateEndpoint(at, endpoint string) error {
	if endpoint == "" {
		return nil
	}
	if u, err := url.Parse(endpoint); err != nil || !validEndpoint(endpoint, false) || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return Invalid(at+"endpoint", "must be https:// and a host, without a path; http only on loopback", "必须为 https:// 加主机名，不含路径；http 只能用于本机")
	}
	return nil
}

// validEndpoint tells whether codes may be sent to that URL.
func validEndpoint(text string, anyHTTP bool) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" || u.User != nil || u.Fragment != "" || !validHost(u.Hostname()) {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && (anyHTTP || Loopback(u.Hostname()))
}

// validHost tells whether text can be a host's name or address.
func validHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	return text != "" && len(text) <= 253 && strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}

// Loopback tells whether the host's name or address is this machine itself.
func Loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
