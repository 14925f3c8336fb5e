package idaas

import (
	"cmp"
	"errors"

	"github.com/labstack/echo/v4"

	"app2wxapp/userpool"
)

// BindByPhone answers POST /api/v2/sdk/social/wechat-mobile-bind and
// …/wechat-mobile-register-bind. Whether an account may be made is the state
// token's to say, not the path's: the quick example calls the plain one after
// USER_REGISTER.
func (a *API) BindByPhone(c echo.Context) error {
	return a.bind(c, func() (userpool.Proof, error) {
		// The vendor's table and example spell it differently.
		var code, misspelt, short string
		err := read(c, map[string]*string{"wechat_code": &code, "wchat_code": &misspelt, "code": &short})
		return a.pools.WeChatPhone(cmp.Or(code, misspelt, short)), err
	})
}

// bind finishes the sign-in of X-state-token by the proof that the body gives.
func (a *API) bind(c echo.Context, prove func() (userpool.Proof, error)) error {
	pool, err := a.client(c)
	if err != nil {
		return err
	}
	state := header(c, "X-state-token")
	if state == "" {
		return userpool.ErrStateInvalid
	}
	proof, err := prove()
	if err != nil {
		return err
	}
	var u userpool.User
	err = a.guarded(c, func() (err error) {
		u, _, err = a.pools.Finish(c.Request().Context(), pool, state, proof)
		return spelt(err, "wechat_code")
	})
	return a.succeed(c, pool, u, err)
}

// spelt returns the error of a proof under the name that the call has for the
// code.
func spelt(err error, name string) error {
	bad := (*userpool.InvalidError)(nil)
	if errors.As(err, &bad) && bad.Field == "phoneCode" {
		return userpool.Invalid(name, bad.EN, bad.ZH)
	}
	return err
}
