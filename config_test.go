package main

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// planted is a valid admin token that must not be seen anywhere.
const planted = "PLANTED-0123456789-0123456789-0123456789"

var plantedKey = base64.StdEncoding.EncodeToString([]byte("PLANTED-0123456789-0123456789-01"))

func TestNothingGivenIsDefaults(t *testing.T) {
	c, warnings, err := LoadConfig(filepath.Join(t.TempDir(), "config.yaml"), false, nil)
	if err != nil || warnings != nil {
		t.Fatalf("LoadConfig of a missing file: %v, warnings %q, want neither", err, warnings)
	}
	var want Config
	want.Listen.Public, want.Listen.Admin = "127.0.0.1:8080", "127.0.0.1:8081"
	want.PublicURL = "http://127.0.0.1:8080"
	want.StoreURL = "bolt:data/app2wxapp.db"
	want.WeChat.BaseURL, want.WeChat.Timeout = "https://api.weixin.qq.com", 5*time.Second
	if !reflect.DeepEqual(c, want) {
		t.Errorf("defaults: got %+v, want %+v", c, want)
	}
}

func TestMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	if _, _, err := LoadConfig(path, true, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("LoadConfig of a missing file named explicitly: %v, want an error with its path", err)
	}
	if _, _, err := LoadConfig(filepath.Dir(path), false, nil); err == nil {
		t.Error("LoadConfig of a folder: no error")
	}
}

