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
	}
}

// report collects the rounds.
type report struct {
	bare, bridge map[int][]figures // by connections
	commit       []time.Duration   // of bare bbolt, a lone caller's
}

func (r *report) add(connections int, bare, bridge figures) {
	if r.bare == nil {
		r.bare, r.bridge = map[int][]figures{}, map[int][]figures{}
	}
	r.bare[connections] = append(r.bare[connections], bare)
	r.bridge[connections] = append(r.bridge[connections], bridge)
}

// bounds are the floor and the aim of a ratio to the bare echo.
var bounds = map[string]map[int][2]float64{"redeem": {64: {0.25, 0.40}, 256: {0.35, 0.52}}}

func (r *report) print(out io.Writer, what string, connections []int) {
	fmt.Fprintln(out, "| | connections | req/s | p50 ms | p99 ms | p99.9 ms | CPU µs/req | × H (lowest–highest) | commits/s | writes/commit | commit ms |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|")
	for _, c := range connections {
		h, f := medianFigures(r.bare[c]), medianFigures(r.bridge[c])
		fmt.Fprintf(out, "| H | %d | %.0f | %s | %s | %s | %.0f | 1 | | | |\n", c, h.rate, ms(h.p50), ms(h.p99), ms(h.p999), h.cpu)
		low, high := f.ratio, f.ratio
		for _, g := range r.bridge[c] {
			low, high = min(low, g.ratio), max(high, g.ratio)
		}
		fmt.Fprintf(out, "| %s | %d | %.0f | %s | %s | %s | %.0f | **%.2f** (%.2f–%.2f) | %.0f | %.1f | %.2f |\n",
			what, c, f.rate, ms(f.p50), ms(f.p99), ms(f.p999), f.cpu, f.ratio, low, high, f.commits, f.writes, f.commit)
	}
	fmt.Fprintln(out)
	for _, c := range connections {
		if b, ok := bounds[what][c]; ok {
			fmt.Fprintf(out, "%d connections: %.2f × H; floor %.2f, aim %.2f\n", c, medianFigures(r.bridge[c]).ratio, b[0], b[1])
		}
	}
	if h := medianFigures(r.bare[1]); what == "redeem" && h.p50 > 0 {
		commit := median(r.commit, func(d time.Duration) time.Duration { return d })
		f := medianFigures(r.bridge[1])
		fmt.Fprintf(out, "one connection: %s ms = HTTP %s ms + %.2f × a bare bbolt commit of %s ms; floor 1.3 ×\n",
			ms(f.p50), ms(h.p50), float64(f.p50-h.p50)/float64(commit), ms(commit))
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }
