package authing

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// accessToken exchanges the pool secret for a management token.
func (a *API) accessToken(ctx context.Context, c echo.Context, args map[string]any) (object, error) {
	id, _ := args["userPoolId"].(string)
	secret, _ := args["secret"].(string)
	pool, err := a.pool(c, id)
	if err != nil {
		return nil, err
	}
	if _, err := a.tickets.Authenticate(pool, secret, wire.Addr(c)); err != nil {
		return nil, err
	}
	secretID, err := a.pools.Prove(pool, secret) // here also where the pool has it optional
	if err != nil {
		return nil, err
	}
	t, err := a.tokens.IssueManagement(ctx, pool, secretID)
	if err != nil {
		return nil, err
	}
	return object{"accessToken": t.Raw, "iat": t.IssuedAt.Unix(), "exp": t.ExpiresAt.Unix()}, nil
}

// managed returns the pool whose management token the request has.
func (a *API) managed(ctx context.Context, c echo.Context) (userpool.Pool, error) {
	pool, err := a.tokens.VerifyManagement(ctx, bearer(c.Request()))
	if err == nil {
		c.Set("pool", pool.ID) // for the log
	}
	return pool, err
}

func (a *API) userpool(ctx context.Context, c echo.Context) (object, error) {
	pool, err := a.managed(ctx, c)
	if err != nil {
		return nil, err
	}
	return newPool(pool, "ticketExpriresAfter"), nil
}

// Detail answers GET /api/v2/userpools/detail.
func (a *API) Detail(c echo.Context) error {
	pool, err := a.managed(c.Request().Context(), c)
	if err != nil {
		return err
	}
	return ok(c, "获取成功", newPool(pool, "ticketExpiresAfter"))
}

// updateUserpool changes the settings that the input names.
func (a *API) updateUserpool(ctx context.Context, c echo.Context, args map[string]any) (object, error) {
	pool, err := a.managed(ctx, c)
	if err != nil {
		return nil, err
	}
	input, _ := args["input"].(map[string]any)
	pool, err = a.pools.UpdatePool(acting(c, audit.Caller), pool.ID, func(s *userpool.Settings) error { return applySettings(s, input) })
	if err != nil {
		return nil, wire.Spelt(err, map[string]string{"tokenTTL": "tokenExpiresAfter", "ticketTTL": "ticketExpiresAfter"})
	}
	return newPool(pool, "ticketExpriresAfter"), nil
}

// applySettings writes the input to the settings. What it does not name, or
// names as null, is left as it is.
func applySettings(s *userpool.Settings, input map[string]any) error {
	if name, given := input["name"].(string); given {
		s.Name = name
	}
	if disabled, given := input["registerDisabled"].(bool); given && disabled != (s.Signup != userpool.SignupOpen) {
		s.Signup = userpool.SignupOpen
		if disabled {
			s.Signup = userpool.SignupClosed
		}
	}
	if n, given := number(input["tokenExpiresAfter"]); given {
		if n <= 0 || n > int64(userpool.MaxTokenTTL/time.Second) {
			return userpool.Invalid("tokenExpiresAfter", "must be 60 to 315360000 (seconds)", "必须在 60 到 315360000 之间（秒）")
		}
		s.TokenTTL = time.Duration(n) * time.Second
	}
	strategy, _ := input["app2WxappLoginStrategy"].(map[string]any)
	misspelt, given := number(strategy["ticketExpriresAfter"])
	if n, too := number(strategy["ticketExpiresAfter"]); too {
		if given && n != misspelt {
			return userpool.Invalid("ticketExpiresAfter", "is given in both spellings and differs", "两种拼写给出了不同的值")
		}
		misspelt, given = n, true
	}
	if given {
		if misspelt <= 0 || misspelt > int64(userpool.MaxTicketTTL/time.Second) {
			return userpool.Invalid("ticketExpiresAfter", "must be 10 to 600 (seconds)", "必须在 10 到 600 之间（秒）")
		}
		s.TicketTTL = time.Duration(misspelt) * time.Second
	}
	if needed, given := strategy["ticketExchangeUserInfoNeedSecret"].(bool); given {
		s.SecretOptional = !needed
	}
	return nil
}

// number returns a GraphQL Int: a literal, a JSON number or, since the parser
// lets these pass, 60.0 and the text of one.
func number(v any) (n int64, given bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case float64:
		return int64(v), true
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	}
	return 0, false
}

// newPool returns the pool's settings as Authing shows them. What Authing's
// pools have and ours do not is as in the pool that its page shows. The secrets
// are "": of a pool secret only its hash is kept, and the jwtSecret makes users'
// tokens.
func newPool(p userpool.Pool, ticketExpiresAfter string) object {
	fixed := object{
		"domain": p.ID, "description": "", "secret": "", "jwtSecret": "", "ownerId": "", "userpoolTypes": nil, "logo": "",
		"emailVerifiedDefault": false, "sendWelcomeEmail": false, "appSsoEnabled": false, "showWxQRCodeWhenRegisterDisabled": nil,
		"allowedOrigins": "", "isDeleted": false,
		"frequentRegisterCheck": object{"timeInterval": 300, "limit": 50, "enabled": false},
		"loginFailCheck":        object{"timeInterval": 300, "limit": 50, "enabled": false},
		"changePhoneStrategy":   object{"verifyOldPhone": true},
		"changeEmailStrategy":   object{"verifyOldEmail": true},
		"qrcodeLoginStrategy":   object{"qrcodeExpiresAfter": 120, "ticketExpiresAfter": 300, "returnFullUserInfo": false, "allowExchangeUserInfoFromBrowser": true},
		"whitelist":             object{"phoneEnabled": false, "emailEnabled": false, "usernameEnabled": false},
		"customSMSProvider":     object{"enabled": false, "provider": nil, "config": nil},
		"packageType":           -1, "useCustomUserStore": false, "loginRequireEmailVerified": false, "verifyCodeLength": 4,
	}
	maps.Copy(fixed, object{
		"id": p.ID, "name": p.Name, "createdAt": wire.Stamp(p.CreatedAt), "updatedAt": wire.Stamp(p.UpdatedAt),
		"registerDisabled": p.Signup != userpool.SignupOpen, "tokenExpiresAfter": int(p.TokenLife().Seconds()),
		"app2WxappLoginStrategy": object{
			ticketExpiresAfter: int(p.TicketLife().Seconds()), "ticketExchangeUserInfoNeedSecret": !p.SecretOptional,
		},
	})
	return fixed
}