// The reference cannot lie: its values are the defaults, and nothing is missing
// from it or in it beyond the table.
func TestReferenceIsTheTable(t *testing.T) {
	got, _, err := LoadConfig("config.yaml", true, nil)
	if err != nil {
		t.Fatalf("config.yaml as it stands: %v", err)
	}
	if want, _, _ := parseConfig("", nil, nil); !reflect.DeepEqual(got, want) {
		t.Errorf("config.yaml: got %+v, want the defaults %+v", got, want)
	}
	data, err := os.ReadFile("config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	live := leaves(t, string(data))
	all := leaves(t, regexp.MustCompile(`(?m)^( *)# ([a-z_]+: )`).ReplaceAllString(string(data), "$1$2"))
	for _, s := range settings() {
		if live[s.path] != s.def {
			t.Errorf("%s in config.yaml: %q, want the default %q (commented out if that is empty)", s.path, live[s.path], s.def)
		}
		if _, ok := all[s.path]; !ok {
			t.Errorf("%s is not in config.yaml", s.path)
		}
		delete(all, s.path)
		names := []string{s.env()}
		if s.kind == secret {
			names = append(names, s.env()+"_FILE")
		}
		for _, name := range names {
			if !regexp.MustCompile(`(?m)^ *#.*\b` + name + `\b`).Match(data) {
				t.Errorf("no comment in config.yaml names %s", name)
			}
		}
	}
	if len(all) > 0 {
		t.Errorf("config.yaml has keys that are no settings: %v", all)
	}
}

// leaves returns the scalars of a document by path.
func leaves(t *testing.T, text string) map[string]string {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	var walk func(n *yaml.Node, path string)
	walk = func(n *yaml.Node, path string) {
		if n.Kind != yaml.MappingNode {
			if n.Tag != "!!null" {
				found[path] = n.Value
			}
			return
		}
		for i := 0; i < len(n.Content); i += 2 {
			walk(n.Content[i+1], strings.TrimPrefix(path+"."+n.Content[i].Value, "."))
		}
	}
	walk(doc.Content[0], "")
	return found
}

func TestFile(t *testing.T) {
	c, _, err := parseConfig("config.yaml", []byte(`
listen: {public: ":8443", admin: "[::1]:0", tls: {cert: a.pem, key: b.pem}}
store: {url: "bolt:/srv/app.db"}
admin: {token: `+planted+`}
encryption: {key: `+plantedKey+`}
wechat: {base_url: "http://127.0.0.1:9/", timeout: 800ms}
trusted_proxies:
  - aliyun
  - tencent
  - 10.1.2.3/8
  - 192.0.2.7
  - 2001:db8::/32
  - ::ffff:198.51.100.0/120
log: {level: DEBUG, format: text}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	var want Config
	want.Listen.Public, want.Listen.Admin = ":8443", "[::1]:0"
	want.Listen.TLS.Cert, want.Listen.TLS.Key = "a.pem", "b.pem"
	want.PublicURL = "https://localhost:8443"
	want.StoreURL, want.AdminToken = "bolt:/srv/app.db", planted
	want.EncryptionKey = c.EncryptionKey
	want.WeChat.BaseURL, want.WeChat.Timeout = "http://127.0.0.1:9", 800*time.Millisecond
	for _, p := range []string{"100.64.0.0/10", "10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "198.51.100.0/24"} {
		want.TrustedProxies = append(want.TrustedProxies, netip.MustParsePrefix(p))
	}
	want.Log.Level, want.Log.Format = slog.LevelDebug, "text"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	if string(c.EncryptionKey) != plantedKey {
		t.Error("encryption.key: not what the file says")
	}
}

func TestPublicURL(t *testing.T) {
	for _, row := range []struct {
		addr string
		tls  bool
		want string
	}{
		{"127.0.0.1:8080", false, "http://127.0.0.1:8080"},
		{":8080", false, "http://localhost:8080"},
		{"0.0.0.0:443", true, "https://localhost"},
		{"[::]:80", false, "http://localhost"},
		{"[2001:db8::1]:443", false, "http://[2001:db8::1]:443"},
		{"login.example.com:443", true, "https://login.example.com"},
	} {
		if got := publicURL(row.addr, row.tls); got != row.want {
			t.Errorf("publicURL(%q, %v) = %q, want %q", row.addr, row.tls, got, row.want)
		}
	}
	c, _, err := parseConfig("", []byte("public_url: https://login.example.com/wx//"), nil)
	if want := "https://login.example.com/wx"; err != nil || c.PublicURL != want {
		t.Errorf("public_url with slashes: %q, %v, want %q", c.PublicURL, err, want)
	}
}

// Every mistake says where it is and what to write instead.
func TestMistakes(t *testing.T) {
	for _, row := range []struct{ yaml, want string }{
		// keys
		{"listen:\n  pubic: :1", "config.yaml:2: listen.pubic: unknown key; did you mean listen.public?"},
		{"publicUrl: x", "config.yaml:1: publicUrl: unknown key; did you mean public_url?"},
		{"lisen: {}", "config.yaml:1: lisen: unknown key; did you mean listen?"},
		{"listen.public: :1", "config.yaml:1: listen.public: unknown key; write listen: and below it, indented, public:"},
		{"log: {colour: red}", "config.yaml:1: log.colour: unknown key; the keys here are level, format"},
		{"log: {? [a] : b}", "config.yaml:1: not a key; the keys here are level, format"},
		{"log: {" + planted + ": }", "config.yaml:1: not a key; the keys here are level, format"},
		{"log: {level: info}\nlog: {}", "config.yaml:2: log: given twice, first on line 1; keep one"},
		{"log:\n  level: info\n  level: warn", "config.yaml:3: log.level: given twice, first on line 2; keep one"},

		// kinds of node
		{"- a", "config.yaml:1: the file: holds keys; write one a line"},
		{"listen: :8080", "config.yaml:1: listen: holds keys; write one a line, a colon and a space after it: public, admin, tls"},
		{"public_url: {a: b}", "config.yaml:1: public_url: holds neither keys nor a list here; write what clients type"},
		{"public_url: [a]", "config.yaml:1: public_url: holds neither keys nor a list here; write what clients type"},
		{"trusted_proxies: [[10.0.0.1]]", "config.yaml:1: trusted_proxies: holds neither keys nor a list here; write addresses"},
		{"log: &a {level: info}", "config.yaml:1: log: anchors (&), aliases (*) and tags (!) are not read"},
		{"log: {level: &a info}", "config.yaml:1: log.level: anchors (&), aliases (*) and tags (!) are not read"},
		{"trusted_proxies: &a\n- *a", "config.yaml:1: trusted_proxies: anchors"},
		{"log:\n  <<: {level: info}", "config.yaml:2: not a key; the keys here are level, format"},
		{"log: {level: !!str info}", "config.yaml:1: log.level: anchors (&), aliases (*) and tags (!) are not read"},
		{"log: {level: info}\n---\nlog: {}", "config.yaml:2: a second document begins here; keep one, and remove the line ---"},

		// not YAML
		{"log:\n\tlevel: info", "config.yaml:2: not YAML: found character that cannot start any token; indent with spaces"},
		{"log: {}\nadmin:\n  token: *" + planted, "config.yaml:3: not YAML: an alias (*) of nothing; indent with spaces, and quote"},

		// values
		{"listen: {public: 8080}", `config.yaml:1: listen.public: "8080" is not host:port; write host:port, such as 127.0.0.1:8080`},
		{"listen: {public: ':65536'}", `config.yaml:1: listen.public: ":65536" has a port that is not a number from 0 to 65535; write`},
		{"listen: {public: ':http'}", `config.yaml:1: listen.public: ":http" has a port that is not a number from 0 to 65535; write`},
		{"listen: {admin: 'a b:1'}", `config.yaml:1: listen.admin: "a b:1" has a host that is neither an address nor a name; write`},
		{"listen: {tls: {cert: a}}", "config.yaml:1: listen.tls.cert and listen.tls.key go together; write both, or neither"},
		{"listen: {tls: {key: a}}", "config.yaml:1: listen.tls.cert and listen.tls.key go together; write both, or neither"},
		{"listen: {public: 127.0.0.1:8081}", "config.yaml:1: listen.admin is the address of listen.public; write another port"},
		{"public_url: login.example.com", `config.yaml:1: public_url: "login.example.com" is not a URL that begins with https:// or http://; write what clients type`},
		{"public_url: ftp://a", `public_url: "ftp://a" is not a URL that begins with https:// or http://; write`},
		{"public_url: 'https://'", `public_url: "https://" has no host; write`},
		{"public_url: https://a?b", `public_url: "https://a?b" has a query or fragment (? or #); write`},
		{"public_url: https://a:70000", `public_url: "https://a:70000" has a port that is not a number from 0 to 65535; write`},
		{"public_url: https://a:PLANTED@b", "public_url: the value has a user name or password in it; write"},
		{"store: {url: mysql://a}", "config.yaml:1: store.url: the value begins neither with bolt: nor with postgres:// as it must; write bolt:PATH, such as"},
		{"store: {url: 'bolt:'}", "store.url: the value has bolt: and no file after it; write"},
		{"store: {url: bolt://a}", "store.url: the value has // where bolt: is followed by a plain path; write"},
		{"store: {url: 'postgres://a:PLANTED%@b'}", "store.url: the value is not a URL; in its password, what is special must be escaped by %; write"},
		{"store: {url: 'postgres://a:PLANTED@b/c?pooler=session'}", "store.url: the value has a parameter pooler, which can only be transaction; write"},
		{"store: {url: 'postgres://a:PLANTED@b/c?sslmode=PLANTED'}", "store.url: the value has a part that PostgreSQL's driver does not know; look at its parameters; write"},
		{"store: {url: 'postgres://a:PLANTED@b/c'}\nadmin: {token: " + planted + "}", "config.yaml:1: encryption.key is not given; a store in PostgreSQL needs it, the same for every replica; write 32 bytes in base64, such as the output of: openssl rand -base64 32"},
		{"store: {url: 'postgres://a:PLANTED@b/c'}\nencryption: {key: " + plantedKey + "}", "config.yaml:1: admin.token is not given; a store in PostgreSQL needs it, the same for every replica; write at least 32 visible ASCII characters, such as the output of: openssl rand -hex 32"},
		{"admin: {token: PLANTED}", "config.yaml:1: admin.token: the value is shorter than 32 characters; write at least 32 visible ASCII characters"},
		{"admin: {token: '" + planted + " x'}", "admin.token: the value has whitespace or characters outside ASCII in it; write"},
		{"admin: " + planted, "config.yaml:1: admin: holds keys; write one a line, a colon and a space after it: token"},
		{"encryption: {key: PLANTED!}", "encryption.key: the value is not base64; write 32 bytes in base64, such as the output of: openssl rand -base64 32"},
		{"encryption: {key: PLANTEDx}", "encryption.key: the value is not 32 bytes long but 6; write"},
		{"wechat: {base_url: http://api.weixin.qq.com}", `wechat.base_url: "http://api.weixin.qq.com" is not https and would send AppSecrets in the clear; write`},
		{"wechat: {timeout: 5}", `wechat.timeout: "5" is not a duration with its unit; write a duration`},
		{"wechat: {timeout: -5s}", `wechat.timeout: "-5s" is not more than zero; write`},
		{"wechat: {timeout: 0s}", `wechat.timeout: "0s" is not more than zero; write`},
		{"idaas: {error_prefix: IDAAS}", `idaas.error_prefix: "IDAAS" is not a word with a dot after it; write IDAAS.`},
		{"idaas: {error_prefix: 'a b.'}", `idaas.error_prefix: "a b." is not a word with a dot after it; write IDAAS.`},
		{"idaas: {error_prefix: .}", `idaas.error_prefix: "." is not a word with a dot after it; write IDAAS.`},
		{"drain_delay: 10", `drain_delay: "10" is not a duration with its unit; write a duration`},
		{"drain_delay: -1s", `drain_delay: "-1s" is less than zero; write`},
		{"drain_delay: 121s", `drain_delay: "121s" is too long; write`},
		{"wechat: {timeout: 10001ms}", `wechat.timeout: "10001ms" is too long; write`},
		{"trusted_proxies:\n- aliyun\n- 10.0.0.0/33", `config.yaml:3: trusted_proxies: "10.0.0.0/33" is neither an address, a CIDR nor a preset; write`},
		{"trusted_proxies: 0.0.0.0/0", `trusted_proxies: "0.0.0.0/0" trusts everybody, who could then forge their address; write`},
		{"trusted_proxies: ['::ffff:0.0.0.0/96']", `trusted_proxies: "::ffff:0.0.0.0/96" trusts everybody`},
		{"log: {level: loud}", `log.level: "loud" is not a log level; write debug, info, warn or error`},
		{"log: {format: xml}", `log.format: "xml" is not a log format; write json or text`},
	} {
		_, _, err := parseConfig("config.yaml", []byte(row.yaml), nil)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q:\n got %v\nwant %s", row.yaml, err, row.want)
			continue
		}
		if strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("%q: the mistake shows the secret: %v", row.yaml, err)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: one mistake is told as several: %v", row.yaml, err)
		}
	}
}

