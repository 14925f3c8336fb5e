package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// deployFiles are all that somebody may install us with.
func deployFiles(t *testing.T) (names []string) {
	t.Helper()
	for _, pattern := range []string{"deploy/Dockerfile", "deploy/*.yaml", "deploy/*/*.yaml", "deploy/*/*.service"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v %v", pattern, found, err)
		}
		names = append(names, found...)
	}
	return names
}

// Every setting that a deploy file gives exists, and has a value that it can
// have.
func TestDeploySettings(t *testing.T) {
	known := map[string]setting{}
	for _, s := range settings() {
		known[s.env()] = s
		if s.kind == secret {
			known[s.env()+"_FILE"] = setting{set: field(func(c *Config) *string { return new(string) }, anyText)}
		}
	}
	for _, name := range deployFiles(t) {
		given := found(t, readText(t, name), `(APP2WXAPP_[A-Z0-9_]+)(?:[=:] ?|, value: )?("[^"\n]*"|[^\s},、]*)`, 0)
		for _, m := range given {
			s, ok := known[m[1]]
			if !ok {
				t.Errorf("%s: there is no setting %s", name, m[1])
				continue
			}
			if value := strings.Trim(m[2], `"`); value != "" && s.set(new(Config), value) != nil {
				t.Errorf("%s: %s cannot be %s", name, m[1], value)
			}
		}
		if len(given) == 0 && strings.Contains(name, "Dockerfile") {
			t.Errorf("%s gives no settings", name)
		}
	}
}

// manifest is what of the manifests concerns the program.
type manifest struct {
	Kind string
	Spec struct {
		Template struct {
			Spec struct {
				TerminationGracePeriodSeconds int `yaml:"terminationGracePeriodSeconds"`
				Containers                    []struct {
					Args  []string
					Env   []struct{ Name, Value string }
					Ports []struct {
						ContainerPort int `yaml:"containerPort"`
					}
					StartupProbe   probe `yaml:"startupProbe"`
					ReadinessProbe probe `yaml:"readinessProbe"`
					LivenessProbe  probe `yaml:"livenessProbe"`
				}
			}
		}
	}
}

type probe struct {
	HTTPGet          struct{ Path string } `yaml:"httpGet"`
	PeriodSeconds    int                   `yaml:"periodSeconds"`
	FailureThreshold int                   `yaml:"failureThreshold"`
	TimeoutSeconds   int                   `yaml:"timeoutSeconds"`
}

func deployment(t *testing.T) manifest {
	t.Helper()
	for document := range strings.SplitSeq(readText(t, "deploy/kubernetes/app2wxapp.yaml"), "\n---\n") {
		var m manifest
		if err := yaml.Unmarshal([]byte(document), &m); err != nil {
			t.Fatal(err)
		}
		if m.Kind == "Deployment" {
			return m
		}
	}
	t.Fatal("there is no Deployment")
	return manifest{}
}

// lastWrites is how long the end takes after the draining: what is kept in
// memory is written, each by one statement of the store.
const lastWrites = 15 * time.Second

