package quote

import (
	"encoding/json"
	"strings"
	"testing"
)

// What is written is read back as it was, and is JSON whatever it was.
func FuzzAppend(f *testing.F) {
	for _, s := range []string{"", "plain", `"\`, "a\"b\\c", "\x00\x1f\n\t\x7f", "张三 😀", "\xff", "a\xe4\xb8", "\xed\xa0\x80", "\u2028<>&"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		b := Append([]byte("x"), s)
		if err := json.Unmarshal(b[1:], &got); err != nil {
			t.Fatalf("%q: %s: %v", s, b, err)
		}
		// Each byte that is not UTF-8 becomes one U+FFFD, as in encoding/json.
		want := string([]rune(s))
		if got != want {
			t.Errorf("%q: read back as %q, want %q", s, got, want)
		}
		inner := string(b[1:])
		b = append(AppendInner([]byte(`"`), s), '"')
		if err := json.Unmarshal(b, &got); err != nil || got != inner {
			t.Fatalf("%q: inner %s is read back as %s, %v, want %s", s, b, got, err, inner)
		}
		if strings.ContainsAny(string(b[2:len(b)-1]), "\x00\n\t\r") {
			t.Errorf("%q: a control character stands in %q", s, b)
		}
	})
}