// All mistakes come at once, whether in the file or the environment, and even
// where the environment would win.
func TestMistakesAllAtOnce(t *testing.T) {
	_, _, err := parseConfig("config.yaml", []byte("a: 1\nlog:\n  level: loud\nlisten: {public: x}"),
		[]string{"APP2WXAPP_LOG_LEVEL=info", "APP2WXAPP_WECHAT_TIMEOUT=soon"})
	for i, start := range []string{"config.yaml:1: ", "config.yaml:3: ", "config.yaml:4: ", "APP2WXAPP_WECHAT_TIMEOUT: "} {
		if lines := strings.Split(fmt.Sprint(err), "\n"); len(lines) != 4 || !strings.HasPrefix(lines[i], start) {
			t.Errorf("mistake %d of 4: want one that begins with %q in:\n%v", i, start, err)
		}
	}
}

// What is empty counts as not given, in file and environment.
func TestEmptyIsNotGiven(t *testing.T) {
	want, _, _ := parseConfig("", nil, nil)
	for _, text := range []string{"", "# only\n# comments", "---", "~", "listen:\nadmin:\n  token:\npublic_url: ''\ntrusted_proxies: []"} {
		got, warnings, err := parseConfig("config.yaml", []byte(text), []string{"APP2WXAPP_LISTEN_PUBLIC=", "APP2WXAPP_ADMIN_TOKEN_FILE=", "APP2WXAPP_X="})
		if err != nil || warnings != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %q, %v, want the defaults", text, got, warnings, err)
		}
	}
}

