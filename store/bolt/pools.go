package bolt

import (
	"context"
	"encoding/json"
	"time"

	"app2wxapp/audit"
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
	JWTSecret      string                `json:"jwt_secret"`
	Secrets        []userpool.PoolSecret `json:"secrets"`
	CreatedAt      time.Time             `json:"created_at"`
	UpdatedAt      time.Time             `json:"updated_at"`
}

func encodePool(p userpool.Pool) ([]byte, error) {
	return json.Marshal(poolRecord{
		Name: p.Name, AppID: p.AppID, AppSecret: string(p.AppSecret),
		SecretOptional: p.SecretOptional, TicketTTL: p.TicketTTL, PKCERequired: p.PKCERequired, Envelope: p.Envelope,
		KeepOnReplay: p.KeepOnReplay, TokenTTL: p.TokenTTL, TokenAlg: p.TokenAlg, Signup: p.Signup,
		MatchPhone: p.MatchPhone, PhoneRequired: p.PhoneRequired, AllowedApps: p.AllowedApps,
		JWTSecret: string(p.JWTSecret), Secrets: p.Secrets, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	})
}

func decodePool(id, record string) (userpool.Pool, error) {
	var r poolRecord
	if err := json.Unmarshal([]byte(record), &r); err != nil {
		return userpool.Pool{}, corrupt(bucketPools, err)
	}
	return userpool.Pool{
		ID: id,
		Settings: userpool.Settings{
			Name: r.Name, AppID: r.AppID, AppSecret: userpool.Secret(r.AppSecret),
			SecretOptional: r.SecretOptional, TicketTTL: r.TicketTTL, PKCERequired: r.PKCERequired, Envelope: r.Envelope,
			KeepOnReplay: r.KeepOnReplay, TokenTTL: r.TokenTTL, TokenAlg: r.TokenAlg, Signup: r.Signup,
			MatchPhone: r.MatchPhone, PhoneRequired: r.PhoneRequired, AllowedApps: r.AllowedApps,
		},
		JWTSecret: userpool.Secret(r.JWTSecret), Secrets: r.Secrets, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}, nil
}

func (t *tx) pool(id string) (userpool.Pool, error) {
	record, ok, err := t.get(bucketPools, []byte(id))
	if err != nil {
		return userpool.Pool{}, err
	}
	if !ok {
		return userpool.Pool{}, userpool.ErrPoolNotFound
	}
	return decodePool(id, record)
}

func (t *tx) putPool(p userpool.Pool) error {
	b, err := encodePool(p)
	if err != nil {
		return err
	}
	return t.put(bucketPools, []byte(p.ID), b)
}

// CreatePool implements userpool.Store.
func (s *Store) CreatePool(_ context.Context, p userpool.Pool, e audit.Event) error {
	return s.update(func(t *tx) error {
		if _, ok, err := t.get(bucketPools, []byte(p.ID)); err != nil {
			return err
		} else if ok {
			return userpool.ErrPoolExists
		}
		if err := t.putPool(p); err != nil {
			return err
		}
		return t.record(e)
	})
}

// Pool implements userpool.Store.
func (s *Store) Pool(_ context.Context, id string) (p userpool.Pool, err error) {
	err = s.view(func(t *tx) error {
		p, err = t.pool(id)
		return err
	})
	return p, err
}

// Pools implements userpool.Store.
func (s *Store) Pools(_ context.Context, after string, limit int) (pools []userpool.Pool, err error) {
	err = s.view(func(t *tx) error {
		c := t.Bucket([]byte(bucketPools)).Cursor()
		k, v := c.Seek([]byte(after))
		if string(k) == after {
			k, v = c.Next()
		}
		for ; k != nil && len(pools) < limit; k, v = c.Next() {
			record, err := t.open(bucketPools, k, v)
			if err != nil {
				return err
			}
			p, err := decodePool(string(k), record)
			if err != nil {
				return err
			}
			pools = append(pools, p)
		}
		return nil
	})
	return pools, err
}

// UpdatePool implements userpool.Store.
func (s *Store) UpdatePool(_ context.Context, id string, change func(*userpool.Pool) (audit.Event, error)) (p userpool.Pool, err error) {
	err = s.update(func(t *tx) error {
		if p, err = t.pool(id); err != nil {
			return err
		}
		e, err := change(&p)
		if err != nil {
			return err
		}
		if err := t.putPool(p); err != nil {
			return err
		}
		return t.record(e)
	})
	return p, err
}

// TouchSecrets implements userpool.Store.
func (s *Store) TouchSecrets(_ context.Context, poolID string, used map[string]time.Time) error {
	return s.update(func(t *tx) error {
		p, err := t.pool(poolID)
		if err != nil {
			return err
		}
		changed := false
		for i, k := range p.Secrets {
			if last := used[k.ID]; last.After(k.LastUsedAt) {
				p.Secrets[i].LastUsedAt, changed = last, true
			}
		}
		if !changed {
			return nil
		}
		return t.putPool(p)
	})
}
