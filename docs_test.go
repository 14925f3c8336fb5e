package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// readmes says the same thing in two languages.
var readmes = []string{"README.md", "README.zh-CN.md"}

func readText(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// found returns what the groups of the expression match in the text, and fails
// if that is less than min: then the expression has grown old.
func found(t *testing.T, text, expression string, min int) [][]string {
	t.Helper()
	all := regexp.MustCompile(expression).FindAllStringSubmatch(text, -1)
	if len(all) < min {
		t.Fatalf("%s matches %d times, want %d or more", expression, len(all), min)
	}
	return all
}

// sources returns the Go files of the program, or its tests, as one text.
func sources(t *testing.T, tests bool) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") != tests {
			return err
		}
		all.WriteString(readText(t, path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestDocsHaveEveryError(t *testing.T) {
	doc := readText(t, "docs/errors.md")
	for _, m := range found(t, readText(t, "bridge/wire/errors.go"), `Code: (\d+), Slug: "(\w+)"`, 20) {
		if row := "| " + m[1] + " | `" + m[2] + "` |"; !strings.Contains(doc, row) {
			t.Errorf("docs/errors.md has no row with %q", row)
		}
	}
	for _, m := range found(t, readText(t, "bridge/oauth/errors.go"), `problem\{(\d+), "(\w+)", "([^"]+)"`, 18) {
		if row := "| " + m[1] + " | `" + m[2] + "` | " + m[3]; !strings.Contains(doc, row) {
			t.Errorf("docs/errors.md has no row with %q", row)
		}
	}
	for _, m := range found(t, readText(t, "bridge/token.go"), `Code: (\d+)`, 3) {
		if m[1] != "200" && !strings.Contains(doc, "| 200 | "+m[1]+" |") {
			t.Errorf("docs/errors.md has no row for the token check's %s", m[1])
		}
	}
}

// Every route has an entry in docs/api.md, and every entry a route.
func TestDocsHaveEveryRoute(t *testing.T) {
	src := readText(t, "bridge/routes.go")
	var routes []string
	for _, m := range found(t, src, `e\.([A-Z]+)\("([^"]+)"`, 7) {
		routes = append(routes, m[1]+" "+m[2])
	}
	for _, m := range found(t, src, `v1\(http\.Method(\w+), "([^"]+)"`, 10) {
		routes = append(routes, strings.ToUpper(m[1])+" /admin/v1"+m[2])
	}
	var entries []string
	for _, heading := range found(t, readText(t, "docs/api.md"), `(?m)^## .*$`, 10) {
		for _, m := range found(t, heading[0], "`([A-Z]+ /[^`]*)`", 0) {
			entries = append(entries, m[1])
		}
	}
	for _, r := range routes {
		if !slices.Contains(entries, r) {
			t.Errorf("docs/api.md has no heading with `%s`", r)
		}
	}
	for _, e := range entries {
		if !slices.Contains(routes, e) {
			t.Errorf("docs/api.md describes %s, which bridge/routes.go does not have", e)
		}
	}
}

func TestDocsHaveEveryCommand(t *testing.T) {
	var walk func(c *cobra.Command, path string)
	walk = func(c *cobra.Command, path string) {
		for _, sub := range c.Commands() {
			name := strings.TrimSpace(path + " " + sub.Name())
			if name == "help" || name == "completion" {
				continue
			}
			walk(sub, name)
			if sub.HasSubCommands() && name != "audit" { // it prints its help, and does nothing else
				continue
			}
			for _, readme := range readmes {
				if !strings.Contains(readText(t, readme), "`"+name+"`") {
					t.Errorf("%s does not name the command `%s`", readme, name)
				}
			}
		}
	}
	walk(newCommand(), "")
}

func TestDocsHaveEverySettingAndMetric(t *testing.T) {
	api, operations := readText(t, "docs/api.md"), readText(t, "docs/operations.md")
	for _, m := range found(t, readText(t, "bridge/admin/pools.go"), `"(\w+)": +&s\.`, 14) {
		if !strings.Contains(api, "`"+m[1]+"`") {
			t.Errorf("docs/api.md does not name the pool setting `%s`", m[1])
		}
	}
	for _, m := range found(t, sources(t, false), `Name: "(app2wxapp_\w+)"`, 9) {
		if !strings.Contains(operations, m[1]) {
			t.Errorf("docs/operations.md does not name the metric %s", m[1])
		}
	}
}

func TestDocsNameWhatExists(t *testing.T) {
	makefile, tests := readText(t, "Makefile"), sources(t, true)
	contract := readText(t, "store/storetest/storetest.go")
	for _, readme := range readmes {
		text := readText(t, readme)
		for _, m := range found(t, text, "make ([a-z]+)", 6) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s: make %s is not in the Makefile", readme, m[1])
			}
		}
		if !strings.Contains(text, "`make test`") {
			t.Errorf("%s does not say how to test", readme)
		}
		for _, m := range found(t, text, "`(Test[A-Z]\\w+)`", 10) {
			if !strings.Contains(tests, "func "+m[1]+"(t ") {
				t.Errorf("%s: there is no %s", readme, m[1])
			}
		}
		// Names of the store's contract have no lower-case letter before them.
		for _, m := range found(t, text, "`((?:Redeem|Replay|Idempotent|Invalid)[A-Za-z]*)`", 7) {
			if !strings.Contains(contract, `{"`+m[1]+`", `) {
				t.Errorf("%s: store/storetest has no %s", readme, m[1])
			}
		}
	}
	for _, m := range found(t, readText(t, "CONTRIBUTING.md"), "(?m)^make ([a-z]+)", 3) {
		if !strings.Contains(makefile, "\n"+m[1]+":") {
			t.Errorf("CONTRIBUTING.md: make %s is not in the Makefile", m[1])
		}
	}
}

