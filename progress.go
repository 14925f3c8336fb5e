package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"app2wxapp/store/move"
)

// progress shows how far something is: a bar on a terminal, else a line for each
// part and every few seconds.
type progress struct {
	out   io.Writer
	bar   bool
	last  time.Time // of what was shown
	begun time.Time // of the part
	doing string
	open  bool // a bar is on the line
}

const (
	redrawEvery = 100 * time.Millisecond
	lineEvery   = 10 * time.Second
	barWidth    = 24
)

func newProgress(out io.Writer) *progress {
	return &progress{out: out, bar: formatFor(out) == "text"}
}

func (p *progress) show(s move.Progress) {
	at := time.Now()
	if s.Doing != p.doing {
		p.end()
		p.doing, p.begun, p.last = s.Doing, at, at
	}
	every := lineEvery
	if p.bar {
		every = redrawEvery
	}
	if !s.Ended && at.Sub(p.last) < every {
		return
	}
	p.last = at
	took := at.Sub(p.begun)
	text := fmt.Sprintf("%-14s %10d", s.Doing, s.Done)
	if s.Total > 0 && !s.Ended {
		text += fmt.Sprintf(" of about %d", s.Total)
	}
	if seconds := took.Seconds(); seconds >= 1 && s.Done > 0 {
		text += fmt.Sprintf("  %.0f/s", float64(s.Done)/seconds)
	}
	if s.Ended {
		text += "  " + took.Round(10*time.Millisecond).String()
	}
	if !p.bar {
		fmt.Fprintln(p.out, text)
		return
	}
	filled := 0
	if s.Ended {
		filled = barWidth
	} else if s.Total > 0 {
		filled = min(barWidth, barWidth*s.Done/s.Total)
	}
	// Back to the line's beginning; what stood there longer goes.
	fmt.Fprintf(p.out, "\r[%s%s] %s\x1b[K", strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), text)
	if p.open = !s.Ended; s.Ended {
		fmt.Fprintln(p.out)
	}
}

// end leaves the line of a bar that was not filled.
func (p *progress) end() {
	if p.open {
		fmt.Fprintln(p.out)
		p.open = false
	}
}
