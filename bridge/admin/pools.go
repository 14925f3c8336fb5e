package admin

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// pool is a pool as the API shows it: never its AppSecret, jwtSecret or the
// secrets themselves.
type pool struct {
	ID             string       `json:"id"`
	Name           string       `json:"name"`
	AppID          string       `json:"appId"`
	SecretRequired bool         `json:"secretRequired"`
	TicketTTL      int          `json:"ticketTTL"` // seconds
	PKCERequired   bool         `json:"pkceRequired"`
	ResponseFormat string       `json:"responseFormat"`
	RevokeOnReplay bool         `json:"revokeOnReplay"`
	TokenTTL       int          `json:"tokenTTL"` // seconds
	TokenAlg       string       `json:"tokenAlg"`
	Signup         string       `json:"signup"`
	MatchPhone     bool         `json:"matchPhone"`
	PhoneRequired  bool         `json:"phoneRequired"`
	AllowedApps    []string     `json:"allowedApps"`
	MFA            string       `json:"mfa"`
	BindWays       []string     `json:"bindWays"`
	BindRegister   bool         `json:"bindRegister"`
	LoginWays      []string     `json:"loginWays"`
	SessionTTL     int          `json:"sessionTokenTTL"` // seconds
	SessionSliding bool         `json:"sessionTokenSliding"`
	Captcha        string       `json:"captcha"`
	Senders        senders      `json:"senders"`
	Secrets        []poolSecret `json:"secrets"`
	CreatedAt      string       `json:"createdAt"`
	UpdatedAt      string       `json:"updatedAt"`
}

type poolSecret struct {
	ID         string  `json:"id"`
	CreatedAt  string  `json:"createdAt"`
	LastUsedAt *string `json:"lastUsedAt"`
}

const (
	formatUser     = "user"
	formatEnvelope = "envelope"
	signupOpen     = "open"
	mfaOff         = "off"
	captchaOn      = "on"
	captchaOff     = "off"
)

func poolOf(p userpool.Pool) pool {
	out := pool{
		ID: p.ID, Name: p.Name, AppID: p.AppID,
		SecretRequired: !p.SecretOptional, TicketTTL: int(p.TicketLife().Seconds()), PKCERequired: p.PKCERequired,
		ResponseFormat: formatUser, RevokeOnReplay: !p.KeepOnReplay, TokenTTL: int(p.TokenLife().Seconds()), TokenAlg: p.Alg(),
		Signup: signupOpen, MFA: mfaOff, MatchPhone: p.MatchPhone, PhoneRequired: p.PhoneRequired,
		AllowedApps: append([]string{}, p.AllowedApps...), BindRegister: !p.BindOnly, LoginWays: []string{},
		SessionTTL: int(p.SessionTokenLife().Seconds()), SessionSliding: p.SessionTokenSliding, Captcha: captchaOn,
		Senders: senders{senderOf(p.SMS), senderOf(p.Email)}, Secrets: []poolSecret{},
		CreatedAt: wire.Stamp(p.CreatedAt), UpdatedAt: wire.Stamp(p.UpdatedAt),
	}
	if p.Envelope {
		out.ResponseFormat = formatEnvelope
	}
	if p.MFA != userpool.MFAOff {
		out.MFA = string(p.MFA)
	}
	if p.Signup != userpool.SignupOpen {
		out.Signup = string(p.Signup)
	}
	if p.NoCaptcha {
		out.Captcha = captchaOff
	}
	for _, w := range p.WaysToBind() {
		out.BindWays = append(out.BindWays, string(w))
	}
	for _, w := range p.LoginWays {
		out.LoginWays = append(out.LoginWays, string(w))
	}
	for _, k := range p.Secrets {
		out.Secrets = append(out.Secrets, poolSecret{k.ID, wire.Stamp(k.CreatedAt), wire.Time(k.LastUsedAt)})
	}
	return out
}

// settings are a merge patch of a pool's settings (RFC 7396): what is absent
// stays, null means the default.
type settings struct {
	name, appID, appSecret, responseFormat, tokenAlg, signup, captcha, mfa wire.Optional[string]
	secretRequired, pkceRequired, revokeOnReplay, matchPhone, phoneReq     wire.Optional[bool]
	bindRegister, sessionTokenSliding                                      wire.Optional[bool]
	ticketTTL, tokenTTL, sessionTokenTTL                                   wire.Optional[int]
	allowedApps, bindWays, loginWays                                       wire.Optional[[]string]
	senders                                                                sendersPatch
}

