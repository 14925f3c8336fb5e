package record

import (
	"maps"
	"slices"

	"app2wxapp/userpool"
)

// EncodeUser codes what a login does not change.
func EncodeUser(u userpool.User) []byte {
	e := make(Encoder, 0, 512) // most fit
	e.Text(u.UnionID)
	e.Num(uint64(len(u.Identities)))
	for _, id := range u.Identities {
		e.Text(id.AppID)
		e.Text(id.OpenID)
	}
	e.Text(string(u.Phone))
	e.profile(u.Profile)
	e.Text(u.RegisterMethod)
	e.Time(u.SignedUp)
	e.Time(u.UpdatedAt)
	e.Text(u.Username)
	e.Num(uint64(len(u.Attributes)))
	for _, name := range slices.Sorted(maps.Keys(u.Attributes)) {
		e.Text(name)
		e.Text(u.Attributes[name])
	}
	e.Text(string(u.Email))
	return e
}

// DecodeUser is the reverse of EncodeUser.
func DecodeUser(poolID, id, record string) (userpool.User, error) {
	d := NewDecoder(record)
	u := userpool.User{PoolID: poolID, ID: id, UnionID: d.Text()}
	if n := d.Count(); n > 0 {
		u.Identities = make([]userpool.Identity, n)
		for i := range u.Identities {
			u.Identities[i] = userpool.Identity{AppID: d.Text(), OpenID: d.Text()}
		}
	}
	u.Phone = userpool.Phone(d.Text())
	u.Profile = d.profile()
	u.RegisterMethod = d.Text()
	u.SignedUp = d.Time()
	u.UpdatedAt = d.Time()
	u.Username = d.Text()
	if n := d.Count(); n > 0 {
		u.Attributes = make(map[string]string, n)
		for range n {
			name := d.Text()
			u.Attributes[name] = d.Text()
		}
	}
	u.Email = userpool.Email(d.Text())
	return u, d.Err
}

func (e *Encoder) profile(p userpool.Profile) {
	for _, s := range []string{p.Nickname, p.AvatarURL, p.Language, p.City, p.Province, p.Country} {
		e.Text(s)
	}
	e.Num(uint64(p.Gender)) // #nosec G115 -- the reader turns it back by the same conversion
}

func (d *Decoder) profile() (p userpool.Profile) {
	for _, s := range []*string{&p.Nickname, &p.AvatarURL, &p.Language, &p.City, &p.Province, &p.Country} {
		*s = d.Text()
	}
	p.Gender = int(d.Num()) // #nosec G115 -- the writer converted it the other way
	return p
}
