//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// process is a server under test, seen from outside.
type process struct {
	address
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Scanner
}

// start starts a server; it listens when start returns.
func start(o order) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startWith(self, o)
}

// startWith starts the program that is a server once it has its order.
func startWith(program string, order any) (p *process, err error) {
	p = &process{cmd: exec.Command(program)}
	p.cmd.Env = append(os.Environ(), childEnv+"=1")
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.answers = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := json.Marshal(order)
	if err == nil {
		err = p.ask(string(line), &p.address)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a server: %w", err), p.stop())
	}
	return p, nil
}

// ask sends a line and reads the answer.
func (p *process) ask(line string, answer any) error {
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		return err
	}
	if !p.answers.Scan() {
		return errors.Join(io.ErrUnexpectedEOF, p.answers.Err())
	}
	return json.Unmarshal(p.answers.Bytes(), answer)
}

// cpu returns the processor time that the server has taken.
func (p *process) cpu() (time.Duration, error) {
	var u usage
	err := p.ask("usage", &u)
	return u.CPU, err
}

// profile has the processor profile written to the file; "" ends that.
func (p *process) profile(file string) error {
	return p.ask(strings.TrimSpace("profile "+file), &usage{})
}

// stop ends the server, which closes its store.
func (p *process) stop() error {
	p.in.Close()
	return p.cmd.Wait()
}

// scrape returns the server's metrics: series, as the page names them, and
// values.
func (p *process) scrape() (map[string]float64, error) {
	r, err := http.Get("http://" + p.Admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	values := map[string]float64{}
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		line := lines.Text()
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			values[line[:i]], _ = strconv.ParseFloat(line[i+1:], 64)
		}
	}
	return values, nil
}
