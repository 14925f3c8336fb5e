package record

import "app2wxapp/userpool"

// EncodeTOTP codes what is kept of a second factor.
func EncodeTOTP(t userpool.TOTP) []byte {
	e := make(Encoder, 0, 512) // all fit
	e.Text(string(t.Secret))
	e.Time(t.AddedAt)
	e.Time(t.ConfirmedAt)
	e.Num(uint64(t.Step)) // #nosec G115 -- a time after 1970
	e.Num(uint64(len(t.Recovery)))
	for _, h := range t.Recovery {
		e.Bytes(h[:])
	}
	return e
}

// DecodeTOTP is the reverse of EncodeTOTP.
func DecodeTOTP(record string) (userpool.TOTP, error) {
	d := NewDecoder(record)
	t := userpool.TOTP{Secret: userpool.Secret(d.Text()), AddedAt: d.Time(), ConfirmedAt: d.Time()}
	t.Step = int64(d.Num()) // #nosec G115 -- the writer converted it the other way
	if n := d.Count(); n > 0 {
		t.Recovery = make([][32]byte, n)
		for i := range t.Recovery {
			copy(t.Recovery[i][:], d.Text())
		}
	}
	return t, d.Err
}
