package idaas

import (
	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/captcha"
	"app2wxapp/userpool"
)

// forms are what a client may ask a challenge to be; the first is the product's.
var forms = map[string]captcha.Form{"": captcha.Puzzle, "puzzle": captcha.Puzzle, "digits": captcha.Digits, "spoken": captcha.Spoken}

// Captcha answers GET /api/v2/sdk/captcha with a challenge: a puzzle, or as form
// says six digits to read or to hear. The fields are those of AJ-Captcha, which
// the product's clients show; audioBase64 is ours.
func (a *API) Captcha(c echo.Context) error {
	pool, err := a.client(c)
	if err != nil {
		return err
	}
	form, known := forms[c.QueryParam("form")]
	if !known {
		return userpool.Invalid("form", `must be "puzzle", "digits" or "spoken"`, `必须为 "puzzle"、"digits" 或 "spoken"`)
	}
	made, err := a.captcha.Challenge(c.Request().Context(), pool, captcha.Ask{Form: form, English: english(c.Request()), Addr: wire.Addr(c)})
	if err != nil {
		return err
	}
	return wire.OK(c, struct {
		Token     string `json:"token"`
		Picture   []byte `json:"originalImageBase64,omitempty"` // PNG
		Piece     []byte `json:"jigsawImageBase64,omitempty"`   // PNG
		SecretKey string `json:"secretKey,omitempty"`
		Sound     []byte `json:"audioBase64,omitempty"` // WAV
		Expire    int    `json:"expire"`                // seconds
	}{made.Token, made.Picture, made.Piece, made.SecretKey, made.Sound, int(captcha.Life.Seconds())})
}

// VerifyCaptcha answers POST /api/v2/sdk/captcha/verify: for a right answer a
// captcha_token, by which one code can be sent to that number or address.
func (a *API) VerifyCaptcha(c echo.Context) error {
	pool, err := a.client(c)
	if err != nil {
		return err
	}
	var answer, shown, sender string
	if err := read(c, map[string]*string{"point_json": &answer, "token": &shown, "sender": &sender}); err != nil {
		return err
	}
	for _, of := range []struct{ name, value string }{{"point_json", answer}, {"token", shown}, {"sender", sender}} {
		if of.value == "" {
			return userpool.Invalid(of.name, "is required", "必填")
		}
	}
	token, err := a.captcha.Verify(c.Request().Context(), pool, captcha.Attempt{
		Token: shown, Answer: answer, Sender: senderOf(sender), Addr: wire.Addr(c),
	})
	if err != nil {
		return err
	}
	return wire.OK(c, struct {
		Token string `json:"captcha_token"`
	}{token})
}

// senderOf returns whom a code is to go to as SendCode spells it.
func senderOf(text string) string {
	if e, ok := userpool.ParseEmail(text); ok {
		return string(e)
	}
	return dialled(text)
}
