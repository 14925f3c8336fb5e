//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// figures are what one round says of one server.
type figures struct {
	rate           float64 // requests a second
	p50, p99, p999 time.Duration
	cpu            float64 // µs of the server's processor time for a request
	ratio          float64 // rate as a share of the bare echo's in the same round
	rest, peak     float64 // MiB that the server holds before and at most during the load

	elapsed time.Duration // with the warm-up, as the following are
	commits float64       // a second
	writes  float64       // that shared a commit
	commit  float64       // ms
}

func newFigures(v volley) figures {
	return figures{
		rate: float64(len(v.latencies)) / v.took.Seconds(),
		p50:  quantile(v.latencies, .5), p99: quantile(v.latencies, .99), p999: quantile(v.latencies, .999),
	}
}

// quantile sorts took and returns its quantile, 0 of none.
func quantile(took []time.Duration, q float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(int(q*float64(len(took))), len(took)-1)]
}

// median returns the median of what of says of each, 0 of none.
func median[T any, V float64 | time.Duration](all []T, of func(T) V) V {
	if len(all) == 0 {
		return 0
	}
	var values []V
	for _, f := range all {
		values = append(values, of(f))
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

func medianFigures(all []figures) figures {
	return figures{
		rate: median(all, func(f figures) float64 { return f.rate }),
		p50:  median(all, func(f figures) time.Duration { return f.p50 }),
		p99:  median(all, func(f figures) time.Duration { return f.p99 }),
		p999: median(all, func(f figures) time.Duration { return f.p999 }),
		cpu:  median(all, func(f figures) float64 { return f.cpu }), ratio: median(all, func(f figures) float64 { return f.ratio }),
		commits: median(all, func(f figures) float64 { return f.commits }), writes: median(all, func(f figures) float64 { return f.writes }),
		commit: median(all, func(f figures) float64 { return f.commit }),
		rest:   median(all, func(f figures) float64 { return f.rest }), peak: median(all, func(f figures) float64 { return f.peak }),
	}
}

// report collects the rounds.
type report struct {
	users       int
	names       []string // of the servers, in the order of a round: H, the bridge, rivals
	connections []int
	rounds      map[string]map[int][]figures // by name and connections
	commit      []time.Duration              // of bare bbolt, a lone caller's, one for each round
}

func newReport(users int) *report {
	return &report{users: users, rounds: map[string]map[int][]figures{}}
}

func (r *report) add(name string, connections int, f figures) {
	if r.rounds[name] == nil {
		r.names = append(r.names, name)
		r.rounds[name] = map[int][]figures{}
	}
	if !slices.Contains(r.connections, connections) {
		r.connections = append(r.connections, connections)
	}
	r.rounds[name][connections] = append(r.rounds[name][connections], f)
}

// what is what the bridge was asked to do.
func (r *report) what() string { return r.names[1] }

func (r *report) print(out io.Writer) {
	fmt.Fprintln(out, "| | connections | req/s | p50 ms | p99 ms | p99.9 ms | CPU µs/req | × H (lowest–highest) | MiB | commits/s | writes/commit | commit ms |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, c := range r.connections {
		for _, name := range r.names {
			rounds := r.rounds[name][c]
			if len(rounds) == 0 {
				continue
			}
			f := medianFigures(rounds)
			fmt.Fprintf(out, "| %s | %d | %.0f | %s | %s | %s | %.0f | ", name, c, f.rate, ms(f.p50), ms(f.p99), ms(f.p999), f.cpu)
			if name == "H" {
				fmt.Fprint(out, "1")
			} else {
				low, high := f.ratio, f.ratio
				for _, g := range rounds {
					low, high = min(low, g.ratio), max(high, g.ratio)
				}
				fmt.Fprintf(out, "**%.2f** (%.2f–%.2f)", f.ratio, low, high)
			}
			fmt.Fprintf(out, " | %.1f | ", f.peak)
			if f.commits > 0 {
				fmt.Fprintf(out, "%.0f | %.1f | %.2f |\n", f.commits, f.writes, f.commit)
			} else {
				fmt.Fprintln(out, "| | |")
			}
		}
	}
	fmt.Fprintln(out)
	printRows(out, r.rows()...)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", milli(d)) }
