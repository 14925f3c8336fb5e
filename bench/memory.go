//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// memoryEvery is how often a process's memory is looked at.
const memoryEvery = 20 * time.Millisecond

// memory watches how much memory of its own a process holds, which is all but
// the mapped files: the store's pages are the system's to take back.
type memory struct {
	rest, peak float64 // MiB
	err        error
	end, ended chan struct{}
}

// watchMemory begins to watch; what the process holds now is its rest.
func watchMemory(pid int) *memory {
	m := &memory{end: make(chan struct{}), ended: make(chan struct{})}
	m.rest, m.err = anonymous(pid)
	go func() {
		defer close(m.ended)
		tick := time.NewTicker(memoryEvery)
		defer tick.Stop()
		for {
			held, err := anonymous(pid)
			m.peak, m.err = max(m.peak, held), errors.Join(m.err, err)
			select {
			case <-m.end:
				return
			case <-tick.C:
			}
		}
	}()
	return m
}

func (m *memory) stop() (rest, peak float64, err error) {
	close(m.end)
	<-m.ended
	return m.rest, m.peak, m.err
}

func anonymous(pid int) (float64, error) { return held(pid, "RssAnon") }

// held returns a line of a process's status that counts memory, in MiB.
func held(pid int, name string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "\n"+name+":")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0, fmt.Errorf("no %s: %w", name, err)
	}
	return kib / 1024, nil
}
