package sandbox

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"net/http"
)

// Sealed is what the old phone button and wx.getUserProfile give besides the
// clear text: AES-128-CBC under the session_key of a login, both in base64.
type Sealed struct {
	EncryptedData string `json:"encryptedData"`
	IV            string `json:"iv"`
}

// SealedPhone returns what the old phone button would give to the user who
// holds this login code: the phone, sealed under the session_key that the code
// will be exchanged for. The phone is written as for PhoneCode.
func (s *Server) SealedPhone(loginCode, phone string) Sealed {
	return s.Seal(loginCode, func(appID, _ string) any {
		k := code{appID: appID, phone: phone, madeAt: s.cfg.Now()}
		return newPhoneInfo(k, "")
	})
}

// UserInfo is what wx.getUserProfile knows of a user.
type UserInfo struct {
	NickName  string `json:"nickName"`
	Gender    int    `json:"gender"`
	Language  string `json:"language"`
	City      string `json:"city"`
	Province  string `json:"province"`
	Country   string `json:"country"`
	AvatarURL string `json:"avatarUrl"`
}

// SealedProfile returns what wx.getUserProfile would give to the user who holds
// this login code.
func (s *Server) SealedProfile(loginCode string, info UserInfo) Sealed {
	return s.Seal(loginCode, func(appID, user string) any {
		return struct {
			OpenID string `json:"openId"`
			UserInfo
			Watermark watermark `json:"watermark"`
		}{OpenID(appID, user), info, watermark{s.cfg.Now().Unix(), appID}}
	})
}

// Seal seals as JSON what make returns for the user who holds this login code.
// It panics if there is no such code.
func (s *Server) Seal(loginCode string, make func(appID, user string) any) Sealed {
	var k *code
	s.codes.with(loginCode, func(c *code) {
		if c.kind == Login {
			copied := *c
			k = &copied
		}
	})
	if k == nil {
		panic("sandbox: no such login code")
	}
	return seal(k.sessionKey, ok(make(k.appID, k.user)).body)
}

func seal(key [16]byte, text []byte) Sealed {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // of 16 bytes, none
	}
	iv := make([]byte, aes.BlockSize)
	rand.Read(iv)
	pad := aes.BlockSize - len(text)%aes.BlockSize
	padded := append(bytes.Clone(text), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	return Sealed{base64.StdEncoding.EncodeToString(padded), base64.StdEncoding.EncodeToString(iv)}
}

// serveSealed seals a phone or a profile for the holder of a login code.
func (s *Server) serveSealed(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Code     string    `json:"code"`
		Phone    string    `json:"phone"`
		UserInfo *UserInfo `json:"userInfo"`
	}
	if !decode(w, r, &req) {
		return
	}
	known := false
	s.codes.with(req.Code, func(k *code) { known = k.kind == Login })
	switch {
	case !known:
		http.Error(w, "code: the sandbox knows no such login code", http.StatusBadRequest)
	case (req.Phone == "") == (req.UserInfo == nil):
		http.Error(w, "give phone or userInfo", http.StatusBadRequest)
	case req.UserInfo != nil:
		encode(w, s.SealedProfile(req.Code, *req.UserInfo))
	case !isPhone(req.Phone):
		http.Error(w, `phone: give digits, "13800138000", or E.164, "+85291234567"`, http.StatusBadRequest)
	default:
		encode(w, s.SealedPhone(req.Code, req.Phone))
	}
}
