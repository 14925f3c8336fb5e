package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"app2wxapp/store"
	"app2wxapp/userpool"

	"go.yaml.in/yaml/v3"
)

// Config is what config.yaml and the environment say, checked and complete but
// for what is generated. Its secrets print as asterisks.
type Config struct {
	Listen struct {
		Public string                     // host:port; mini program, apps, servers
		Admin  string                     // host:port; admin API, metrics, health
		TLS    struct{ Cert, Key string } // PEM files; both or neither
	}
	PublicURL     string          // without a trailing slash; never empty
	StoreURL      userpool.Secret // bolt:PATH or postgres://…
	AdminToken    userpool.Secret // empty: generate one
	EncryptionKey userpool.Secret // base64, for decodeKey; empty: generate one
	WeChat        struct {
		BaseURL string // without a trailing slash
		Timeout time.Duration
	}
	// TrustedProxies are the peers whose X-Forwarded-For is believed; none by
	// default, and then the peer's own address is the client's.
	TrustedProxies []netip.Prefix
	// DrainDelay is how long the server goes on after SIGTERM as if nothing were,
	// but for /readyz; 0 by default.
	DrainDelay time.Duration
	IDaaS      struct {
		ErrorPrefix string // before its error codes; none by default
	}
	Log struct {
		Level  slog.Level
		Format string // "json" or "text"; empty: text on a terminal, else json
	}
}

// envPrefix begins the name of every environment variable that is ours.
const envPrefix = "APP2WXAPP_"

// A setting is one key of config.yaml.
type setting struct {
	path   string // "listen.public"
	def    string // what absence means; empty for none, derived or generated
	kind   kind
	advice string // what to write; ends the sentence of every bad value
	// set checks a text and puts it into the Config. Its error completes a
	// sentence that begins with the value ("has no port") and never contains it.
	set func(*Config, string) error
}

type kind int

const (
	plain  kind = iota
	secret      // never shown, and may come from a file named by …_FILE
	list        // a YAML sequence, or one text with commas
)

// env returns the name of the environment variable of the setting.
func (s setting) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.path, ".", "_"))
}

// group returns the first word of the path: "listen".
func (s setting) group() string { g, _, _ := strings.Cut(s.path, "."); return g }

// settings is the one table of all keys: config.yaml, the environment and the
// test of the documentation follow it.
func settings() []setting {
	const addr = "host:port, such as 127.0.0.1:8080, or :8080 for every address of this machine"
	return []setting{
		{"listen.public", "127.0.0.1:8080", plain, addr, field(func(c *Config) *string { return &c.Listen.Public }, listenAddr)},
		{"listen.admin", "127.0.0.1:8081", plain, addr, field(func(c *Config) *string { return &c.Listen.Admin }, listenAddr)},
		{"listen.tls.cert", "", plain, "the path of a PEM file", field(func(c *Config) *string { return &c.Listen.TLS.Cert }, anyText)},
		{"listen.tls.key", "", plain, "the path of a PEM file", field(func(c *Config) *string { return &c.Listen.TLS.Key }, anyText)},
		{"public_url", "", plain, "what clients type, such as https://login.example.com",
			field(func(c *Config) *string { return &c.PublicURL }, webURL)},
		{"store.url", "bolt:data/app2wxapp.db", secret, "bolt:PATH, such as bolt:data/app2wxapp.db, or postgres://USER:PASSWORD@HOST:5432/DATABASE",
			field(func(c *Config) *userpool.Secret { return &c.StoreURL }, storeURL)},
		{"admin.token", "", secret, "at least 32 visible ASCII characters, such as the output of: openssl rand -hex 32",
			field(func(c *Config) *userpool.Secret { return &c.AdminToken }, adminToken)},
		{"encryption.key", "", secret, "32 bytes in base64, such as the output of: openssl rand -base64 32",
			field(func(c *Config) *userpool.Secret { return &c.EncryptionKey }, keyText)},
		{"wechat.base_url", "https://api.weixin.qq.com", plain, "https://api.weixin.qq.com, or http:// with a loopback address for a simulated WeChat",
			field(func(c *Config) *string { return &c.WeChat.BaseURL }, wechatURL)},
		{"wechat.timeout", "5s", plain, "a duration of at most 10s, such as 5s or 800ms", field(func(c *Config) *time.Duration { return &c.WeChat.Timeout }, wechatTimeout)},
		{"trusted_proxies", "", list, "addresses or CIDRs of your own proxies, such as 10.0.0.0/8, or a preset: aliyun, tencent",
			field(func(c *Config) *[]netip.Prefix { return &c.TrustedProxies }, prefixes)},
		{"drain_delay", "0s", plain, "a duration of at most 2m, such as 10s", field(func(c *Config) *time.Duration { return &c.DrainDelay }, drainDelay)},
		{"idaas.error_prefix", "", plain, "IDAAS. or another word of letters and digits with a dot after it", field(func(c *Config) *string { return &c.IDaaS.ErrorPrefix }, errorPrefix)},
		{"log.level", "info", plain, "debug, info, warn or error", field(func(c *Config) *slog.Level { return &c.Log.Level }, logLevel)},
		{"log.format", "", plain, "json or text", field(func(c *Config) *string { return &c.Log.Format }, logFormat)},
	}
}