func (s *settings) fields() wire.Fields {
	s.senders = newSendersPatch()
	return wire.Fields{
		"name": &s.name, "appId": &s.appID, "appSecret": &s.appSecret, "responseFormat": &s.responseFormat,
		"tokenAlg": &s.tokenAlg, "signup": &s.signup, "secretRequired": &s.secretRequired, "pkceRequired": &s.pkceRequired,
		"revokeOnReplay": &s.revokeOnReplay, "matchPhone": &s.matchPhone, "phoneRequired": &s.phoneReq,
		"ticketTTL": &s.ticketTTL, "tokenTTL": &s.tokenTTL, "allowedApps": &s.allowedApps,
		"mfa": &s.mfa, "bindWays": &s.bindWays, "bindRegister": &s.bindRegister, "loginWays": &s.loginWays,
		"sessionTokenTTL": &s.sessionTokenTTL, "sessionTokenSliding": &s.sessionTokenSliding, "captcha": &s.captcha,
		"senders": &s.senders.given,
	}
}

// patch takes over the setting if it was given. Null is def, the zero value of
// the wire's default.
func patch[T, U any](o wire.Optional[T], to *U, def T, as func(T) U) {
	switch {
	case o.Null:
		*to = as(def)
	case o.Set:
		*to = as(o.Value)
	}
}

func same[T any](v T) T { return v }
func not(b bool) bool   { return !b }

// apply changes the settings. A value that no setting can have becomes one that
// Validate refuses under the same name.
func (s *settings) apply(to *userpool.Settings) error {
	for name, text := range map[string]wire.Optional[string]{"signup": s.signup, "tokenAlg": s.tokenAlg, "mfa": s.mfa} {
		if text.Set && !text.Null && text.Value == "" {
			return userpool.Invalid(name, "must not be empty; null is the default", "不能为空；null 表示默认值")
		}
	}
	if f := s.responseFormat; f.Set && !f.Null && f.Value != formatUser && f.Value != formatEnvelope {
		return userpool.Invalid("responseFormat", `must be "user" or "envelope"`, `必须为 "user" 或 "envelope"`)
	}
	if c := s.captcha; c.Set && !c.Null && c.Value != captchaOn && c.Value != captchaOff {
		return userpool.Invalid("captcha", `must be "on" or "off"`, `必须为 "on" 或 "off"`)
	}
	for name, ttl := range map[string]wire.Optional[int]{"ticketTTL": s.ticketTTL, "tokenTTL": s.tokenTTL, "sessionTokenTTL": s.sessionTokenTTL} {
		// 0 is the default inside; to a caller it is a life of no length.
		if ttl.Set && !ttl.Null && (ttl.Value <= 0 || ttl.Value > int(userpool.MaxTokenTTL.Seconds())) {
			return userpool.Invalid(name, "must be a number of seconds within its range: ticketTTL 10 to 600, tokenTTL 60 to 315360000, sessionTokenTTL 300 to 31536000", "超出范围（秒）：ticketTTL 为 10 到 600，tokenTTL 为 60 到 315360000，sessionTokenTTL 为 300 到 31536000")
		}
	}
	seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }
	patch(s.name, &to.Name, "", same)
	patch(s.appID, &to.AppID, "", same)
	patch(s.appSecret, &to.AppSecret, "", func(v string) userpool.Secret { return userpool.Secret(v) })
	patch(s.responseFormat, &to.Envelope, formatUser, func(v string) bool { return v == formatEnvelope })
	patch(s.tokenAlg, &to.TokenAlg, userpool.DefaultTokenAlg, same)
	patch(s.signup, &to.Signup, signupOpen, func(v string) userpool.Signup {
		if v == signupOpen {
			return userpool.SignupOpen
		}
		return userpool.Signup(v)
	})
	patch(s.mfa, &to.MFA, mfaOff, func(v string) userpool.MFA {
		if v == mfaOff {
			return userpool.MFAOff
		}
		return userpool.MFA(v)
	})
	patch(s.secretRequired, &to.SecretOptional, true, not)
	patch(s.pkceRequired, &to.PKCERequired, false, same)
	patch(s.revokeOnReplay, &to.KeepOnReplay, true, not)
	patch(s.matchPhone, &to.MatchPhone, false, same)
	patch(s.phoneReq, &to.PhoneRequired, false, same)
	patch(s.ticketTTL, &to.TicketTTL, 0, seconds)
	patch(s.tokenTTL, &to.TokenTTL, 0, seconds)
	patch(s.allowedApps, &to.AllowedApps, nil, same)
	patch(s.bindRegister, &to.BindOnly, true, not)
	patch(s.captcha, &to.NoCaptcha, captchaOn, func(v string) bool { return v == captchaOff })
	ways := func(names []string) (ways []userpool.Way) {
		for _, name := range names {
			ways = append(ways, userpool.Way(name))
		}
		return ways
	}
	patch(s.bindWays, &to.BindWays, nil, ways)
	patch(s.loginWays, &to.LoginWays, nil, ways)
	patch(s.sessionTokenTTL, &to.SessionTokenTTL, 0, seconds)
	patch(s.sessionTokenSliding, &to.SessionTokenSliding, false, same)
	return s.senders.apply(to)
}

