package captcha

import (
	"bytes"
	"encoding/hex"

	"github.com/dchest/captcha"
)

// Size of a picture of digits.
const (
	digitsWidth  = 240
	digitsHeight = 80
)

// drawDigits returns a picture of the digits, PNG.
func drawDigits(id tokenID, digits answer) ([]byte, error) {
	m := captcha.NewImage(hex.EncodeToString(id[:]), digits[:], digitsWidth, digitsHeight)
	return written(func(b *bytes.Buffer) error {
		_, err := m.WriteTo(b)
		return err
	})
}

// speakDigits returns the digits spoken after three beeps, among noise, WAV; some
// twenty seconds.
func speakDigits(id tokenID, digits answer, english bool) ([]byte, error) {
	language := "zh"
	if english {
		language = "en"
	}
	a := captcha.NewAudio(hex.EncodeToString(id[:]), digits[:], language)
	return written(func(b *bytes.Buffer) error {
		_, err := a.WriteTo(b)
		return err
	})
}