// LoadConfig returns the settings from the file at path, overlaid with those of
// environ ("KEY=value", as from os.Environ). A missing file is a mistake only if
// it was named explicitly. The error has every mistake, one a line; the warnings
// are about variables that look like ours and are none.
func LoadConfig(path string, explicit bool, environ []string) (Config, []string, error) {
	data, err := os.ReadFile(path) // #nosec G304 -- the operator names the file
	if err != nil && (explicit || !errors.Is(err, fs.ErrNotExist)) {
		return Config{}, nil, fmt.Errorf("%w; write the path of a config.yaml that this user can read", err)
	}
	return parseConfig(path, data, environ)
}

// parseConfig is LoadConfig of a file called name that holds data.
func parseConfig(name string, data []byte, environ []string) (Config, []string, error) {
	r := configReader{name: name, settings: settings(), from: map[string]string{}}
	for _, s := range r.settings {
		r.set(s, "default", s.path, s.def)
	}
	clear(r.from)
	r.file(data)
	r.environ(environ)
	r.together()
	if len(r.mistakes) > 0 {
		return Config{}, r.warnings, errors.Join(r.mistakes...)
	}
	return r.cfg, r.warnings, nil
}

// A configReader fills a Config and gathers what is wrong on the way.
type configReader struct {
	name     string // of the file
	settings []setting
	cfg      Config
	from     map[string]string // where a setting was given last, by path
	mistakes []error
	warnings []string
}

func (r *configReader) mistake(where, format string, args ...any) {
	r.mistakes = append(r.mistakes, errors.New(where+": "+fmt.Sprintf(format, args...)))
}

func (r *configReader) line(n int) string { return r.name + ":" + strconv.Itoa(n) }

// set gives s the text, unless it is empty, which means not given. The subject
// stands for the value in the sentence about a bad one.
func (r *configReader) set(s setting, where, subject, text string) {
	if text == "" {
		return
	}
	r.from[s.path] = where
	if err := s.set(&r.cfg, text); err != nil {
		r.mistake(where, "%s %v; write %s", subject, err, s.advice)
	}
}

// shown returns the text as a mistake may show it: no secret, and no URL with a
// password that went astray.
func (s setting) shown(text string) string {
	if s.kind == secret || strings.Contains(text, "@") || len(text) > 80 {
		return "the value"
	}
	return strconv.Quote(text)
}

