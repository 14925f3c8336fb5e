package bridge

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/quote"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// returnedMessage stands in the app parameter and in the answer. It is fixed:
// nothing that a user typed may reach the string that the app splits by hand.
const returnedMessage = "授权成功"

// issue answers POST /oauth/app2wxapp/ticket/:userPoolId, contract section 4.1.
func (s *Server) issue(c echo.Context) error {
	ctx := audit.With(c.Request().Context(), audit.Actor{Role: audit.User, Addr: wire.Addr(c)})
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

	r.Login.Finishable, r.Login.Addr = true, wire.Addr(c)
	issued, err := s.tickets.Issue(ctx, pool, r)
	if begun := (*userpool.UnfinishedError)(nil); errors.As(err, &begun) {
		return wire.OK(c, unfinishedOf(begun, c.Request()))
	}
	if err != nil {
		return err
	}
	return s.answerIssued(c, issued, r.State)
}

// answerIssued answers with a ticket that was asked for with this state.
func (s *Server) answerIssued(c echo.Context, issued ticket.Issued, state string) error {
	a := answers.Get().(*answer)
	defer answers.Put(a)
	return wire.Blob(c, http.StatusOK, a.issued(issued, state))
}

// issued returns the answer to a ticket that was asked for with this state. It
// is the answer's memory.
func (a *answer) issued(t ticket.Issued, state string) []byte {
	b := a.body[:0]
	raw := func(text string) { b = append(b, text...) }
	text := func(before, value string) { b = quote.Append(append(b, before...), value) }

	raw(`{"code":200,"message":"` + returnedMessage + `","ticket":"`)
	raw(t.Ticket)
	raw(`","expiresIn":`)
	b = strconv.AppendInt(b, int64(t.Life.Seconds()), 10)
	raw(`,"expiresAt":"`)
	b = wire.AppendStamp(b, t.ExpiresAt)
	raw(`","appParameter":"`)
	raw(appParameter(t.Ticket, state))
	text(`","user":{"nickname":`, t.User.Profile.Nickname)
	text(`,"photo":`, t.User.Profile.AvatarURL)
	if phone := t.User.Phone.Masked(); phone == "" {
		raw(`,"phone":null}}`)
	} else {
		text(`,"phone":`, phone)
		raw("}}")
	}
	a.body = b
	return b
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
