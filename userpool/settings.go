package userpool

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of a pool's settings.
const (
	MinTicketTTL = 10 * time.Second
	MaxTicketTTL = 600 * time.Second
	MinTokenTTL  = time.Minute
	MaxTokenTTL  = 10 * 365 * 24 * time.Hour

	MinSessionTokenTTL = 5 * time.Minute
	MaxSessionTokenTTL = 365 * 24 * time.Hour

	maxName        = 100
	maxAllowedApps = 200
	maxCredential  = 128
	minJWTSecret   = 32 // bytes: RFC 7518 §3.2 for HS256
)

// Validate returns an *InvalidError for the first setting that cannot be, under
// its name on the wire.
func (s Settings) Validate() error {
	switch {
	case strings.TrimSpace(s.Name) == "" || utf8.RuneCountInString(s.Name) > maxName || hasControl(s.Name):
		return Invalid("name", "must be 1 to 100 characters", "必须为 1 到 100 个字符")
	case !validCredential(s.AppID):
		return Invalid("appId", "must be the mini program's AppID, such as wx0123456789abcdef", "必须为小程序的 AppID，例如 wx0123456789abcdef")
	case !validCredential(string(s.AppSecret)):
		return Invalid("appSecret", "must be the mini program's AppSecret", "必须为小程序的 AppSecret")
	case s.TicketTTL != 0 && (s.TicketTTL < MinTicketTTL || s.TicketTTL > MaxTicketTTL):
		return Invalid("ticketTTL", "must be 10 to 600 (seconds)", "必须在 10 到 600 之间（秒）")
	case s.TokenTTL != 0 && (s.TokenTTL < MinTokenTTL || s.TokenTTL > MaxTokenTTL):
		return Invalid("tokenTTL", "must be 60 to 315360000 (seconds)", "必须在 60 到 315360000 之间（秒）")
	case s.SessionTokenTTL != 0 && (s.SessionTokenTTL < MinSessionTokenTTL || s.SessionTokenTTL > MaxSessionTokenTTL):
		return Invalid("sessionTokenTTL", "must be 300 to 31536000 (seconds)", "必须在 300 到 31536000 之间（秒）")
	case len(s.AllowedApps) > maxAllowedApps:
		return Invalid("allowedApps", "must have at most 200 entries", "最多 200 项")
	}
	switch s.TokenAlg {
	case "", "HS256", "RS256", "ES256", "EdDSA":
	default:
		return Invalid("tokenAlg", `must be "HS256", "RS256", "ES256" or "EdDSA"`, `必须为 "HS256"、"RS256"、"ES256" 或 "EdDSA"`)
	}
	switch s.Signup {
	case SignupOpen, SignupClosed, SignupBind:
	default:
		return Invalid("signup", `must be "open", "closed" or "bind"`, `必须为 "open"、"closed" 或 "bind"`)
	}
	switch s.MFA {
	case MFAOff, MFAEnrolled, MFARequired:
	default:
		return Invalid("mfa", `must be "off", "enrolled" or "required"`, `必须为 "off"、"enrolled" 或 "required"`)
	}
	for _, of := range []struct {
		name string
		ways []Way
	}{{"bindWays", s.BindWays}, {"loginWays", s.LoginWays}} {
		for i, w := range of.ways {
			if !slices.Contains(ways, w) || slices.Contains(of.ways[:i], w) {
				return Invalid(fmt.Sprintf("%s[%d]", of.name, i), `must be "wechatPhone", "smsCode", "emailCode" or "password", each once`, `必须为 "wechatPhone"、"smsCode"、"emailCode" 或 "password"，不能重复`)
			}
		}
	}
	for i, app := range s.AllowedApps {
		if !validCredential(app) {
			return Invalid(fmt.Sprintf("allowedApps[%d]", i), "must be an AppID", "必须为 AppID")
		}
	}
	for _, c := range Channels {
		if err := s.Sender(c).validate(c); err != nil {
			return err
		}
	}
	return nil
}

// changed returns the names on the wire of the settings that differ in to.
func (s Settings) changed(to Settings) (names []string) {
	for _, of := range []struct {
		name string
		same bool
	}{
		{"name", s.Name == to.Name}, {"appId", s.AppID == to.AppID}, {"appSecret", s.AppSecret == to.AppSecret},
		{"secretRequired", s.SecretOptional == to.SecretOptional}, {"ticketTTL", s.TicketLife() == to.TicketLife()},
		{"pkceRequired", s.PKCERequired == to.PKCERequired}, {"responseFormat", s.Envelope == to.Envelope},
		{"revokeOnReplay", s.KeepOnReplay == to.KeepOnReplay}, {"tokenTTL", s.TokenLife() == to.TokenLife()},
		{"tokenAlg", s.Alg() == to.Alg()}, {"signup", s.Signup == to.Signup}, {"matchPhone", s.MatchPhone == to.MatchPhone},
		{"phoneRequired", s.PhoneRequired == to.PhoneRequired}, {"allowedApps", slices.Equal(s.AllowedApps, to.AllowedApps)},
		{"mfa", s.MFA == to.MFA},
		{"bindWays", slices.Equal(s.BindWays, to.BindWays)}, {"bindRegister", s.BindOnly == to.BindOnly},
		{"loginWays", slices.Equal(s.LoginWays, to.LoginWays)}, {"sessionTokenTTL", s.SessionTokenLife() == to.SessionTokenLife()},
		{"senders.sms", s.SMS == to.SMS}, {"senders.email", s.Email == to.Email},
		{"sessionTokenSliding", s.SessionTokenSliding == to.SessionTokenSliding},
		{"captcha", s.NoCaptcha == to.NoCaptcha},
	} {
		if !of.same {
			names = append(names, of.name)
		}
	}
	return names
}

// validCredential tells whether s can be an AppID or AppSecret: WeChat has
// published no form, so printable ASCII without spaces.
func validCredential(s string) bool {
	if s == "" || len(s) > maxCredential {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

func hasControl(s string) bool {
	for _, r := range s {
		if r < ' ' || 0x7f <= r && r < 0xa0 {
			return true
		}
	}
	return false
}