func TestEnvironmentWins(t *testing.T) {
	c, warnings, err := parseConfig("config.yaml", []byte("listen: {public: ':1'}\ntrusted_proxies: [10.0.0.1]"), []string{
		"PATH=/bin", "APP2WXAPP_LISTEN_PUBLIC=:2", "APP2WXAPP_PUBLIC_URL=https://a.example", "APP2WXAPP_STORE_URL=bolt:x",
		"APP2WXAPP_WECHAT_BASE_URL=https://b.example", "APP2WXAPP_TRUSTED_PROXIES=aliyun, 10.0.0.2"})
	got := fmt.Sprint(c.Listen.Public, c.PublicURL, string(c.StoreURL), c.WeChat.BaseURL, c.TrustedProxies, warnings, err)
	want := fmt.Sprint(":2", "https://a.example", "bolt:x", "https://b.example", []string{"100.64.0.0/10", "10.0.0.2/32"}, []string(nil), nil)
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSecretFromFile(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token, missing := file("token", planted+"\n"), filepath.Join(dir, "missing")
	for _, row := range []struct {
		env  []string
		want string // in the error; empty for success
	}{
		{[]string{"APP2WXAPP_ADMIN_TOKEN_FILE=" + token}, ""},
		{[]string{"APP2WXAPP_ADMIN_TOKEN_FILE=" + file("crlf", planted+"\r\n")}, ""},
		{[]string{"APP2WXAPP_ADMIN_TOKEN_FILE=" + file("two", planted+"\n\n")}, "the content of " + dir + "/two has whitespace"},
		{[]string{"APP2WXAPP_ADMIN_TOKEN_FILE=" + file("empty", "\n")}, "APP2WXAPP_ADMIN_TOKEN_FILE: " + dir + "/empty is empty; write"},
		{[]string{"APP2WXAPP_ADMIN_TOKEN_FILE=" + missing}, "APP2WXAPP_ADMIN_TOKEN_FILE: open " + missing},
		{[]string{"APP2WXAPP_ADMIN_TOKEN_FILE=" + token, "APP2WXAPP_ADMIN_TOKEN=" + planted}, "APP2WXAPP_ADMIN_TOKEN: is set beside APP2WXAPP_ADMIN_TOKEN_FILE; keep one of the two"},
	} {
		c, warnings, err := parseConfig("", nil, row.env)
		switch {
		case row.want == "" && (err != nil || string(c.AdminToken) != planted || warnings != nil):
			t.Errorf("%q: %v, warnings %q, want the token of the file", row.env, err, warnings)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%q: got %v, want %s", row.env, err, row.want)
		case err != nil && strings.Contains(err.Error(), "PLANTED"):
			t.Errorf("the mistake shows the secret: %v", err)
		}
	}
	c, _, err := parseConfig("", nil, []string{"APP2WXAPP_STORE_URL_FILE=" + file("url", "bolt:/srv/b.db"), "APP2WXAPP_ENCRYPTION_KEY_FILE=" + file("key", plantedKey)})
	if err != nil || string(c.StoreURL) != "bolt:/srv/b.db" || string(c.EncryptionKey) != plantedKey {
		t.Errorf("store.url and encryption.key from files: %v, want both", err)
	}
}

func TestForeignVariablesAreWarnings(t *testing.T) {
	_, warnings, err := parseConfig("", nil, []string{
		"APP2WXAPP_SERVICE_HOST=10.0.0.1", "APP2WXAPP_PORT=tcp://10.0.0.1:80", "APP2WXAPP_ADMIN_TOKN=" + planted, "APP2WXAPP_LOG_LEVEL_FILE=x", "APP2WXAPPX=1"})
	want := []string{
		"APP2WXAPP_ADMIN_TOKN is not a setting and was not read; did you mean APP2WXAPP_ADMIN_TOKEN?",
		"APP2WXAPP_LOG_LEVEL_FILE is not a setting and was not read",
		"APP2WXAPP_PORT is not a setting and was not read",
		"APP2WXAPP_SERVICE_HOST is not a setting and was not read",
	}
	if err != nil || !slices.Equal(warnings, want) {
		t.Errorf("got %q, %v, want %q", warnings, err, want)
	}
}

func TestConfigPrintsNoSecret(t *testing.T) {
	c, _, err := parseConfig("", nil, []string{"APP2WXAPP_ADMIN_TOKEN=" + planted, "APP2WXAPP_ENCRYPTION_KEY=" + plantedKey, "APP2WXAPP_STORE_URL=bolt:PLANTED"})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "config", c)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", c, c, c), log.String()} {
		if strings.Contains(text, "PLANTED") || strings.Contains(text, plantedKey) {
			t.Errorf("a secret is printed: %s", text)
		}
	}
}

func FuzzConfig(f *testing.F) {
	reference, err := os.ReadFile("config.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reference)
	for _, seed := range []string{"a: &a [*a]", "? {}\n: [", "--- !!map\n...\n---", "log: {level: *x}", "trusted_proxies: [1, ~, {}]", "\xff\xfe"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _, err := parseConfig("config.yaml", data, nil)
		if err == nil && (c.PublicURL == "" || c.StoreURL == "" || c.WeChat.Timeout <= 0) {
			t.Errorf("%q: accepted, but incomplete: %+v", data, c)
		}
	})
}
