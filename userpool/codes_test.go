package userpool

import "testing"

func TestCodeKeysAreByKindAndApp(t *testing.T) {
	seen := map[CodeKey]bool{}
	for _, k := range [][3]string{{"login", "wx1", "code"}, {"phone", "wx1", "code"}, {"login", "wx2", "code"}, {"login", "wx1", "code2"}, {"login", "wx", "1code"}} {
		key := newCodeKey(k[0], k[1], k[2])
		if seen[key] {
			t.Errorf("%v: the key of another code", k)
		}
		seen[key] = true
	}
}
