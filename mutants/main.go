// Command mutants plants defects, one at a time, in a copy of the tree and
// expects the tests to notice each: go run ./mutants, or make mutants.
//
// The list holds the defects that this kind of program is known for. A defect
// whose place is gone, one that does not compile and one that no test notices
// are all failures, as are tests that fail without any.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// mutant is a defect: old is replaced by new in file, and the tests of the
// packages must fail.
type mutant struct {
	name     string
	file     string
	old, new string
	packages []string
}

func main() {
	only := flag.String("only", "", "run the mutants whose name has this in it")
	flag.Parse()
	if err := run(context.Background(), *only); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string) error {
	copied, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(copied)
	if err := copyTree(ctx, copied); err != nil {
		return err
	}
	chosen := slices.DeleteFunc(all(), func(m mutant) bool { return !strings.Contains(m.name, only) })
	if err := sound(ctx, copied, chosen); err != nil {
		return err
	}
	var failed []string
	for _, m := range chosen {
		start := time.Now()
		verdict, err := m.plant(ctx, copied)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Printf("%-8s %-40s %v\n", verdict, m.name, time.Since(start).Round(time.Second))
		if verdict != caught {
			failed = append(failed, m.name)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("not noticed: %s", strings.Join(failed, ", "))
	}
	return nil
}

func all() []mutant { return slices.Concat(mutants, newer, proofs, onPostgres) }

// sound returns an error if tests of the mutants' packages fail as they are: then
// they would fail with any defect, and with none.
func sound(ctx context.Context, dir string, chosen []mutant) error {
	packages := map[string]bool{}
	for _, m := range chosen {
		for _, p := range m.packages {
			packages[p] = true
		}
	}
	for _, p := range slices.Sorted(maps.Keys(packages)) {
		if out, err := goTool(ctx, dir, []string{"test", "-count=1", "-timeout=20m", p}); err != nil {
			return fmt.Errorf("%s fails without a defect: %w\n%s", p, err, out)
		}
	}
	return nil
}

// copyTree copies the files that git knows, and those it would add, to dir.
func copyTree(ctx context.Context, dir string) error {
	names, err := listed(ctx, "--cached", "--others", "--exclude-standard")
	if err != nil {
		return err
	}
	for _, name := range names {
		b, err := os.ReadFile(name) // #nosec G304 -- a file that git lists
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted and not committed
		}
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		// #nosec G301 G306 -- a copy of public source
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, b, 0o644)); err != nil {
			return err
		}
	}
	return linkModules(ctx, dir)
}

// listed returns what git ls-files lists.
func listed(ctx context.Context, which ...string) ([]string, error) {
	list, err := exec.CommandContext(ctx, "git", append([]string{"ls-files", "-z"}, which...)...).Output() // #nosec G204 -- options of this file
	if err != nil {
		return nil, fmt.Errorf("list the tree: %w", err)
	}
	return strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00"), nil
}

// linkModules lends the copy the npm packages of the tests of foreign clients,
// which are no part of the tree.
func linkModules(ctx context.Context, dir string) error {
	names, err := listed(ctx, "--others", "--ignored", "--exclude-standard", "--directory")
	if err != nil {
		return err
	}
	for _, name := range names {
		if filepath.Base(name) != "node_modules" {
			continue
		}
		from, err := filepath.Abs(name)
		if err := errors.Join(err, os.Symlink(from, filepath.Join(dir, name))); err != nil {
			return err
		}
	}
	return nil
}

const (
	caught   = "caught"
	survived = "SURVIVED"
)

// plant plants the defect in the copy, runs the tests, and takes it out again.
func (m mutant) plant(ctx context.Context, dir string) (verdict string, err error) {
	file := filepath.Join(dir, m.file)
	good, err := os.ReadFile(file) // #nosec G304 -- a file of the list
	if err != nil {
		return "", err
	}
	if n := bytes.Count(good, []byte(m.old)); n != 1 {
		return "", fmt.Errorf("its place occurs %d times in %s, want once", n, m.file)
	}
	// #nosec G306 -- a copy of public source
	if err := os.WriteFile(file, bytes.Replace(good, []byte(m.old), []byte(m.new), 1), 0o644); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.WriteFile(file, good, 0o644)) }() // #nosec G306 -- a copy of public source

	if out, err := goTool(ctx, dir, append([]string{"vet"}, m.packages...)); err != nil {
		return "", fmt.Errorf("does not compile:\n%s", out)
	}
	out, err := goTool(ctx, dir, append([]string{"test", "-count=1", "-timeout=20m", "-failfast"}, m.packages...))
	switch {
	case err == nil:
		return survived, nil
	case bytes.Contains(out, []byte("--- FAIL")) || bytes.Contains(out, []byte("panic:")):
		return caught, nil
	}
	return "", fmt.Errorf("the tests did not run:\n%s", out)
}

// goTool runs the go command for as long as a busy machine may take.
func goTool(ctx context.Context, dir string, args []string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	return cmd.CombinedOutput()
}
