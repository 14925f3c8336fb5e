// Package quote writes JSON strings (RFC 8259 §7) where an answer is written by
// hand because it is on the way of every login.
package quote

import "unicode/utf8"

const hex = "0123456789abcdef"

// plain are the bytes that stand for themselves wherever they are.
var plain = func() (t [256]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// Append appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func Append[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	for {
		n := 0
		for n < len(s) && plain[s[n]] {
			n++
		}
		b = append(b, s[:n]...)
		if s = s[n:]; len(s) == 0 {
			return append(b, '"')
		}
		r, size := utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
		s = s[size:]
		switch {
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		case r < utf8.RuneSelf:
			b = append(b, '\\', byte(r))
		default:
			b = utf8.AppendRune(b, r)
		}
	}
}