// Kubernetes notices that a replica drains before its listeners close, and lets
// it end by itself.
func TestDeployKubernetes(t *testing.T) {
	pod := deployment(t).Spec.Template.Spec
	c := pod.Containers[0]
	var environ []string
	for _, e := range c.Env {
		if !strings.HasSuffix(e.Name, "_FILE") { // which are not here
			environ = append(environ, e.Name+"="+e.Value)
		}
	}
	cfg, warnings, err := parseConfig("defaults", nil, environ)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	ready := c.ReadinessProbe
	notices := time.Duration(ready.PeriodSeconds*ready.FailureThreshold+ready.TimeoutSeconds) * time.Second
	if cfg.DrainDelay < notices {
		t.Errorf("listeners close %v after SIGTERM, and it takes %v to notice", cfg.DrainDelay, notices)
	}
	grace := time.Duration(pod.TerminationGracePeriodSeconds) * time.Second
	if end := cfg.DrainDelay + drainTimeout + lastWrites; grace < end {
		t.Errorf("killed after %v, and the end may take %v", grace, end)
	}
	for what, p := range map[string]probe{"/readyz": c.StartupProbe, "/readyz ": ready, "/healthz": c.LivenessProbe} {
		path := strings.TrimSpace(what)
		if p.HTTPGet.Path != path || !strings.Contains(readText(t, "bridge/routes.go"), `"`+path+`"`) {
			t.Errorf("a probe of %s, want %s", p.HTTPGet.Path, path)
		}
	}
	for i, addr := range []string{cfg.Listen.Public, cfg.Listen.Admin} {
		if want := regexp.MustCompile(`\d+$`).FindString(addr); len(c.Ports) != 2 || want != strconv.Itoa(c.Ports[i].ContainerPort) {
			t.Errorf("ports %v, and the program listens on %s", c.Ports, addr)
		}
	}
	if _, _, err := newCommand().Find(c.Args); err != nil {
		t.Error(err)
	}
	image := found(t, readText(t, "deploy/Dockerfile"), `EXPOSE (\d+) (\d+)`, 1)[0]
	if image[1] != strconv.Itoa(c.Ports[0].ContainerPort) || image[2] != strconv.Itoa(c.Ports[1].ContainerPort) {
		t.Errorf("the image exposes %v", image)
	}
	metric := found(t, readText(t, "deploy/kubernetes/autoscale.yaml"), `seriesQuery: '(\w+)_count`, 1)[0][1]
	if !strings.Contains(sources(t, false), `"`+metric+`"`) {
		t.Errorf("there is no metric %s", metric)
	}
}

// systemd lets the program end by itself, and the unit is one.
func TestDeploySystemd(t *testing.T) {
	unit := readText(t, "deploy/systemd/app2wxapp.service")
	files := found(t, unit, `(?m)^LimitNOFILE=(\d+)$`, 1)[0][1]
	if n, err := strconv.Atoi(files); err != nil || n < maxPublic+maxAdmin+otherFiles {
		t.Errorf("LimitNOFILE=%s, want %d or more: the start warns", files, maxPublic+maxAdmin+otherFiles)
	}
	for _, readme := range readmes {
		if !strings.Contains(readText(t, readme), "\nLimitNOFILE="+files+"\n") {
			t.Errorf("%s has another LimitNOFILE than the unit's %s", readme, files)
		}
	}
	seconds := func(expression string) time.Duration {
		d, err := time.ParseDuration(found(t, unit, expression, 1)[0][1])
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if stop, end := seconds(`TimeoutStopSec=(\S+)`), seconds(`APP2WXAPP_DRAIN_DELAY=(\S+)`)+drainTimeout+lastWrites; stop < end {
		t.Errorf("killed after %v, and the end may take %v", stop, end)
	}
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not installed: the unit was not verified")
		return
	}
	// It looks whether the program is there.
	folder := t.TempDir()
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "app2wxapp.service")
	unit = strings.ReplaceAll(unit, "/usr/local/bin/app2wxapp", me)
	if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(verify, "verify", "--man=no", file).CombinedOutput(); err != nil || strings.Contains(string(out), "app2wxapp.service:") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// Compose waits as long, and what it names is there.
func TestDeployCompose(t *testing.T) {
	var c struct {
		Services map[string]struct {
			Build           struct{ Context, Dockerfile string }
			Environment     map[string]string
			Secrets, Ports  []string
			StopGracePeriod string `yaml:"stop_grace_period"`
		}
		Secrets map[string]struct{ File string }
	}
	if err := yaml.Unmarshal([]byte(readText(t, "deploy/compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	s := c.Services["app2wxapp"]
	if _, err := os.Stat(filepath.Join("deploy", s.Build.Context, s.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
	if grace, err := time.ParseDuration(s.StopGracePeriod); err != nil || grace < drainTimeout+lastWrites {
		t.Errorf("killed after %v %v, and the end may take %v", grace, err, drainTimeout+lastWrites)
	}
	for name, value := range s.Environment {
		if secret, ok := strings.CutPrefix(value, "/run/secrets/"); ok && !slices.Contains(s.Secrets, secret) {
			t.Errorf("%s: no secret %s", name, secret)
		}
	}
	for _, service := range c.Services {
		for _, secret := range service.Secrets {
			if _, ok := c.Secrets[secret]; !ok {
				t.Errorf("no secret %s", secret)
			}
		}
	}
	for _, port := range s.Ports {
		if !strings.HasPrefix(port, "127.0.0.1:") {
			t.Errorf("port %s is open to the network", port)
		}
	}
}
