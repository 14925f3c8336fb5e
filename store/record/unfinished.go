package record

import "app2wxapp/userpool"

// EncodeUnfinished codes a sign-in that is to be finished, but for its key.
func EncodeUnfinished(u userpool.Unfinished) []byte {
	e := make(Encoder, 0, 256) // most fit
	e.Text(u.PoolID)
	e.Text(u.Identity.AppID)
	e.Text(u.Identity.OpenID)
	e.Text(u.UnionID)
	e.profile(u.Profile)
	e.Text(u.Method)
	e.Text(u.SourceApp)
	e.Flag(u.MayRegister)
	e.Time(u.ExpiresAt)
	e.Num(uint64(u.Failures)) // #nosec G115 -- a count
	e.Time(u.FinishedAt)
	e.Num(uint64(u.Codes)) // #nosec G115 -- a count
	e.Text(u.UserID)
	return e
}

// DecodeUnfinished is the reverse of EncodeUnfinished.
func DecodeUnfinished(k userpool.OneTimeKey, record string) (userpool.Unfinished, error) {
	d := NewDecoder(record)
	u := userpool.Unfinished{Key: k, PoolID: d.Text()}
	u.Identity = userpool.Identity{AppID: d.Text(), OpenID: d.Text()}
	u.UnionID = d.Text()
	u.Profile = d.profile()
	u.Method = d.Text()
	u.SourceApp = d.Text()
	u.MayRegister = d.Flag()
	u.ExpiresAt = d.Time()
	u.Failures = int(d.Num()) // #nosec G115 -- the writer converted it the other way
	u.FinishedAt = d.Time()
	u.Codes = int(d.Num()) // #nosec G115 -- the writer converted it the other way
	u.UserID = d.Text()
	return u, d.Err
}
