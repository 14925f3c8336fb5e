package bridge

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// The two answers to an unknown user of a pool with signup "bind", by the names
// that BambooCloud has for them.
const (
	statusRegister = "USER_REGISTER" // may register, or bind an account
	statusBind     = "SOCIAL_BIND"   // only an account that exists
	statusMFA      = "MFA_AUTH"      // known, and a second factor is missing
)

// codeUnfinished is neither an error's code nor 200: there is no ticket yet.
const codeUnfinished = 202

// unfinished is the answer to a sign-in that is to be finished. It has no
// appParameter: the app takes that for a ticket.
type unfinished struct {
	Code       int            `json:"code"`
	Message    string         `json:"message"`
	Status     string         `json:"status"`
	StateToken string         `json:"stateToken"`
	ExpiresIn  int            `json:"expiresIn"` // seconds
	ExpiresAt  string         `json:"expiresAt"`
	Ways       []userpool.Way `json:"ways"`
}

func unfinishedOf(u *userpool.UnfinishedError, r *http.Request) unfinished {
	out := unfinished{
		Code: codeUnfinished, Status: statusBind, Message: "请绑定已有账号",
		StateToken: string(u.State), ExpiresIn: int(u.Life.Seconds()), ExpiresAt: wire.Stamp(u.ExpiresAt), Ways: u.Ways,
	}
	english := wire.English(r)
	switch {
	case u.MFA && english:
		out.Status, out.Message = statusMFA, "enter the code of your authenticator app"
	case u.MFA:
		out.Status, out.Message = statusMFA, "请输入验证器中的动态码"
	case u.MayRegister && english:
		out.Status, out.Message = statusRegister, "bind an account or register"
	case u.MayRegister:
		out.Status, out.Message = statusRegister, "请绑定已有账号或注册"
	case english:
		out.Message = "bind an existing account"
	}
	return out
}

// bind answers POST /oauth/app2wxapp/ticket/:userPoolId/bind: it finishes a
// sign-in and answers as issue does.
func (s *Server) bind(c echo.Context) error {
	from := wire.Addr(c)
	ctx := audit.With(c.Request().Context(), audit.Actor{Role: audit.User, Addr: from})
	pool, err := s.pools.Pool(ctx, c.Param("userPoolId"))
	if err != nil {
		return err
	}
	c.Set(keyPool, pool.ID)

	f := ticket.Finish{Addr: from}
	var given proofs
	if err := wire.Read(c.Request(), wire.Fields{
		"stateToken":            &f.StateToken,
		"phoneCode":             &given.phoneCode,
		"phone":                 &given.phone,
		"smsCode":               &given.smsCode,
		"email":                 &given.email,
		"emailCode":             &given.emailCode,
		"username":              &given.username,
		"password":              &given.password,
		"totp":                  &given.totp,
		"code_challenge":        &f.Challenge,
		"code_challenge_method": &f.ChallengeMethod,
		"state":                 &f.State,
	}); err != nil {
		return err
	}
	if f.Proof, err = s.proof(given, from); err != nil {
		return err
	}
	issued, err := s.tickets.Finish(ctx, pool, f)
	if begun := (*userpool.UnfinishedError)(nil); errors.As(err, &begun) {
		return wire.OK(c, unfinishedOf(begun, c.Request()))
	}
	if err != nil {
		return err
	}
	return s.answerIssued(c, issued, f.State)
}

// proofs are the members by which a caller shows whose account it is: those of
// one way.
type proofs struct {
	phoneCode          string
	phone, smsCode     string
	email, emailCode   string
	username, password string
	totp               string
}

// proof returns the proof of the way whose members were given.
func (s *Server) proof(given proofs, from netip.Addr) (userpool.Proof, error) {
	var found []userpool.Proof
	if given.phoneCode != "" {
		found = append(found, s.pools.WeChatPhone(given.phoneCode))
	}
	if given.phone != "" || given.smsCode != "" {
		found = append(found, s.pools.SMSCode(given.phone, given.smsCode))
	}
	if given.email != "" || given.emailCode != "" {
		found = append(found, s.pools.EmailCode(given.email, given.emailCode))
	}
	if given.username != "" || given.password != "" {
		found = append(found, s.pools.Password(given.username, given.password, from))
	}
	if given.totp != "" {
		found = append(found, s.pools.TOTP(given.totp))
	}
	switch len(found) {
	case 0:
		return s.pools.WeChatPhone(""), nil // which says what is missing
	case 1:
		return found[0], nil
	}
	return nil, userpool.Invalid("body", "must have the members of one way: phoneCode; phone and smsCode; email and emailCode; username and password; or totp",
		"只能给出一种方式的字段：phoneCode；phone 和 smsCode；email 和 emailCode；username 和 password；或 totp")
}
