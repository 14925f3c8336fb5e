package record

import (
	"encoding/json"
	"time"

	"app2wxapp/userpool"
)

// poolRecord is a pool as it is stored. Its names are the store's, not the
// wire's; secrets are plain texts here, since the record is sealed.
type poolRecord struct {
	Name           string                `json:"name"`
	AppID          string                `json:"app_id"`
	AppSecret      string                `json:"app_secret"`
	SecretOptional bool                  `json:"secret_optional,omitempty"`
	TicketTTL      time.Duration         `json:"ticket_ttl,omitempty"`
	PKCERequired   bool                  `json:"pkce_required,omitempty"`
	Envelope       bool                  `json:"envelope,omitempty"`
	KeepOnReplay   bool                  `json:"keep_on_replay,omitempty"`
	TokenTTL       time.Duration         `json:"token_ttl,omitempty"`
	TokenAlg       string                `json:"token_alg,omitempty"`
	Signup         userpool.Signup       `json:"signup,omitempty"`
	MatchPhone     bool                  `json:"match_phone,omitempty"`
	PhoneRequired  bool                  `json:"phone_required,omitempty"`
	AllowedApps    []string              `json:"allowed_apps,omitempty"`
	MFA            userpool.MFA          `json:"mfa,omitempty"`
	BindWays       []userpool.Way        `json:"bind_ways,omitempty"`
	BindOnly       bool                  `json:"bind_only,omitempty"`
	LoginWays      []userpool.Way        `json:"login_ways,omitempty"`
	SessionTTL     time.Duration         `json:"session_token_ttl,omitempty"`
	SessionSliding bool                  `json:"session_token_sliding,omitempty"`
	SMS            senderRecord          `json:"sms,omitempty"`
	Email          senderRecord          `json:"email,omitempty"`
	NoCaptcha      bool                  `json:"no_captcha,omitempty"`
	JWTSecret      string                `json:"jwt_secret"`
	Secrets        []userpool.PoolSecret `json:"secrets"`
	CreatedAt      time.Time             `json:"created_at"`
	UpdatedAt      time.Time             `json:"updated_at"`
}

// EncodePool codes a pool but for its id.
func EncodePool(p userpool.Pool) ([]byte, error) {
	sms, err := encodeSender(p.SMS)
	if err != nil {
		return nil, err
	}
	email, err := encodeSender(p.Email)
	if err != nil {
		return nil, err
	}
	return json.Marshal(poolRecord{
		Name: p.Name, AppID: p.AppID, AppSecret: string(p.AppSecret),
		SecretOptional: p.SecretOptional, TicketTTL: p.TicketTTL, PKCERequired: p.PKCERequired, Envelope: p.Envelope,
		KeepOnReplay: p.KeepOnReplay, TokenTTL: p.TokenTTL, TokenAlg: p.TokenAlg, Signup: p.Signup,
		MatchPhone: p.MatchPhone, PhoneRequired: p.PhoneRequired, AllowedApps: p.AllowedApps,
		MFA: p.MFA, BindWays: p.BindWays, BindOnly: p.BindOnly, LoginWays: p.LoginWays,
		SessionTTL: p.SessionTokenTTL, SessionSliding: p.SessionTokenSliding, NoCaptcha: p.NoCaptcha,
		SMS: sms, Email: email,
		JWTSecret: string(p.JWTSecret), Secrets: p.Secrets, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	})
}

// DecodePool is the reverse of EncodePool.
func DecodePool(id, record string) (userpool.Pool, error) {
	var r poolRecord
	if err := json.Unmarshal([]byte(record), &r); err != nil {
		return userpool.Pool{}, err
	}
	sms, err := r.SMS.decode()
	if err != nil {
		return userpool.Pool{}, err
	}
	email, err := r.Email.decode()
	if err != nil {
		return userpool.Pool{}, err
	}
	return userpool.Pool{
		ID: id,
		Settings: userpool.Settings{
			Name: r.Name, AppID: r.AppID, AppSecret: userpool.Secret(r.AppSecret),
			SecretOptional: r.SecretOptional, TicketTTL: r.TicketTTL, PKCERequired: r.PKCERequired, Envelope: r.Envelope,
			KeepOnReplay: r.KeepOnReplay, TokenTTL: r.TokenTTL, TokenAlg: r.TokenAlg, Signup: r.Signup,
			MatchPhone: r.MatchPhone, PhoneRequired: r.PhoneRequired, AllowedApps: r.AllowedApps,
			MFA: r.MFA, BindWays: r.BindWays, BindOnly: r.BindOnly, LoginWays: r.LoginWays,
			SessionTokenTTL: r.SessionTTL, SessionTokenSliding: r.SessionSliding, NoCaptcha: r.NoCaptcha,
			SMS: sms, Email: email,
		},
		JWTSecret: userpool.Secret(r.JWTSecret), Secrets: r.Secrets, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}, nil
}
