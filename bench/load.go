//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Per round, beside the shots that are measured.
const (
	bareTimes = 3   // as many requests to the bare echo
	replays   = 100 // shots fired once more afterwards
	raced     = 20  // shots fired on several connections at once
	racers    = 4   // how many
)

func warmUp(n int) int { return n / 10 }

// tickets is how many one round of n measured requests needs.
func tickets(n int) int { return warmUp(n) + n + raced }

// trial is one way to use the bridge.
type trial struct {
	what  string
	world *world
	path  string
	body  string                        // with %s for the value
	mint  func(n int) (shots, error)    // fresh shots
	check func(*process, outcome) error // what must hold after the measured shots
	// marked begins, in an answer, what the check looks at.
	marked string
	// counter is the series that counts successes.
	counter string
	rivals  []rival // measured in the same rounds
}

// rival is another server that can do the same.
type rival struct {
	name  string
	mint  func(n int) (shots, error)
	start func() (*process, error)
	check func(*process, outcome) error // nil is checkRedeemed
}

// outcome is what came of the measured shots.
type outcome struct {
	shots       shots    // all accepted
	tickets     [][]byte // that the answers had, or tokens
	spare       shots    // not fired yet
	connections int
}

func (c config) load(what, folder string, s seed, out io.Writer) (err error) {
	t, err := c.newTrial(what, folder, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.world.close()) }()
	if what == "redis" {
		body, err := t.sample()
		if err != nil {
			return err
		}
		r, err := startRedis(folder, t, body, c.users)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.stop()) }()
		t.rivals = r.rivals()
	}
	return c.compare(t, folder, out)
}

// compare runs the rounds of a trial and reports them.
func (c config) compare(t *trial, folder string, out io.Writer) error {
	body, err := t.sample()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "An answer has %d bytes.\n\n", len(body))
	r := newReport(c.users)
	began, err := readTicks()
	if err != nil {
		return err
	}
	for round := range c.rounds {
		commit, err := bareCommit(folder, 300)
		if err != nil {
			return err
		}
		r.commit = append(r.commit, commit)
		for _, conns := range c.connections {
			if err := t.round(r, conns, min(c.requests, 4000*conns), body, ""); err != nil {
				return fmt.Errorf("round %d, %d connections: %w", round+1, conns, err)
			}
		}
	}
	if c.profiles != "" {
		for _, conns := range c.connections {
			file, err := filepath.Abs(filepath.Join(c.profiles, fmt.Sprintf("%s-c%d.prof", t.what, conns)))
			if err != nil {
				return err
			}
			if err := t.round(newReport(c.users), conns, min(c.requests, 4000*conns), body, file); err != nil {
				return err
			}
		}
	}
	r.print(out)
	ended, err := readTicks()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "stolen by the hypervisor meanwhile: %.0f %% of the processors' time\n", 100*ended.since(began))
	return nil
}

func (c config) newTrial(what, folder string, s seed) (t *trial, err error) {
	t = &trial{what: what, marked: `"ticket":"`}
	if what == "casdoor" {
		w, err := newWorld(folder, s, 10*time.Second)
		if err != nil {
			return nil, err
		}
		return newCasdoor(w, c.alg)
	}
	if what == "issue" {
		// Short-lived tickets, so that those of one round are over in the next.
		if t.world, err = newWorld(folder, s, 10*time.Second); err != nil {
			return nil, err
		}
		t.path, t.body = "/oauth/app2wxapp/ticket/"+t.world.pool.ID, `{"code":"%s"}`
		t.mint = func(n int) (shots, error) { return newShots(t.path, t.body, t.world.codes(n)), nil }
		t.check = t.checkIssued
		t.counter = fmt.Sprintf(`app2wxapp_tickets_issued_total{pool=%q}`, t.world.pool.ID)
		return t, nil
	}
	t.what = "redeem"
	if t.world, err = newWorld(folder, s, 10*time.Minute); err != nil {
		return nil, err
	}
	t.redeeming()
	return t, nil
}

// redeeming makes the trial one of redemptions in its world.
func (t *trial) redeeming() {
	t.path, t.body = t.world.redeeming()
	t.mint = func(n int) (shots, error) {
		list, err := t.world.tickets(n)
		return newShots(t.path, t.body, list), err
	}
	t.check = checkRedeemed
	t.counter = fmt.Sprintf(`app2wxapp_ticket_redemptions_total{pool=%q,result="ok"}`, t.world.pool.ID)
}

// redeeming returns path and body of a redemption.
func (w *world) redeeming() (path, body string) {
	return "/oauth/app2wxapp/auth/" + w.pool.ID, `{"ticket":"%s","secret":"` + w.secret + `"}`
}

// sample returns the body of one answer.
func (t *trial) sample() (body []byte, err error) {
	s, err := t.mint(1)
	if err != nil {
		return nil, err
	}
	p, err := start(order{Store: t.world.path, WeChat: t.world.weixin.url()})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	v, err := fire(p.Public, 1, s, 1, func(_ int, b []byte) { body = bytes.Clone(b) })
	return body, errors.Join(err, v.all(200))
}

