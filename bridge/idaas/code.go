package idaas

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// errNotSent is around what would be ACCESS_DENIED elsewhere: an answer 200 to
// this call says that a code was sent.
var errNotSent = errors.New("idaas: no code is sent here")

// types are those of codes by which something can be done here, with what each
// goes by.
var types = map[string]userpool.Way{
	"REGISTER_SMS": userpool.WaySMSCode, "BIND_MOBILE_SMS": userpool.WaySMSCode, "BIND_EMAIL_EMS": userpool.WayEmailCode,
}

// SendCode answers POST /api/v2/sdk/sms/send: it sends a code by which a sign-in
// can be finished, of X-state-token alone if that is sent along.
func (a *API) SendCode(c echo.Context) error {
	pool, err := a.client(c)
	if err != nil {
		return err
	}
	var number, address, kind, solved string
	if err := read(c, map[string]*string{"mobile": &number, "email": &address, "type": &kind, "captcha_token": &solved}); err != nil {
		return err
	}
	to, way, err := receiver(number, address)
	if err != nil {
		return err
	}
	if types[kind] != way {
		return userpool.Invalid("type", "must be REGISTER_SMS or BIND_MOBILE_SMS with mobile, BIND_EMAIL_EMS with email",
			"必须为 REGISTER_SMS、BIND_MOBILE_SMS（mobile）或 BIND_EMAIL_EMS（email）")
	}
	ctx := c.Request().Context()
	err = a.guarded(c, func() error {
		if !pool.NoCaptcha {
			if err := a.captcha.Spend(ctx, pool, solved, to); err != nil {
				return err
			}
		}
		return a.pools.SendCode(ctx, pool, userpool.SendCode{
			Way: way, To: to, State: header(c, "X-state-token"), Addr: wire.Addr(c), English: english(c.Request()),
		})
	})
	for _, d := range denied {
		if errors.Is(err, d) {
			return fmt.Errorf("%w: %w", errNotSent, err)
		}
	}
	if err != nil {
		return wire.Spelt(err, members)
	}
	return c.NoContent(http.StatusOK)
}
