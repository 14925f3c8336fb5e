package record

import (
	"encoding/json"
	"fmt"
	"reflect"

	"app2wxapp/userpool"
)

// senderRecord is a sender as it is stored: its provider, and the settings that
// are not empty. Unlike other names these are the wire's, since userpool has the
// one table of them. Nil is no sender.
type senderRecord map[string]json.RawMessage

const senderProvider = "provider"

func encodeSender(s userpool.Sender) (senderRecord, error) {
	if s.Provider == userpool.ProviderNone {
		return nil, nil
	}
	r := senderRecord{}
	put := func(name string, v any) (err error) {
		r[name], err = json.Marshal(v)
		return err
	}
	err := put(senderProvider, s.Provider)
	for _, o := range s.Options() {
		v := reflect.ValueOf(o.Value).Elem()
		if err != nil || v.IsZero() {
			continue
		}
		plain := v.Interface()
		if secret, ok := plain.(userpool.Secret); ok {
			plain = string(secret)
		}
		err = put(o.Name, plain)
	}
	return r, err
}

// decode is the reverse of encodeSender.
func (r senderRecord) decode() (s userpool.Sender, err error) {
	if r == nil {
		return s, nil
	}
	if err := json.Unmarshal(r[senderProvider], &s.Provider); err != nil {
		return s, fmt.Errorf("a sender's provider: %w", err)
	}
	for _, o := range s.Options() {
		if text, ok := r[o.Name]; ok {
			if err := json.Unmarshal(text, o.Value); err != nil {
				return s, fmt.Errorf("a sender's %s: %w", o.Name, err)
			}
		}
	}
	return s, nil
}
