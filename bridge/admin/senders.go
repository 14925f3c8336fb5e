package admin

import (
	"slices"

	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// senders are what a pool's codes go out by, as the API shows it: settings with
// their defaults, never a secret. Null is nothing to send by.
type senders struct {
	SMS   map[string]any `json:"sms"`
	Email map[string]any `json:"email"`
}

const senderProvider = "provider"

func senderOf(s userpool.Sender) map[string]any {
	if s.Provider == userpool.ProviderNone {
		return nil
	}
	s = s.WithDefaults()
	out := map[string]any{senderProvider: s.Provider}
	for _, o := range s.Options() {
		if _, hidden := o.Value.(*userpool.Secret); !hidden {
			out[o.Name] = o.Value
		}
	}
	return out
}

// sendersPatch is a merge patch of a pool's senders.
type sendersPatch struct {
	given wire.Optional[wire.Fields]
	of    map[userpool.Channel]*senderPatch
}

// senderPatch is a merge patch of one: members of all providers can be read.
type senderPatch struct {
	given    wire.Optional[wire.Fields]
	provider wire.Optional[string]
	options  wire.Fields
}

func newSendersPatch() sendersPatch {
	p := sendersPatch{of: map[userpool.Channel]*senderPatch{}}
	p.given.Value = wire.Fields{}
	for _, c := range userpool.Channels {
		of := &senderPatch{options: wire.Fields{}}
		of.given.Value = wire.Fields{senderProvider: &of.provider}
		for _, provider := range userpool.Providers(c) {
			any := userpool.Sender{Provider: provider}
			for _, o := range any.Options() {
				to := readInto(o.Value)
				of.options[o.Name], of.given.Value[o.Name] = to, to
			}
		}
		p.of[c], p.given.Value[string(c)] = of, &of.given
	}
	return p
}

// readInto returns where a member of a request is read that sets the option.
func readInto(value any) any {
	switch value.(type) {
	case *bool:
		return new(wire.Optional[bool])
	case *int:
		return new(wire.Optional[int])
	}
	return new(wire.Optional[string])
}

// apply changes the senders. One that gets another provider begins anew: nothing
// of the former one's settings stays.
func (p sendersPatch) apply(to *userpool.Settings) error {
	for _, c := range userpool.Channels {
		if p.given.Null {
			to.SetSender(c, userpool.Sender{})
			continue
		}
		changed, err := p.of[c].apply(c, to.Sender(c))
		if err != nil {
			return err
		}
		to.SetSender(c, changed)
	}
	return nil
}

func (p *senderPatch) apply(c userpool.Channel, s userpool.Sender) (userpool.Sender, error) {
	at := "senders." + string(c) + "."
	switch {
	case !p.given.Set:
		return s, nil
	case p.given.Null:
		return userpool.Sender{}, nil
	case p.provider.Set && userpool.Provider(p.provider.Value) != s.Provider:
		s = userpool.Sender{Provider: userpool.Provider(p.provider.Value)}
	}
	if s.Provider == userpool.ProviderNone {
		return s, userpool.Invalid(at+senderProvider, "is required; null instead of the object is nothing to send by", "必填；不发送时用 null 代替整个对象")
	}
	if !slices.Contains(userpool.Providers(c), s.Provider) {
		return s, nil // Validate says so
	}
	own := map[string]bool{}
	for _, o := range s.Options() {
		own[o.Name] = true
		if err := set(o, p.options[o.Name], at); err != nil {
			return s, err
		}
	}
	for name, given := range p.options {
		if !own[name] && isSet(given) {
			return s, userpool.Invalid(at+name, "is no setting of this provider", "不是该服务商的设置")
		}
	}
	return s, nil
}

func isSet(given any) bool {
	switch g := given.(type) {
	case *wire.Optional[bool]:
		return g.Set
	case *wire.Optional[int]:
		return g.Set
	case *wire.Optional[string]:
		return g.Set
	}
	return false
}

// set sets the option if it was given. Null is the default.
func set(o userpool.SenderOption, given any, at string) error {
	switch to := o.Value.(type) {
	case *bool:
		patch(*given.(*wire.Optional[bool]), to, false, same)
	case *int:
		n := *given.(*wire.Optional[int])
		if n.Set && !n.Null && n.Value == 0 { // 0 is the default inside
			return userpool.Invalid(at+o.Name, "must not be 0; null is the default", "不能为 0；null 表示默认值")
		}
		patch(n, to, 0, same)
	case *string:
		patch(*given.(*wire.Optional[string]), to, "", same)
	case *userpool.Secret:
		patch(*given.(*wire.Optional[string]), to, "", func(v string) userpool.Secret { return userpool.Secret(v) })
	case *userpool.SMTPTLS:
		text := *given.(*wire.Optional[string])
		if text.Set && !text.Null && text.Value == "" {
			return userpool.Invalid(at+o.Name, "must not be empty; null is the default", "不能为空；null 表示默认值")
		}
		patch(text, to, "", func(v string) userpool.SMTPTLS { return userpool.SMTPTLS(v) })
	}
	return nil
}
