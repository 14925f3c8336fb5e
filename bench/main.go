//go:build linux

// Command bench measures the bridge against a bare echo, and checks on the way
// that every ticket is accepted exactly once. README.md tells how to read it.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// config is what a run measures.
type config struct {
	dir         string
	what        []string // of whats
	connections []int
	users       int
	seeded      string // store file to use, made if it does not exist; "" for one of this run
	requests    int    // of a round with many connections
	rounds      int
	profiles    string   // folder for processor profiles, "" for none
	binary      string   // the built program, "" to build it
	logins      int      // of growth
	rate        int      // logins of a simulated second of growth, of a real one of bloat
	minutes     int      // of bloat
	alg         string   // of the tokens of casdoor
	settings    []string // of PostgreSQL, name=value, in place of those that it comes with
}

var whats = []string{"redeem", "issue", "casdoor", "redis", "postgres", "growth", "bloat", "program"}

func main() {
	if os.Getenv(childEnv) != "" {
		exit(runChild(os.Stdin, os.Stdout))
	}
	var c config
	flag.StringVar(&c.dir, "dir", os.TempDir(), "folder for the stores; must be on a real disk")
	what := flag.String("what", "redeem,issue,program", "what to measure: `list` of "+strings.Join(whats, ", "))
	conns := flag.String("c", "1,64,256", "`list` of numbers of connections")
	flag.IntVar(&c.users, "users", 10000, "users in the store")
	flag.StringVar(&c.seeded, "seeded", "", "store `file` with the users, kept for further runs; made if it does not exist")
	flag.IntVar(&c.requests, "n", 40000, "redemptions of a round; at most 4000 for each connection")
	flag.IntVar(&c.rounds, "rounds", 5, "rounds; medians are reported")
	flag.StringVar(&c.profiles, "profile", "", "`folder` for processor profiles of a last, unmeasured round")
	flag.StringVar(&c.binary, "binary", "", "measure this `program` instead of building one")
	flag.IntVar(&c.logins, "logins", 10_000_000, "growth: logins")
	flag.IntVar(&c.rate, "rate", 2000, "growth: logins of a simulated second; bloat: of a real one")
	flag.IntVar(&c.minutes, "minutes", 30, "bloat: how long")
	flag.StringVar(&c.alg, "alg", "ES256", "casdoor: `algorithm` of the tokens")
	settings := flag.String("set", "", "postgres, bloat: `settings` of PostgreSQL, name=value,…, in place of those that it comes with")
	flag.Parse()
	if *settings != "" {
		c.settings = strings.Split(*settings, ",")
	}
	c.what = strings.Split(*what, ",")
	for s := range strings.SplitSeq(*conns, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			exit(fmt.Errorf("-c: %q is no number of connections", s))
		}
		c.connections = append(c.connections, n)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300) // as the servers: the load and the simulated WeChat take their processors
	}
	exit(run(c, os.Stdout))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (c config) validate() error {
	for _, w := range c.what {
		if !slices.Contains(whats, w) {
			return fmt.Errorf("-what: %q is none of %s", w, strings.Join(whats, ", "))
		}
		if w == "redis" && c.users > 1_000_000 {
			return fmt.Errorf("-what redis: %d users do not fit Redis's memory; say -users 1000000 or less", c.users)
		}
		if (w == "growth" || w == "bloat") && (c.logins < 1 || c.rate < 1 || c.rate > c.users/6) {
			return fmt.Errorf("-what %s: -rate must be 1 to %d: %d users may not ask for more than 20 tickets a minute each, by chance", w, c.users/6, c.users)
		}
	}
	if c.requests < 100 || c.rounds < 1 {
		return errors.New("-n must be 100 or more, -rounds 1 or more")
	}
	if most := c.users * 5; tickets(c.requests) > most {
		return fmt.Errorf("-n %d needs %d tickets, and %d users have at most %d live ones; ask for less or for more -users",
			c.requests, tickets(c.requests), c.users, most)
	}
	return nil
}

// run measures and writes what it found. An error is a defect of the program or
// of the bench, never a poor figure.
func run(c config, out io.Writer) (err error) {
	if err := c.validate(); err != nil {
		return err
	}
	folder, err := os.MkdirTemp(c.dir, "app2wxapp-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	about, err := machine(folder)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n%d users, %d rounds\n", about, c.users, c.rounds)
	var s seed
	if slices.ContainsFunc(c.what, func(w string) bool { return !slices.Contains([]string{"program", "postgres", "bloat"}, w) }) {
		if s, err = seedStore(cmp.Or(c.seeded, filepath.Join(folder, "seed.db")), c.users, out); err != nil {
			return err
		}
	}
	for _, w := range c.what {
		fmt.Fprintf(out, "\n## %s\n\n", w)
		if err := c.measure(w, filepath.Join(folder, w), s, out); err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
	}
	return nil
}

// measure measures one thing in a folder of its own.
func (c config) measure(what, folder string, s seed, out io.Writer) (err error) {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	switch what {
	case "program":
		return c.program(folder, out)
	case "growth":
		return c.growth(folder, s, out)
	case "postgres":
		return c.onServer(folder, out)
	case "bloat":
		return c.bloat(out)
	}
	return c.load(what, folder, s, out)
}

// buildProgram builds the program as a release is.
func buildProgram(path string) error {
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "app2wxapp")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, said)
	}
	return nil
}
