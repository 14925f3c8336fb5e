package bridge

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// sent is the answer to a code that was sent.
type sent struct {
	Code      int    `json:"code"`
	Message   string `json:"message"`
	ExpiresIn int    `json:"expiresIn"` // seconds
}

// sendCode answers POST /oauth/app2wxapp/ticket/:userPoolId/code: it sends a code by
// which a sign-in can be finished.
func (s *Server) sendCode(c echo.Context) error {
	from := wire.Addr(c)
	ctx := audit.With(c.Request().Context(), audit.Actor{Role: audit.User, Addr: from})
	pool, err := s.pools.Pool(ctx, c.Param("userPoolId"))
	if err != nil {
		return err
	}
	c.Set(keyPool, pool.ID)

	code := userpool.SendCode{Addr: from, English: wire.English(c.Request())}
	var way, phone, email string
	if err := wire.Read(c.Request(), wire.Fields{"stateToken": &code.State, "way": &way, "phone": &phone, "email": &email}); err != nil {
		return err
	}
	code.Way = userpool.Way(way)
	switch {
	case code.State == "":
		return userpool.Invalid("stateToken", "is required", "必填")
	case code.Way == userpool.WaySMSCode && email == "":
		code.To = phone
	case code.Way == userpool.WayEmailCode && phone == "":
		code.To = email
	case code.Way == userpool.WaySMSCode:
		return userpool.Invalid("email", `must not come with way "smsCode"`, `不能与 way "smsCode" 同时给出`)
	case code.Way == userpool.WayEmailCode:
		return userpool.Invalid("phone", `must not come with way "emailCode"`, `不能与 way "emailCode" 同时给出`)
	default:
		return userpool.Invalid("way", `must be "smsCode" or "emailCode"`, `必须为 "smsCode" 或 "emailCode"`)
	}
	if err := s.pools.SendCode(ctx, pool, code); err != nil {
		return err
	}
	out := sent{Code: http.StatusOK, Message: "验证码已发送", ExpiresIn: int(userpool.CodeLife.Seconds())}
	if code.English {
		out.Message = "the code is on its way"
	}
	return wire.OK(c, out)
}
