package record

import (
	"net/netip"

	"app2wxapp/userpool"
)

// EncodePassword codes what is kept of a password.
func EncodePassword(p userpool.Password) []byte {
	e := make(Encoder, 0, 160) // most fit
	e.Text(string(p.Hash))
	e.Time(p.SetAt)
	e.Num(uint64(len(p.Places)))
	for _, a := range p.Places {
		e.Bytes(a.AsSlice())
	}
	return e
}

// DecodePassword is the reverse of EncodePassword.
func DecodePassword(record string) (userpool.Password, error) {
	d := NewDecoder(record)
	p := userpool.Password{Hash: userpool.Secret(d.Text()), SetAt: d.Time()}
	if n := d.Count(); n > 0 {
		p.Places = make([]netip.Addr, n)
		for i := range p.Places {
			p.Places[i] = d.Addr()
		}
	}
	return p, d.Err
}
