package captcha

import (
	"encoding/binary"

	"app2wxapp/userpool"
)

// Place and Typed are the answers to a pool's challenge, of which only the
// server can tell.
func Place(pool userpool.Pool, token string) int {
	_, plain, _ := open(pool, forChallenge, token)
	of := decodeChallenge(plain)
	return int(binary.BigEndian.Uint16(of.answer[:]))
}

func Typed(pool userpool.Pool, token string) string {
	_, plain, _ := open(pool, forChallenge, token)
	of := decodeChallenge(plain)
	for i := range of.answer {
		of.answer[i] += '0'
	}
	return string(of.answer[:])
}

// Speak is the sound of six times that digit.
func Speak(digit byte, english bool) ([]byte, error) {
	return speakDigits(newID(), answer{digit, digit, digit, digit, digit, digit}, english)
}
