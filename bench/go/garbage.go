// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"

	slabby "github.com/slabby/slabby/go"
)

// What the collector costs beside many live buffers: each kind runs in a process of its own, which makes garbage.
const (
	liveBuffers   = 100_000
	garbageSlices = 3_000_000
	garbageBytes  = 512
	garbageBar    = 0.1
	garbageCPU    = "/cpu/classes/gc/total:cpu-seconds"
	garbageCycles = "/gc/cycles/total:gc-cycles"
)

var garbageKinds = []struct {
	name   string
	barred bool
	hold   func() (held any, err error)
}{
	{"slices of make", false, func() (any, error) {
		held := make([][]byte, liveBuffers)
		for at := range held {
			held[at] = make([]byte, barSize)
			held[at][0] = 1
		}
		return held, nil
	}},
	{"slabs", false, func() (any, error) { return holdRefs() }},
	{"slabs, ballast", true, func() (any, error) { return holdRefs(slabby.WithHeapBallast()) }},
	{"slabs, ballast, held as numbers", true, func() (any, error) { return holdNumbers(slabby.WithHeapBallast()) }},
	// What is left without a pool: no way to hold buffers takes less.
	{"nothing but such a ballast", false, func() (any, error) { return make([]byte, liveBuffers*barSize), nil }},
}

type heldRefs struct {
	pool *slabby.Slabby
	refs []slabby.SlabRef
}

func holdRefs(options ...slabby.AllocatorOption) (*heldRefs, error) {
	pool, err := slabby.New(barSize, liveBuffers, options...)
	if err != nil {
		return nil, err
	}
	refs, err := pool.BatchAllocate(liveBuffers)
	if err != nil {
		return nil, err
	}
	for _, ref := range refs {
		ref.GetBytes()[0] = 1
	}
	return &heldRefs{pool, refs}, nil
}

// heldNumbers has no pointers to scan: RefOf makes a reference of each number again.
type heldNumbers struct {
	pool    *slabby.Slabby
	numbers []uint64
}

func holdNumbers(options ...slabby.AllocatorOption) (*heldNumbers, error) {
	held, err := holdRefs(options...)
	if err != nil {
		return nil, err
	}
	numbers := make([]uint64, len(held.refs))
	for at, ref := range held.refs {
		numbers[at] = ref.Ref()
	}
	return &heldNumbers{held.pool, numbers}, nil
}

var garbage []byte

// makeGarbage is such a process: it prints the collections and the seconds that they took.
func makeGarbage(kind int) error {
	if kind < 0 || kind >= len(garbageKinds) {
		return fmt.Errorf("no kind %d of live buffers", kind)
	}
	held, err := garbageKinds[kind].hold()
	if err != nil {
		return err
	}
	runtime.GC()
	cyclesBefore, before := readGarbage()
	for range garbageSlices {
		garbage = make([]byte, garbageBytes)
	}
	runtime.GC() // the numbers are those of the last collection
	cycles, seconds := readGarbage()
	runtime.KeepAlive(garbage)
	runtime.KeepAlive(held)
	_, err = fmt.Println(cycles-cyclesBefore, seconds-before)
	return err
}

func readGarbage() (cycles uint64, seconds float64) {
	samples := []metrics.Sample{{Name: garbageCycles}, {Name: garbageCPU}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Float64()
}

// showGarbage prints what the collector costs; the kinds take turns.
func showGarbage(rounds int) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cycles, seconds := make([][]float64, len(garbageKinds)), make([][]float64, len(garbageKinds))
	for range rounds {
		for kind := range garbageKinds {
			output, err := exec.Command(program, "-garbage", fmt.Sprint(kind)).Output()
			if err != nil {
				return fmt.Errorf("garbage beside %s: %w", garbageKinds[kind].name, err)
			}
			var count, took float64
			if _, err := fmt.Sscan(string(output), &count, &took); err != nil {
				return fmt.Errorf("garbage beside %s: %q: %w", garbageKinds[kind].name, output, err)
			}
			cycles[kind], seconds[kind] = append(cycles[kind], count), append(seconds[kind], took)
		}
	}
	fmt.Printf("\n%d live buffers of %d bytes while %d slices of %d bytes become garbage; medians of %d processes\n",
		liveBuffers, barSize, garbageSlices, garbageBytes, rounds)
	fmt.Printf("  %-34s %12s %10s %7s %6s\n", "live are", "collections", "their ms", "ratio", "bar")
	for kind, k := range garbageKinds {
		ratios := make([]float64, rounds)
		for round := range ratios {
			ratios[round] = seconds[kind][round] / seconds[0][round]
		}
		verdict := ""
		if k.barred {
			verdict = fmt.Sprintf("%6.2f", garbageBar)
			if median(ratios) > garbageBar {
				verdict += "  missed"
			}
		}
		fmt.Printf("  %-34s %12.0f %10.1f %7.2f %s\n", k.name, median(cycles[kind]), 1000*median(seconds[kind]),
			median(ratios), verdict)
	}
	return nil
}
