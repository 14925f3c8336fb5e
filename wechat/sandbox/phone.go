package sandbox

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// phone answers getuserphonenumber. A rejected access token leaves the code as
// it is.
//
// WeChat's page: api_getphonenumber.
func (s *Server) phone(c call) answer {
	no := func(code int, msg string) answer { return refuse(Phone, c.now, code, msg) }

	if c.method != http.MethodPost {
		return no(43002, "require POST method")
	}
	appID, errcode := s.tokenOwner(c.query.Get("access_token"), c.now)
	if errcode != 0 {
		return no(errcode, tokenMessages[errcode])
	}
	if len(c.body) == 0 {
		return no(44002, "empty post data")
	}
	var req struct {
		Code   string `json:"code"`
		OpenID string `json:"openid"`
	}
	if json.Unmarshal(c.body, &req) != nil {
		return no(47001, "data format error")
	}

	refused, reason := 40029, "invalid code hint: [Ab3dE5gH-xYz12]"
	var spent code
	s.codes.with(req.Code, func(k *code) {
		switch {
		case k.kind != Phone || k.used || k.over(c.now):
		case k.appID != appID:
			refused, reason = 40013, "invalid appid"
		case req.OpenID != "" && req.OpenID != OpenID(k.appID, k.user):
			refused = s.cfg.OpenIDMismatch
		default:
			k.used = true
			refused, spent = 0, *k
		}
	})
	if refused != 0 {
		return no(refused, reason)
	}
	return ok(phoneAnswer(spent, c.failure))
}

// tokenMessages are the errmsgs of a missing or rejected access token.
var tokenMessages = map[int]string{
	40001: "invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r",
	40014: "invalid access_token",
	41001: "access_token missing",
	42001: "access_token expired",
}

type watermark struct {
	Timestamp int64  `json:"timestamp"`
	AppID     string `json:"appid"`
}

type phoneInfo struct {
	PhoneNumber     string    `json:"phoneNumber"`
	PurePhoneNumber string    `json:"purePhoneNumber"`
	CountryCode     any       `json:"countryCode"` // declared as string, shown as number
	Watermark       watermark `json:"watermark"`
}

// phoneAnswer returns the answer to a spent code, in the way that the failure
// asks for if it is one of those that only change how a number is written.
func phoneAnswer(k code, f Failure) any {
	return struct {
		Code int       `json:"errcode"`
		Msg  string    `json:"errmsg"`
		Info phoneInfo `json:"phone_info"`
	}{0, "ok", newPhoneInfo(k, f)}
}

func newPhoneInfo(k code, f Failure) phoneInfo {
	country, pure := splitPhone(k.phone)
	p := phoneInfo{
		PhoneNumber:     pure,
		PurePhoneNumber: pure,
		CountryCode:     country,
		Watermark:       watermark{k.madeAt.Unix(), k.appID},
	}
	if country != "86" {
		p.PhoneNumber = "+" + country + pure
	}
	switch f {
	case CountryNumber:
		p.CountryCode = json.RawMessage(country)
	case CountryEmpty:
		p.CountryCode = ""
	case CountryPlus:
		p.CountryCode = "+" + country
	case WatermarkApp:
		p.Watermark.AppID = "wxffffffffffffffff"
	case WatermarkOld:
		p.Watermark.Timestamp = k.madeAt.Add(-CodeLife - time.Minute).Unix()
	}
	return p
}

// splitPhone returns the calling code and the rest of a number in E.164, or 86
// and the whole of another one.
func splitPhone(phone string) (country, pure string) {
	e164, found := strings.CutPrefix(phone, "+")
	if !found {
		return "86", phone
	}
	n := min(3, len(e164))
	switch {
	case strings.HasPrefix(e164, "1"), strings.HasPrefix(e164, "7"):
		n = 1
	case len(e164) >= 2 && slices.Contains(twoDigitCodes, e164[:2]):
		n = 2
	}
	return e164[:n], e164[n:]
}

// twoDigitCodes are the calling codes of two digits in ITU-T E.164; 1 and 7
// have one, all others three.
var twoDigitCodes = strings.Fields("20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 " +
	"60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98")