// file reads the YAML. It goes over nodes instead of decoding, as a node knows
// its line, and never follows an alias.
func (r *configReader) file(data []byte) {
	var doc, second yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	err := dec.Decode(&doc)
	if err == nil {
		r.group(doc.Content[0], "")
		err = dec.Decode(&second)
	}
	switch {
	case err == nil:
		r.mistake(r.line(second.Line), "a second document begins here; keep one, and remove the line ---")
	case err != io.EOF:
		where, text := r.name, strings.TrimPrefix(err.Error(), "yaml: ")
		if rest, ok := strings.CutPrefix(text, "line "); ok {
			n, rest, _ := strings.Cut(rest, ": ")
			where, text = r.name+":"+n, rest
		}
		// What is named after "unknown anchor" may be a secret that begins with *.
		if _, name, ok := strings.Cut(text, "unknown anchor '"); ok {
			before, _, _ := bytes.Cut(data, []byte("*"+strings.TrimSuffix(name, "' referenced")))
			where, text = r.line(1+bytes.Count(before, []byte("\n"))), "an alias (*) of nothing"
		}
		r.mistake(where, "not YAML: %s; indent with spaces, and quote a value with any of : # * & ! @ in it", text)
	}
}

// group reads the keys below prefix, which is empty or ends with a dot.
func (r *configReader) group(n *yaml.Node, prefix string) {
	name := cmp.Or(strings.TrimSuffix(prefix, "."), "the file")
	if !r.given(n, name) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.mistake(r.line(n.Line), "%s: holds keys; write one a line, a colon and a space after it: %s", name, r.keys(prefix))
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, path := n.Content[i], prefix+n.Content[i].Value
		at := slices.IndexFunc(r.settings, func(s setting) bool { return s.path == path })
		isGroup := slices.ContainsFunc(r.settings, func(s setting) bool { return strings.HasPrefix(s.path, path+".") })
		switch {
		case key.Kind != yaml.ScalarNode || strings.Contains(key.Value, ".") || at < 0 && !isGroup:
			r.mistake(r.line(key.Line), "%s", r.unknown(key.Value, prefix))
		case first[path] > 0:
			r.mistake(r.line(key.Line), "%s: given twice, first on line %d; keep one", path, first[path])
		case isGroup:
			r.group(n.Content[i+1], path+".")
		default:
			r.value(n.Content[i+1], r.settings[at])
		}
		first[path] = cmp.Or(first[path], key.Line)
	}
}

// given tells whether the node holds something to read. Nothing after the colon
// means not given; YAML's finer arts are refused.
func (r *configReader) given(n *yaml.Node, path string) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		r.mistake(r.line(n.Line), "%s: anchors (&), aliases (*) and tags (!) are not read; write the value itself, in quotes if it begins so", path)
		return false
	}
	return n.Tag != "!!null"
}

func (r *configReader) value(n *yaml.Node, s setting) {
	if !r.given(n, s.path) {
		return
	}
	items, before := []*yaml.Node{n}, len(r.mistakes)
	if s.kind == list && n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	var texts []string
	for _, item := range items {
		if item.Kind == yaml.SequenceNode || item.Kind == yaml.MappingNode {
			r.mistake(r.line(item.Line), "%s: holds neither keys nor a list here; write %s", s.path, s.advice)
		} else if r.given(item, s.path) {
			texts = append(texts, item.Value)
			r.set(s, r.line(item.Line), s.path+": "+s.shown(item.Value), item.Value)
		}
	}
	if len(r.mistakes) == before { // each is good by itself
		r.set(s, r.line(n.Line), s.path, strings.Join(texts, ","))
	}
}

// unknown is the sentence about a key that is none. It shows the key unless it
// may be a secret that lost its key: those have 32 characters at least.
func (r *configReader) unknown(key, prefix string) string {
	path := prefix + key
	meant := cmp.Or(r.closest(path, func(s setting) string { return s.path }), r.closest(path, setting.group))
	switch {
	case key == "" || len(key) >= 32 || strings.Trim(key, nameChars+"_") != "":
		return "not a key; the keys here are " + r.keys(prefix)
	case meant == "":
		return path + ": unknown key; the keys here are " + r.keys(prefix)
	case meant == path: // written with a dot, which is not how YAML nests
		return path + ": unknown key; write " + strings.ReplaceAll(path, ".", ": and below it, indented, ") + ":"
	}
	return path + ": unknown key; did you mean " + meant + "?"
}

// keys names the keys below prefix.
func (r *configReader) keys(prefix string) string {
	var keys []string
	for _, s := range r.settings {
		if rest, ok := strings.CutPrefix(s.path, prefix); ok {
			keys = append(keys, setting{path: rest}.group())
		}
	}
	return strings.Join(slices.Compact(keys), ", ")
}

