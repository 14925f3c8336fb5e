package idaas

import (
	"encoding/json"
	"errors"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// The statuses of a sign-in.
const (
	statusSuccess  = "SUCCESS"
	statusRegister = "USER_REGISTER" // may register, or bind an account
	statusBind     = "SOCIAL_BIND"   // only an account that exists
	statusMFA      = "MFA_AUTH"      // known, and a second factor is missing
	statusDenied   = "ACCESS_DENIED"
)

// Login answers POST /api/v2/sdk/login/wechat-miniprogram.
func (a *API) Login(c echo.Context) error {
	pool, err := a.client(c)
	if err != nil {
		return err
	}
	l := userpool.Login{Finishable: true, Addr: wire.Addr(c)}
	if err := read(c, map[string]*string{"code": &l.Code}); err != nil {
		return err
	}
	u, err := a.pools.SignIn(c.Request().Context(), pool, l)
	return a.succeed(c, pool, u, err)
}

// LoginByPhone answers POST /api/v2/sdk/login/wechat-mini-program-mobile: the
// code of the phone button proves a number and nothing else.
func (a *API) LoginByPhone(c echo.Context) error {
	pool, err := a.client(c)
	if err != nil {
		return err
	}
	var code string
	if err := read(c, map[string]*string{"code": &code}); err != nil {
		return err
	}
	var u userpool.User
	err = a.guarded(c, func() (err error) {
		u, err = a.pools.SignInBy(c.Request().Context(), pool, a.pools.WeChatPhone(code))
		return wire.Spelt(err, map[string]string{"phoneCode": "code"})
	})
	return a.succeed(c, pool, u, err)
}

// LoginByPassword answers POST /api/v2/sdk/login.
func (a *API) LoginByPassword(c echo.Context) error {
	pool, err := a.client(c)
	if err != nil {
		return err
	}
	proof, err := a.password(c)
	if err != nil {
		return err
	}
	var u userpool.User
	err = a.guarded(c, func() (err error) {
		u, err = a.pools.SignInBy(c.Request().Context(), pool, proof)
		return wire.Spelt(err, members)
	})
	return a.succeed(c, pool, u, err)
}

// unfinished is the answer to a user whom the pool does not know.
type unfinished struct {
	StateToken string  `json:"state_token"`
	Data       *string `json:"data"` // JSON in a text, or null
	Status     string  `json:"status"`
}

// flow are the ways to show whose account it is that IDaaS has names for. The
// others every client knows by the status.
var flow = map[userpool.Way]string{userpool.WaySMSCode: "VERIFY_PHONE", userpool.WayEmailCode: "VERIFY_EMAIL"}

func unfinishedOf(u *userpool.UnfinishedError) unfinished {
	out := unfinished{StateToken: string(u.State), Status: statusBind}
	if u.MFA {
		out.Status = statusMFA
	}
	if u.MayRegister {
		out.Status = statusRegister
	}
	var names []string
	for _, w := range u.Ways {
		if name := flow[w]; name != "" {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		b, err := json.Marshal(map[string][]string{"socialBindOrRegisterFlow": names})
		if err != nil {
			panic(err) // texts
		}
		data := string(b)
		out.Data = &data
	}
	return out
}

// succeed answers with a session of the user, unless there is an error.
func (a *API) succeed(c echo.Context, pool userpool.Pool, u userpool.User, err error) error {
	if begun := (*userpool.UnfinishedError)(nil); errors.As(err, &begun) {
		return wire.OK(c, unfinishedOf(begun))
	}
	if err != nil {
		return err
	}
	if err := a.pools.Admit(pool, u.ID); err != nil {
		return err
	}
	ctx := c.Request().Context()
	o, err := a.tokens.Open(ctx, pool, u.ID)
	if err != nil {
		return err
	}
	id, err := a.idToken(ctx, pool, u, o)
	if err != nil {
		return err
	}
	return wire.OK(c, struct {
		SessionToken string `json:"session_token"`
		Expire       int    `json:"expire"` // seconds
		Status       string `json:"status"`
		IDToken      string `json:"id_token"`
	}{o.Token, int(o.Left.Seconds()), statusSuccess, id})
}
