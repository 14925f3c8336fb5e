package sandbox

import "net/http"

// login answers jscode2session. The order of checks is inferred, and so is that
// the code is spent before the answer is written.
//
// WeChat's page: api_code2session.
func (s *Server) login(c call) answer {
	no := func(code int, msg string) answer { return refuse(Login, c.now, code, msg) }
	q := c.query

	if c.method != http.MethodGet {
		return no(43001, "require GET method")
	}
	if q.Get("grant_type") != "authorization_code" {
		return no(40002, "invalid grant_type")
	}
	if q.Get("appid") == "" {
		return no(41002, "appid missing")
	}
	a, known := s.app(q.Get("appid"))
	if !known {
		return no(40013, "invalid appid")
	}
	if q.Get("secret") == "" {
		return no(41004, "appsecret missing")
	}
	if q.Get("secret") != a.Secret {
		return no(40125, "invalid appsecret")
	}
	if q.Get("js_code") == "" {
		return no(41008, "missing code")
	}
	refused, reason := 40029, "invalid code"
	var spent code
	s.codes.with(q.Get("js_code"), func(k *code) {
		switch {
		case k.kind != Login || k.appID != a.ID || k.over(c.now):
		case k.used:
			refused, reason = 40163, "code been used"
		default:
			k.used = true
			refused, spent = 0, *k
		}
	})
	if refused != 0 {
		return no(refused, reason)
	}

	var session struct {
		SessionKey []byte `json:"session_key"` // base64, as []byte is
		OpenID     string `json:"openid"`
		UnionID    string `json:"unionid,omitempty"`
	}
	session.SessionKey = spent.sessionKey[:]
	session.OpenID = OpenID(a.ID, spent.user)
	if a.Platform != "" {
		session.UnionID = UnionID(a.Platform, spent.user)
	}
	return ok(session)
}
