package bridge

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/ticket"
)

// returnedMessage stands in the app parameter and in the answer. It is fixed:
// nothing that a user typed may reach the string that the app splits by hand.
const returnedMessage = "授权成功"

// issue answers POST /oauth/app2wxapp/ticket/:userPoolId, contract section 4.1.
func (s *Server) issue(c echo.Context) error {
	ctx := audit.With(c.Request().Context(), audit.Actor{Role: audit.User, Addr: addr(c)})
	pool, err := s.pools.Pool(ctx, c.Param("userPoolId"))
	if err != nil {
		return err
	}
	c.Set(keyPool, pool.ID)

	var r ticket.Request
	var scene int // told by the mini program; nothing depends on it
	p := &r.Login.Profile
	if err := wire.Read(c.Request(), wire.Fields{
		"code":                  &r.Login.Code,
		"phoneCode":             &r.Login.PhoneCode,
		"code_challenge":        &r.Challenge,
		"code_challenge_method": &r.ChallengeMethod,
		"state":                 &r.State,
		"launch":                wire.Fields{"scene": &scene, "appId": &r.Login.SourceApp},
		"userInfo": wire.Fields{
			"nickName": &p.Nickname, "avatarUrl": &p.AvatarURL, "gender": &p.Gender, "language": &p.Language,
			"city": &p.City, "province": &p.Province, "country": &p.Country,
		},
	}); err != nil {
		return err
	}

	issued, err := s.tickets.Issue(ctx, pool, r)
	if err != nil {
		return err
	}

	a := answers.Get().(*answer)
	defer answers.Put(a)
	return wire.Blob(c, http.StatusOK, a.issued(issued, r.State))
}

// issued returns the answer to a ticket that was asked for with this state. It
// is the answer's memory.
func (a *answer) issued(t ticket.Issued, state string) []byte {
	user := object{b: a.inner[:0]}
	user.text("nickname", t.User.Profile.Nickname)
	user.text("photo", t.User.Profile.AvatarURL)
	if phone := t.User.Phone.Masked(); phone == "" {
		user.raw("phone", "null")
	} else {
		user.text("phone", phone)
	}
	a.inner = user.end()

	o := object{b: a.body[:0]}
	o.raw("code", "200")
	o.plain("message", returnedMessage)
	o.plain("ticket", t.Ticket)
	o.raw("expiresIn", strconv.Itoa(int(t.Life.Seconds())))
	o.plain("expiresAt", wire.Stamp(t.ExpiresAt))
	o.plain("appParameter", appParameter(t.Ticket, state))
	o.raw("user", "")
	o.b = append(o.b, a.inner...)
	a.body = o.end()
	return a.body
}

// appParameter returns what the launchApp button carries back. The clients of
// the field split it on "&" and "=" and decode nothing, so no value has either,
// no part is empty, and ticket and state need no escaping.
func appParameter(ticket, state string) string {
	s := "code=200&message=" + returnedMessage + "&ticket=" + ticket
	if state != "" {
		s += "&state=" + state
	}
	return s
}
