package idaas

import (
	"cmp"
	"errors"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
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

// BindByCode answers POST /api/v2/sdk/social/bind and …/register-bind: by a code
// that was sent to a phone or an e-mail address.
func (a *API) BindByCode(c echo.Context) error {
	return a.bind(c, func() (userpool.Proof, error) {
		var number, address, code string
		if err := read(c, map[string]*string{"mobile": &number, "email": &address, "verify_code": &code}); err != nil {
			return nil, err
		}
		to, way, err := receiver(number, address)
		if way == userpool.WayEmailCode {
			return a.pools.EmailCode(to, code), err
		}
		return a.pools.SMSCode(to, code), err
	})
}

// BindByPassword answers POST /api/v2/sdk/social/username-password-bind.
func (a *API) BindByPassword(c echo.Context) error {
	return a.bind(c, func() (userpool.Proof, error) { return a.password(c) })
}

// password returns the proof that a body with user_name and password gives.
func (a *API) password(c echo.Context) (userpool.Proof, error) {
	var name, password string
	err := read(c, map[string]*string{"user_name": &name, "password": &password})
	return a.pools.Password(name, password, wire.Addr(c)), err
}

// VerifyTOTP answers POST /api/v2/sdk/mfa/totp/verify: the second factor of a
// sign-in that was answered with MFA_AUTH. The product's own call is not public.
func (a *API) VerifyTOTP(c echo.Context) error {
	return a.bind(c, func() (userpool.Proof, error) {
		var code string
		err := read(c, map[string]*string{"code": &code})
		return a.pools.TOTP(code), err
	})
}

// members are the names that the dialect has for those of proofs.
var members = map[string]string{
	"phoneCode": "wechat_code", "phone": "mobile", "smsCode": "verify_code", "emailCode": "verify_code", "username": "user_name", "totp": "code",
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
	err = a.guarded(c, func() error {
		var of userpool.Unfinished
		var err error
		u, of, err = a.pools.Finish(c.Request().Context(), pool, state, proof)
		if errors.Is(err, userpool.ErrPasswordWrong) {
			return &wrongPassword{err, max(0, userpool.MaxFailures-of.Failures-1)}
		}
		return wire.Spelt(err, members)
	})
	return a.succeed(c, pool, u, err)
}