// closest returns the name of the setting that was probably meant, or "".
func (r *configReader) closest(word string, name func(setting) string) string {
	fold := func(s string) string {
		return strings.ToLower(strings.NewReplacer(".", "", "_", "", "-", "").Replace(s))
	}
	for edits := range 1 + min(2, len(word)/3) {
		for _, s := range r.settings {
			if near(fold(word), fold(name(s)), edits) {
				return name(s)
			}
		}
	}
	return ""
}

// near tells whether at most so many insertions, deletions and replacements of
// a letter make b of a.
func near(a, b string, edits int) bool {
	if a == "" || b == "" {
		return len(a)+len(b) <= edits
	}
	return a[0] == b[0] && near(a[1:], b[1:], edits) ||
		edits > 0 && (near(a[1:], b[1:], edits-1) || near(a[1:], b, edits-1) || near(a, b[1:], edits-1))
}

// environ lays the environment over the file. What begins with our prefix and
// is no setting is only warned of: Kubernetes sets APP2WXAPP_SERVICE_HOST and
// the like beside a service of that name.
func (r *configReader) environ(environ []string) {
	ours := map[string]string{}
	for _, kv := range environ {
		if name, text, _ := strings.Cut(kv, "="); strings.HasPrefix(name, envPrefix) && text != "" {
			ours[name] = text
		}
	}
	for _, s := range r.settings {
		name := s.env()
		r.set(s, name, s.shown(ours[name]), ours[name])
		if file := ours[name+"_FILE"]; s.kind == secret && file != "" {
			data, err := os.ReadFile(file) // #nosec G304 -- the operator names the file
			text, err := secretText(file, data, err)
			if err != nil {
				r.mistake(name+"_FILE", "%v; write the path of a file that this user can read, holding %s", err, s.advice)
			}
			if ours[name] != "" {
				r.mistake(name, "is set beside %s_FILE; keep one of the two", name)
			}
			r.set(s, name+"_FILE", "the content of "+file, text)
			delete(ours, name+"_FILE")
		}
		delete(ours, name)
	}
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		warning := name + " is not a setting and was not read"
		if meant := r.closest(name, setting.env); meant != "" {
			warning += "; did you mean " + meant + "?"
		}
		r.warnings = append(r.warnings, warning)
	}
}

// together checks what no setting can tell alone, and derives PublicURL.
func (r *configReader) together() {
	c, cert, key := &r.cfg, r.from["listen.tls.cert"], r.from["listen.tls.key"]
	if (cert == "") != (key == "") {
		r.mistake(cert+key, "listen.tls.cert and listen.tls.key go together; write both, or neither to serve plain HTTP")
	}
	if c.Listen.Public == c.Listen.Admin && !strings.HasSuffix(c.Listen.Admin, ":0") {
		where := cmp.Or(r.from["listen.admin"], r.from["listen.public"])
		r.mistake(where, "listen.admin is the address of listen.public; write another port")
	}
	if store.Remote(string(c.StoreURL)) {
		// Replicas share them, and a server has no folder where they could lie.
		for _, s := range r.settings {
			needed := s.path == "encryption.key" && c.EncryptionKey == "" || s.path == "admin.token" && c.AdminToken == ""
			if needed {
				r.mistake(r.from["store.url"], "%s is not given; a store in PostgreSQL needs it, the same for every replica; write %s", s.path, s.advice)
			}
		}
	}
	c.PublicURL = cmp.Or(c.PublicURL, publicURL(c.Listen.Public, c.Listen.TLS.Cert != ""))
}

// publicURL returns the URL under which a listener at addr answers on this
// machine: what public_url is when nobody says it.
func publicURL(addr string, tls bool) string {
	scheme, usual := "http://", ":80"
	if tls {
		scheme, usual = "https://", ":443"
	}
	host, port, _ := net.SplitHostPort(addr)
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + strings.TrimSuffix(net.JoinHostPort(host, port), usual)
}
