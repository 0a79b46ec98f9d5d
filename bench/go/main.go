// SPDX-License-Identifier: GPL-3.0-or-later

// Bench measures the pool against other ways to get a buffer in Go. All contestants take turns in every
// round, since the machine's speed drifts: believe the ratios, not the times.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

// contestant takes a buffer of `size` bytes, touches it, and gives it back, checking every answer.
type contestant struct {
	name string
	// open prepares; the returned worker may be used by one goroutine, close ends it all.
	open func(size int) (work func() worker, close func() error, err error)
}

// worker is one goroutine's way to buffers.
type worker interface {
	// take gets a buffer and puts it into a place of the caller's set.
	take(entry int) error
	// give returns the buffer in that place.
	give(entry int) error
}

// The workloads; each says how many buffers one worker holds at most.
type workload struct {
	name       string
	goroutines int
	held       int
}

type result struct {
	name  string
	times []float64
}

var contestants []contestant

func main() {
	rounds := flag.Int("rounds", 20, "rounds, each with every contestant")
	operations := flag.Int("operations", 20_000, "pairs of take and give a round")
	barsAlone := flag.Bool("bars", false, "only the ratios that have bars")
	barsHere := flag.Bool("measure-bars", false, "only measure these in this process, as JSON")
	proxyAlone := flag.Bool("proxy", false, "only the reverse proxy under load")
	garbageOf := flag.String("garbage", "", "only make garbage: program/kind of live buffers, as 1/0")
	flag.Parse()
	if *barsHere {
		exitOn(measureBars(*rounds, *operations))
		return
	}
	if *garbageOf != "" {
		var program, kind uint
		_, err := fmt.Sscanf(*garbageOf, "%d/%d", &program, &kind)
		exitOn(err)
		exitOn(makeGarbage(program, kind))
		return
	}
	fmt.Printf("%s, %s/%s, %d processors; %d rounds of %d pairs, contestants in turn\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), *rounds, *operations)
	fmt.Println("a pair takes a buffer, writes its first byte, gives it back; every error ends the run")
	exitOn(run(*rounds, *operations, *barsAlone, *proxyAlone))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(rounds, operations int, barsAlone, proxyAlone bool) error {
	if !proxyAlone {
		if err := showBars(max(1, 3*rounds/2), operations/4); err != nil || withoutPin {
			return err
		}
		if err := showGarbage(max(1, rounds/4)); err != nil || barsAlone {
			return err
		}
	}
	// A request costs as much as some hundred pairs.
	if err := showProxies(rounds, max(1, operations/200)); err != nil || proxyAlone {
		return err
	}
	return showWorkloads(rounds, operations)
}

func showWorkloads(rounds, operations int) error {
	for _, size := range []int{64, 4096, 65536} {
		for _, load := range []workload{
			{"tight", 1, 1},
			{"burst of 64", 1, 64},
			{"parallel", runtime.GOMAXPROCS(0), 1},
			{"8 goroutines", 8, 8},
		} {
			results, err := measure(size, load, rounds, operations)
			if err != nil {
				return fmt.Errorf("%s, %d bytes: %w", load.name, size, err)
			}
			report(size, load, results)
		}
	}
	return nil
}

// measure returns the times of a pair in ns, one a round, for each contestant.
func measure(size int, load workload, rounds, operations int) ([]result, error) {
	results := make([]result, len(contestants))
	runs := make([]func() error, len(contestants))
	for at, c := range contestants {
		work, end, err := c.open(size)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		defer end()
		results[at].name = c.name
		workers := make([]worker, load.goroutines)
		for i := range workers {
			workers[i] = work()
		}
		runs[at] = func() error { return together(workers, load.held, operations/load.goroutines) }
	}
	for round := range rounds + 1 {
		for at, run := range runs {
			started := time.Now()
			if err := run(); err != nil {
				return nil, fmt.Errorf("%s: %w", results[at].name, err)
			}
			// The first round warms up.
			if round > 0 {
				pairs := float64(operations / load.goroutines * load.goroutines)
				results[at].times = append(results[at].times, float64(time.Since(started))/pairs)
			}
		}
	}
	return results, nil
}

// together runs all workers at once and returns the first error.
func together(workers []worker, held, pairs int) error {
	done := make(chan error, len(workers))
	for _, w := range workers {
		go func() { done <- pairsOf(w, held, pairs) }()
	}
	var first error
	for range workers {
		if err := <-done; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func pairsOf(w worker, held, pairs int) error {
	for ; pairs > 0; pairs -= held {
		count := min(held, pairs)
		for entry := range count {
			if err := w.take(entry); err != nil {
				return err
			}
		}
		for entry := range count {
			if err := w.give(entry); err != nil {
				return err
			}
		}
	}
	return nil
}

func report(size int, load workload, results []result) {
	fmt.Printf("\n%d bytes, %s\n", size, load.name)
	fmt.Printf("  %-28s %10s  %-19s  %s\n", "", "median ns", "quartiles", "x of Allocate")
	ours := median(results[0].times)
	for _, r := range results {
		slices.Sort(r.times)
		spread := fmt.Sprintf("%.1f - %.1f", r.times[len(r.times)/4], r.times[len(r.times)*3/4])
		fmt.Printf("  %-28s %10.1f  %-19s  %.2f\n", r.name, median(r.times), spread,
			median(r.times)/ours)
	}
}

func median(times []float64) float64 {
	sorted := slices.Sorted(slices.Values(times))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
