package record

import (
	"time"

	"app2wxapp/userpool"
)

// EncodeRecipient codes a number or address to which codes were sent.
func EncodeRecipient(r userpool.Recipient) []byte {
	e := make(Encoder, 0, 256) // most fit
	e.Num(uint64(len(r.Sent)))
	for _, at := range r.Sent {
		e.Time(at)
	}
	e.Num(uint64(len(r.Codes)))
	for _, c := range r.Codes {
		e.Text(c.Purpose)
		e.Bytes(c.Hash[:])
		e.Bytes(c.Of[:])
		e.Time(c.ExpiresAt)
		e.Num(uint64(c.Guesses)) // #nosec G115 -- a count
		e.Flag(c.Used)
	}
	return e
}

// DecodeRecipient is the reverse of EncodeRecipient.
func DecodeRecipient(record string) (userpool.Recipient, error) {
	d := NewDecoder(record)
	var r userpool.Recipient
	if n := d.Count(); n > 0 {
		r.Sent = make([]time.Time, n)
		for i := range r.Sent {
			r.Sent[i] = d.Time()
		}
	}
	if n := d.Count(); n > 0 {
		r.Codes = make([]userpool.SentCode, n)
		for i := range r.Codes {
			c := &r.Codes[i]
			c.Purpose = d.Text()
			copy(c.Hash[:], d.Text())
			copy(c.Of[:], d.Text())
			c.ExpiresAt = d.Time()
			c.Guesses = int(d.Num()) // #nosec G115 -- the writer converted it the other way
			c.Used = d.Flag()
		}
	}
	return r, d.Err
}
