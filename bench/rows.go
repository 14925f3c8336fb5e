//go:build linux

package main

import (
	"fmt"
	"io"
	"time"
)

// row is a row of the issue's table of floors and aims, with what this run says
// of it.
type row struct {
	what       string
	got        float64
	form       string  // how a value is written, such as "%.2f × H"
	floor, aim float64 // 0 for none
	atMost     bool    // got is to be no more than they are, not no less
	because    string  // what the floor is made of
}

func printRows(out io.Writer, rows ...row) {
	fmt.Fprintln(out, "| | measured | floor | | aim | | |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|")
	for _, r := range rows {
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", r.what, fmt.Sprintf(r.form, r.got), r.against(r.floor), r.against(r.aim), r.because)
	}
	fmt.Fprintln(out)
}

// against writes a bound and whether it is met.
func (r row) against(bound float64) string {
	if bound == 0 {
		return " | "
	}
	verdict := "not met"
	if r.atMost && r.got <= bound || !r.atMost && r.got >= bound {
		verdict = "met"
	}
	return fmt.Sprintf(r.form, bound) + " | " + verdict
}

// ratios are the floors and aims of a rate as a share of H's.
var ratios = []struct {
	what        string
	mostUsers   int
	connections int
	floor, aim  float64
}{
	{"redeem", 10_000, 64, 0.25, 0.40},
	{"redeem", 10_000, 256, 0.35, 0.52},
	{"redeem", 1_000_000, 64, 0.20, 0.35},
	{"redeem", 10_000_000, 64, 0.12, 0.30},
	{"issue", 10_000_000, 64, 0.18, 0.30},
	{"postgres", 10_000_000, 64, 0.25, 0},
}

// MiB under load.
const (
	floorMemory, aimMemory = 128, 64
)

// rivalries are the floors and aims of a rate as a multiple of a rival's.
var rivalries = map[string]struct{ floor, aim float64 }{
	"echo + Redis": {1.3, 2},
	ownStatements:  {floor: 1.5},
	fewUsers:       {floor: 0.8},
	issueRoute:     {floor: 0.7},
}

// rows returns the rows that the rounds tell something of.
func (r *report) rows() (rows []row) {
	commit := milli(median(r.commit, func(d time.Duration) time.Duration { return d }))
	for _, c := range r.connections {
		h, f := medianFigures(r.rounds["H"][c]), medianFigures(r.rounds[r.what()][c])
		name := fmt.Sprintf("%s, %d users, c=%d", r.what(), r.users, c)
		if floor, aim, ok := r.ratio(c); ok {
			rows = append(rows, row{what: name, got: f.ratio, form: "%.2f × H", floor: floor, aim: aim})
		}
		if c == 64 && r.what() == "redeem" {
			rows = append(rows, row{
				what: name + ", p99", got: milli(f.p99), form: "%.2f ms", atMost: true,
				floor: 1.5*milli(h.p99) + 2*commit, aim: milli(h.p99) + commit,
				because: fmt.Sprintf("H's p99 %s ms, a commit %.2f ms", ms(h.p99), commit),
			})
		}
		if c == 1 && r.what() == "redeem" {
			commit := milli(medianFigures(r.rounds[withCommit][1]).p50 - h.p50)
			rows = append(rows, row{
				what: name + ", p50", got: milli(f.p50), form: "%.2f ms", atMost: true, floor: milli(h.p50) + 1.3*commit,
				because: fmt.Sprintf("HTTP %s ms + %.2f × a commit of %.2f ms", ms(h.p50), (milli(f.p50)-milli(h.p50))/commit, commit),
			})
		}
		if c >= 64 {
			rows = append(rows, row{
				what: name + ", memory", got: f.peak, form: "%.1f MiB", atMost: true, floor: floorMemory, aim: aimMemory,
				because: fmt.Sprintf("%.1f MiB before the load", f.rest),
			})
		}
		if c == 64 {
			rows = append(rows, r.rivalRows(c)...)
		}
	}
	return rows
}

// rivalRows compares the bridge with the rivals.
func (r *report) rivalRows(connections int) (rows []row) {
	for _, rival := range r.names[min(2, len(r.names)):] {
		if len(r.rounds[rival][connections]) == 0 {
			continue
		}
		next := row{what: fmt.Sprintf("%s against %s, c=%d", r.what(), rival, connections), got: r.against(rival, connections), form: "%.2f ×"}
		next.floor, next.aim = rivalries[rival].floor, rivalries[rival].aim
		rows = append(rows, next)
	}
	return rows
}

// ratio returns the floor and the aim that fit the run: those of the smallest
// number of users that is not below the run's.
func (r *report) ratio(connections int) (floor, aim float64, ok bool) {
	for _, b := range ratios {
		if b.what == r.what() && b.connections == connections && r.users <= b.mostUsers {
			return b.floor, b.aim, true
		}
	}
	return 0, 0, false
}

// against returns how many times as fast as the rival the bridge was, in the
// median of the rounds.
func (r *report) against(rival string, connections int) float64 {
	theirs, i := r.rounds[rival][connections], -1
	return median(r.rounds[r.what()][connections], func(f figures) float64 {
		i++
		return f.rate / theirs[i].rate
	})
}

func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
