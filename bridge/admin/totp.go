package admin

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// totp is a user's second factor as the API shows it.
type totp struct {
	AddedAt       string  `json:"addedAt"`
	ConfirmedAt   *string `json:"confirmedAt"`   // null: not in force yet
	RecoveryCodes int     `json:"recoveryCodes"` // how many are left
}

func totpOf(t userpool.TOTP) *totp {
	if t.AddedAt.IsZero() {
		return nil
	}
	return &totp{wire.Stamp(t.AddedAt), wire.Time(t.ConfirmedAt), len(t.Recovery)}
}

// AddTOTP answers POST /admin/v1/pools/:id/users/:userId/totp.
func (a *API) AddTOTP(c echo.Context) error {
	if err := wire.ReadStrict(c.Request(), wire.Fields{}); err != nil {
		return err
	}
	secret, uri, err := a.pools.AddTOTP(c.Request().Context(), c.Param("id"), c.Param("userId"))
	if err != nil {
		return err
	}
	return created(c, struct {
		Secret string `json:"secret"` // shown this once
		URI    string `json:"uri"`    // likewise
	}{string(secret), string(uri)})
}

// ConfirmTOTP answers POST /admin/v1/pools/:id/users/:userId/totp/confirm.
func (a *API) ConfirmTOTP(c echo.Context) error {
	var code string
	if err := wire.ReadStrict(c.Request(), wire.Fields{"code": &code}); err != nil {
		return err
	}
	codes, err := a.pools.ConfirmTOTP(c.Request().Context(), c.Param("id"), c.Param("userId"), code)
	if err != nil {
		return err
	}
	var out struct {
		RecoveryCodes []string `json:"recoveryCodes"` // shown this once
	}
	for _, code := range codes {
		out.RecoveryCodes = append(out.RecoveryCodes, string(code))
	}
	return wire.OK(c, out)
}

// RemoveTOTP answers DELETE /admin/v1/pools/:id/users/:userId/totp.
func (a *API) RemoveTOTP(c echo.Context) error {
	if err := a.pools.RemoveTOTP(c.Request().Context(), c.Param("id"), c.Param("userId")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
