package oauth

import (
	"errors"
	"maps"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"app2wxapp/userpool"
)

// Whatever is posted is refused as a caller's mistake, or says one thing: what
// an independent reader takes from it, each name once.
func FuzzForm(f *testing.F) {
	for _, text := range []string{
		"", "a=b", "a=b&a=c", "a", "a&a", "=", "&&", "a=%00", "a=%zz", "a=%2", "%61=1&a=2", "a=1;b=2", "a+b=c+d", "a=%ff", "a=%F0%9F%98%80",
		"grant_type=refresh_token&refresh_token=x&client_id=p&client_secret=s",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseForm(text)
		if err != nil {
			if bad := (*userpool.InvalidError)(nil); !errors.As(err, &bad) || got != nil {
				t.Fatalf("parseForm(%q) = %v, %v, want an InvalidError", text, got, err)
			}
			for _, c := range Tell(nil, err, "").Body.(struct {
				Error       string `json:"error"`
				Description string `json:"error_description"`
			}).Description {
				if c < ' ' || c > '~' || c == '"' || c == '\\' {
					t.Fatalf("parseForm(%q): %v cannot be an error_description", text, err)
				}
			}
			return
		}
		// The reader of the field: pieces by "&", names by the first "=".
		want := form{}
		seen := map[string]bool{}
		for piece := range strings.SplitSeq(text, "&") {
			if piece == "" {
				continue
			}
			name, value, _ := strings.Cut(piece, "=")
			n, err1 := url.QueryUnescape(name)
			v, err2 := url.QueryUnescape(value)
			if err1 != nil || err2 != nil || seen[n] || !utf8.ValidString(n+v) || strings.ContainsRune(n+v, 0) || strings.Contains(piece, ";") {
				t.Fatalf("parseForm(%q) = %v, want it refused", text, got)
			}
			if seen[n] = true; v != "" {
				want[n] = v
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("parseForm(%q) = %v, want %v", text, got, want)
		}
		values := url.Values{}
		for n, v := range got {
			values.Set(n, v)
		}
		if again, err := parseForm(values.Encode()); err != nil || !maps.Equal(again, got) {
			t.Fatalf("parseForm of %v again = %v, %v", got, again, err)
		}
	})
}