// withCommit names a bare echo that makes a bare commit before it answers.
const withCommit = "H with a commit"

// round measures the bare echo, the bridge and the rivals in turn, each in a
// process of its own.
func (t *trial) round(r *report, connections, n int, body []byte, profile string) error {
	s, err := t.mint(tickets(n))
	if err != nil {
		return err
	}
	h, err := t.bare(connections, n, s, order{Body: body})
	if err != nil {
		return fmt.Errorf("bare echo: %w", err)
	}
	r.add("H", connections, h)
	f, err := t.bridge(connections, n, s, profile)
	if err != nil {
		return err
	}
	f.ratio = f.rate / h.rate
	r.add(t.what, connections, f)
	if connections == 1 && t.what == "redeem" {
		// What a lone caller's commit costs in a server, whose threads have to
		// wake up for it.
		path := t.world.path + ".bare"
		f, err := t.bare(1, n, s, order{Body: body, Commit: path})
		if err := errors.Join(err, os.Remove(path)); err != nil {
			return fmt.Errorf("bare echo with a commit: %w", err)
		}
		f.ratio = f.rate / h.rate
		r.add(withCommit, 1, f)
	}
	for _, rival := range t.rivals {
		f, err := rival.measure(connections, n)
		if err != nil {
			return fmt.Errorf("%s: %w", rival.name, err)
		}
		f.ratio = f.rate / h.rate
		r.add(rival.name, connections, f)
	}
	return nil
}

// stages parts what tickets made: a warm-up, n shots to measure, and the rest.
func (s shots) stages(n int) (warm, measured, spare shots) {
	end := warmUp(n) + n
	return s.part(0, warmUp(n)), s.part(warmUp(n), end), s.part(end, s.len())
}

func (t *trial) bare(connections, n int, s shots, o order) (f figures, err error) {
	p, err := start(o)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	warm, measured, _ := s.stages(n)
	return measure(p, connections, warm, measured, bareTimes*n, nil)
}

func (t *trial) bridge(connections, n int, s shots, profile string) (f figures, err error) {
	p, err := start(order{Store: t.world.path, WeChat: t.world.weixin.url()})
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	warm, measured, spare := s.stages(n)
	done := outcome{shots: measured, tickets: make([][]byte, n), spare: spare, connections: connections}
	before, err := p.scrape()
	if err != nil {
		return f, err
	}
	if profile != "" {
		if err := p.profile(profile); err != nil {
			return f, err
		}
	}
	f, err = measure(p, connections, warm, measured, n, func(i int, body []byte) {
		done.tickets[i] = textAfter(t.marked, body)
	})
	if err != nil {
		return f, err
	}
	if profile != "" {
		if err := p.profile(""); err != nil {
			return f, err
		}
	}
	after, err := p.scrape()
	if err != nil {
		return f, err
	}
	if got := int(after[t.counter] - before[t.counter]); got != warm.len()+n {
		return f, fmt.Errorf("the server counted %d successes, want %d", got, warm.len()+n)
	}
	const commits, writes = "app2wxapp_store_commit_seconds", "app2wxapp_store_commit_writes"
	delta := func(series string) float64 { return after[series] - before[series] }
	f.commits, f.commit = delta(commits+"_count")/f.elapsed.Seconds(), 1000*delta(commits+"_sum")/delta(commits+"_count")
	f.writes = delta(writes+"_sum") / delta(writes+"_count")
	return f, t.check(p, done)
}

// measure measures redemptions by a rival, under the same accounting.
func (r rival) measure(connections, n int) (f figures, err error) {
	s, err := r.mint(tickets(n))
	if err != nil {
		return f, err
	}
	p, err := r.start()
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	warm, measured, spare := s.stages(n)
	if f, err = measure(p, connections, warm, measured, n, nil); err != nil {
		return f, err
	}
	check := r.check
	if check == nil {
		check = checkRedeemed
	}
	return f, check(p, outcome{shots: measured, spare: spare, connections: connections})
}

// measure warms the server up and then measures n requests. All must be
// answered with 200.
func measure(p *process, connections int, warm, s shots, n int, keep func(int, []byte)) (f figures, err error) {
	start := time.Now()
	memory := watchMemory(p.cmd.Process.Pid)
	defer func() {
		var memErr error
		f.rest, f.peak, memErr = memory.stop()
		err = errors.Join(err, memErr)
	}()
	if warm.len() > 0 {
		v, err := fire(p.Public, connections, warm, warm.len(), nil)
		if err := errors.Join(err, v.all(200)); err != nil {
			return figures{}, fmt.Errorf("warm-up: %w", err)
		}
	}
	before, err := p.cpu()
	if err != nil {
		return figures{}, err
	}
	v, err := fire(p.Public, connections, s, n, keep)
	if err := errors.Join(err, v.all(200)); err != nil {
		return figures{}, err
	}
	after, err := p.cpu()
	if err != nil {
		return figures{}, err
	}
	f = newFigures(v)
	f.cpu = float64((after - before).Microseconds()) / float64(n)
	f.elapsed = time.Since(start)
	return f, nil
}