// CreatePool answers POST /admin/v1/pools.
func (a *API) CreatePool(c echo.Context) error {
	var id, jwtSecret string
	var given settings
	fields := given.fields()
	fields["id"], fields["jwtSecret"] = &id, &jwtSecret
	if err := wire.ReadStrict(c.Request(), fields); err != nil {
		return err
	}
	n := userpool.NewPool{ID: id, JWTSecret: userpool.Secret(jwtSecret)}
	if err := given.apply(&n.Settings); err != nil {
		return err
	}
	if err := n.Validate(); err != nil {
		return err
	}
	// The signing key first: the secret is shown once, so nothing may fail after
	// it was made.
	if err := a.tokens.Prepare(c.Request().Context(), n.Alg()); err != nil {
		return err
	}
	p, secret, err := a.pools.CreatePool(c.Request().Context(), n)
	if err != nil {
		return err
	}
	return created(c, struct {
		Pool   pool   `json:"pool"`
		Secret string `json:"secret"` // shown this once
	}{poolOf(p), string(secret)})
}

// ListPools answers GET /admin/v1/pools.
func (a *API) ListPools(c echo.Context) error {
	after, limit, err := page(c)
	if err != nil {
		return err
	}
	pools, err := a.pools.Pools(c.Request().Context(), after, limit+1)
	if err != nil {
		return err
	}
	out := list[pool]{Items: []pool{}}
	for i, p := range pools {
		if i == limit {
			out.NextCursor = &out.Items[i-1].ID
			break
		}
		out.Items = append(out.Items, poolOf(p))
	}
	return wire.OK(c, out)
}

// ShowPool answers GET /admin/v1/pools/:id.
func (a *API) ShowPool(c echo.Context) error {
	p, err := a.pools.PoolWithUses(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return wire.OK(c, poolOf(p))
}

// PatchPool answers PATCH /admin/v1/pools/:id.
func (a *API) PatchPool(c echo.Context) error {
	var given settings
	if err := wire.ReadStrict(c.Request(), given.fields()); err != nil {
		return err
	}
	ctx, id := c.Request().Context(), c.Param("id")
	// The signing key first: a pool in force must be able to sign.
	if to, err := a.pools.Pool(ctx, id); err != nil {
		return err
	} else if err := errors.Join(given.apply(&to.Settings), to.Validate()); err != nil {
		return err
	} else if err := a.tokens.Prepare(ctx, to.Alg()); err != nil {
		return err
	}
	p, err := a.pools.UpdatePool(ctx, id, given.apply)
	if err != nil {
		return err
	}
	return wire.OK(c, poolOf(p))
}

// AddSecret answers POST /admin/v1/pools/:id/secrets.
func (a *API) AddSecret(c echo.Context) error {
	if err := wire.ReadStrict(c.Request(), wire.Fields{}); err != nil {
		return err
	}
	kept, secret, err := a.pools.AddSecret(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return created(c, struct {
		ID        string `json:"id"`
		Secret    string `json:"secret"` // shown this once
		CreatedAt string `json:"createdAt"`
	}{kept.ID, string(secret), wire.Stamp(kept.CreatedAt)})
}

// DeleteSecret answers DELETE /admin/v1/pools/:id/secrets/:secretId.
func (a *API) DeleteSecret(c echo.Context) error {
	if err := a.pools.DeleteSecret(c.Request().Context(), c.Param("id"), c.Param("secretId")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
