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
func Append(b []byte, s string) []byte {
	return append(escape(append(b, '"'), s, `\`, ``), '"')
}

// AppendInner appends s as a JSON string in a JSON text that is itself the
// value of a string.
func AppendInner(b []byte, s string) []byte {
	return append(escape(append(b, `\"`...), s, `\\`, `\`), `\"`...)
}

// escape appends s with the backslash, written as given, before what needs one,
// and more before what would need one again.
func escape(b []byte, s, backslash, more string) []byte {
	done := 0
	for i := 0; i < len(s); {
		if plain[s[i]] {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if size > 1 {
			i += size
			continue
		}
		b = append(b, s[done:i]...)
		i++
		done = i
		switch {
		case r < ' ':
			b = append(append(b, backslash...), 'u', '0', '0', hex[r>>4], hex[r&15])
		case r < utf8.RuneSelf:
			b = append(append(append(b, backslash...), more...), byte(r))
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, s[done:]...)
}
