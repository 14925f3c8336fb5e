package record

import "app2wxapp/token"

// EncodeSession codes a session but for its id.
func EncodeSession(s token.Session) []byte {
	e := make(Encoder, 0, 256) // most fit
	e.Text(s.PoolID)
	e.Text(s.UserID)
	e.Num(uint64(s.Kind))
	e.Text(s.Scope)
	e.Time(s.CreatedAt)
	e.Time(s.ExpiresAt)
	e.Flag(s.Ended)
	e.Text(s.JTI)
	e.Time(s.TokenEnd)
	e.Bytes(s.Family[:])
	e.Bytes(s.Refresh[:])
	return e
}

// DecodeSession is the reverse of EncodeSession.
func DecodeSession(id, record string) (token.Session, error) {
	d := NewDecoder(record)
	s := token.Session{ID: id, PoolID: d.Text(), UserID: d.Text()}
	s.Kind = token.Kind(d.Num()) // #nosec G115 -- the writer converted it the other way
	s.Scope = d.Text()
	s.CreatedAt = d.Time()
	s.ExpiresAt = d.Time()
	s.Ended = d.Flag()
	s.JTI = d.Text()
	s.TokenEnd = d.Time()
	copy(s.Family[:], d.Text())
	copy(s.Refresh[:], d.Text())
	return s, d.Err
}
