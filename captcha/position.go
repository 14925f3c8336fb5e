package captcha

import (
	"crypto/aes"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// maxPosition is how long the answer to a puzzle is at most.
const maxPosition = 200

// position returns the x of AJ-Captcha's pointJson, in the clear or encrypted.
func position(secretKey, text string) (x float64, ok bool) {
	text = strings.TrimSpace(text)
	if len(text) > maxPosition {
		return 0, false
	}
	if !strings.HasPrefix(text, "{") {
		if text, ok = decrypt(secretKey, text); !ok {
			return 0, false
		}
	}
	var point struct {
		X *float64 `json:"x"`
	}
	if err := json.Unmarshal([]byte(text), &point); err != nil || point.X == nil {
		return 0, false
	}
	return *point.X, true
}

// decrypt opens what a client of AJ-Captcha encrypts: AES-128 in ECB mode with
// PKCS #7 padding, in base64. It keeps nothing from anybody, since the key was
// sent along with the pictures; the standard library has no ECB, and rightly so.
func decrypt(secretKey, text string) (plain string, ok bool) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) == 0 || len(b)%aes.BlockSize != 0 {
		return "", false
	}
	block, err := aes.NewCipher([]byte(secretKey))
	if err != nil {
		return "", false
	}
	for i := 0; i < len(b); i += aes.BlockSize {
		block.Decrypt(b[i:], b[i:])
	}
	pad := int(b[len(b)-1])
	if pad == 0 || pad > aes.BlockSize {
		return "", false
	}
	return string(b[:len(b)-pad]), true
}