// What is said to be missing is: a dialect that has its package is there.
func TestDocsMissNothingThatIsThere(t *testing.T) {
	dialects, err := filepath.Glob("bridge/*/README.md")
	if err != nil || len(dialects) < 2 {
		t.Fatalf("dialects: %v %v", dialects, err)
	}
	for _, readme := range readmes {
		missing := found(t, readText(t, readme), `\*\*(?:Not in this version:|本版本没有的：)\*\*(.*?(?:\. |。))`, 1)[0][1]
		for _, d := range dialects {
			if name := filepath.Base(filepath.Dir(d)); strings.Contains(strings.ToLower(missing), name) {
				t.Errorf("%s: %q names %s, which bridge/%[3]s is", readme, missing, name)
			}
		}
	}
}

// A link into a page names one of its headings, as GitHub makes names of them.
func TestDocsAnchors(t *testing.T) {
	headings := func(page string) (names []string) {
		for _, m := range found(t, readText(t, page), `(?m)^#+ (.*)$`, 1) {
			names = append(names, regexp.MustCompile(`[^\p{L}\p{N}_-]`).ReplaceAllString(strings.ReplaceAll(strings.ToLower(m[1]), " ", "-"), ""))
		}
		return names
	}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, readmes...) {
		for _, m := range found(t, readText(t, page), `\]\(([^)#:]*)#([^)]+)\)`, 0) {
			target := page
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(page), m[1])
			}
			if !slices.Contains(headings(target), m[2]) {
				t.Errorf("%s: %s has no heading %s", page, target, m[2])
			}
		}
	}
}

// Relative links lead somewhere, and both READMEs lead to the same places.
func TestDocsLinks(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	links := map[string][]string{}
	for _, page := range append(pages, "README.md", "README.zh-CN.md", "CONTRIBUTING.md", "SECURITY.md") {
		for _, m := range found(t, readText(t, page), `\]\(([^)#]+)(#[^)]*)?\)`, 0) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target := filepath.Join(filepath.Dir(page), m[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
			}
			links[page] = append(links[page], target)
		}
	}
	for i, readme := range readmes {
		for _, target := range links[readmes[1-i]] {
			if target != readme && !slices.Contains(links[readme], target) {
				t.Errorf("%s does not link to %s, as %s does", readme, target, readmes[1-i])
			}
		}
	}
}
