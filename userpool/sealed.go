package userpool

import (
	"context"
	"crypto/aes"
	"encoding/base64"
	"net/netip"
)

// maxSealed is the longest encryptedData that is worth a code, in bytes.
const maxSealed = 8 << 10

// ParseSealed reads encryptedData and iv, both base64. Of neither it returns the
// zero value; one without the other, or not of whole blocks, is an
// *InvalidError: no key is needed to tell.
func ParseSealed(encryptedData, iv string) (Sealed, error) {
	switch {
	case encryptedData == "" && iv == "":
		return Sealed{}, nil
	case iv == "":
		return Sealed{}, Invalid("iv", "is required with encryptedData", "给出 encryptedData 时必填")
	case encryptedData == "":
		return Sealed{}, Invalid("encryptedData", "is required with iv", "给出 iv 时必填")
	}
	var s Sealed
	var err error
	if s.IV, err = base64.StdEncoding.DecodeString(iv); err != nil || len(s.IV) != aes.BlockSize {
		return Sealed{}, Invalid("iv", "must be base64 of 16 bytes", "必须为 16 字节的 base64")
	}
	if s.Data, err = base64.StdEncoding.DecodeString(encryptedData); err != nil || len(s.Data) == 0 || len(s.Data)%aes.BlockSize != 0 || len(s.Data) > maxSealed {
		return Sealed{}, Invalid("encryptedData", "must be base64 of whole blocks of 16 bytes, 8 KiB at most", "必须为若干个 16 字节块的 base64，最多 8 KiB")
	}
	return s, nil
}

// Given tells whether there is anything in it.
func (s Sealed) Given() bool { return len(s.Data) > 0 }

// OpenPhone tells whose login code this is and which number was sealed under its
// session_key. No user is made or changed by it. Errors are those of SignIn that
// WeChat causes, *InvalidError, and *RateLimitError as there.
func (s *Service) OpenPhone(ctx context.Context, pool Pool, code string, sealed Sealed, addr netip.Addr) (session Session, g PhoneGrant, err error) {
	if err := (Login{Code: code}).validate(); err != nil {
		return session, g, err
	}
	if !sealed.Given() {
		return session, g, Invalid("encryptedData", "is required", "必填")
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	app := App{ID: pool.AppID, Secret: pool.AppSecret}
	err = s.unlessRefused(addr, func() error {
		return s.spend(ctx, "login", app.ID, code, s.now(), func() (err error) {
			session, g, err = s.wechat.OpenPhone(ctx, app, code, sealed)
			return err
		})
	})
	if err == nil {
		s.metrics.phones.WithLabelValues(pool.ID).Inc()
	}
	return session, g, err
}
