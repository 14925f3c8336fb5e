package bridge

import (
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

	issued, err := s.tickets.Issue(ctx, pool, r)
	if err != nil {
		return err
	}

	type user struct {
		Nickname string  `json:"nickname"`
		Photo    string  `json:"photo"`
		Phone    *string `json:"phone"` // masked; null if there is none
	}
	return wire.OK(c, struct {
		Code         int    `json:"code"`
		Message      string `json:"message"`
		Ticket       string `json:"ticket"`
		ExpiresIn    int    `json:"expiresIn"`
		ExpiresAt    string `json:"expiresAt"`
		AppParameter string `json:"appParameter"`
		User         user   `json:"user"`
	}{
		200, returnedMessage, issued.Ticket, int(issued.Life.Seconds()), wire.Stamp(issued.ExpiresAt),
		appParameter(issued.Ticket, r.State),
		user{issued.User.Profile.Nickname, issued.User.Profile.AvatarURL, orNull(issued.User.Phone.Masked())},
	})
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

// orNull returns nil for an empty text.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
