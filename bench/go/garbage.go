// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"

	slabby "github.com/slabby/slabby/go"
)

// What the collector costs beside many live buffers: each program with each kind runs in a process of its own.
const (
	liveBuffers   = 100_000
	garbageBytes  = 512
	garbageBar    = 0.1
	garbageCPU    = "/cpu/classes/gc/total:cpu-seconds"
	garbageCycles = "/gc/cycles/total:gc-cycles"
)

// Each step makes a slice of garbageBytes, which becomes garbage, and perhaps replaces one of the live buffers.
var garbagePrograms = []struct {
	name     string
	steps    int
	replaces bool
}{
	{"the buffers stay, and 3,000,000 slices of 512 bytes become garbage", 3_000_000, false},
	{"500,000 times a buffer is replaced, and a slice of 512 bytes becomes garbage", 500_000, true},
}

// buffers are the live ones.
type buffers interface {
	replace(at int) error
}

var garbageKinds = []struct {
	name   string
	barred bool
	hold   func() (buffers, error)
}{
	{"slices of make", false, holdSlices},
	{"slabs", false, func() (buffers, error) { return holdRefs() }},
	{"slabs, ballast", true, func() (buffers, error) { return holdRefs(slabby.WithHeapBallast()) }},
	{"slabs, ballast, held as numbers", true, func() (buffers, error) { return holdNumbers(slabby.WithHeapBallast()) }},
	// What is left without a pool: no way to hold buffers takes less.
	{"nothing but such a ballast", false, holdBallast},
}

type heldSlices [][]byte

func holdSlices() (buffers, error) {
	held := make(heldSlices, liveBuffers)
	for at := range held {
		if err := held.replace(at); err != nil {
			return nil, err
		}
	}
	return held, nil
}

func (h heldSlices) replace(at int) error {
	h[at] = make([]byte, barSize)
	h[at][0] = 1
	return nil
}

type ballast []byte

func holdBallast() (buffers, error) { return make(ballast, liveBuffers*barSize), nil }

func (ballast) replace(int) error { return nil }

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

func (h *heldRefs) replace(at int) error {
	ref, err := replaced(h.pool, h.refs[at])
	h.refs[at] = ref
	return err
}

// replaced gives one slab back and takes another.
func replaced(pool *slabby.Slabby, ref slabby.SlabRef) (slabby.SlabRef, error) {
	if err := ref.Release(); err != nil {
		return ref, err
	}
	ref, err := pool.Allocate()
	if err != nil {
		return ref, err
	}
	ref.GetBytes()[0] = 1
	return ref, nil
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

func (h *heldNumbers) replace(at int) error {
	ref, err := replaced(h.pool, h.pool.RefOf(h.numbers[at]))
	h.numbers[at] = ref.Ref()
	return err
}

var garbage []byte

// makeGarbage is such a process: it prints the collections and the seconds that they took.
func makeGarbage(program, kind uint) error {
	if program >= uint(len(garbagePrograms)) || kind >= uint(len(garbageKinds)) {
		return fmt.Errorf("no program %d with buffers %d", program, kind)
	}
	held, err := garbageKinds[kind].hold()
	if err != nil {
		return err
	}
	runtime.GC()
	cyclesBefore, before := readGarbage()
	random := rand.New(rand.NewPCG(1, 2))
	for range garbagePrograms[program].steps {
		garbage = make([]byte, garbageBytes)
		if garbagePrograms[program].replaces {
			if err := held.replace(random.IntN(liveBuffers)); err != nil {
				return err
			}
		}
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
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	for program := range garbagePrograms {
		cycles, seconds := make([][]float64, len(garbageKinds)), make([][]float64, len(garbageKinds))
		for range rounds {
			for kind := range garbageKinds {
				count, took, err := runGarbage(executable, program, kind)
				if err != nil {
					return fmt.Errorf("garbage beside %s: %w", garbageKinds[kind].name, err)
				}
				cycles[kind], seconds[kind] = append(cycles[kind], count), append(seconds[kind], took)
			}
		}
		fmt.Printf("\n%d live buffers of %d bytes; %s; medians of %d processes\n", liveBuffers, barSize,
			garbagePrograms[program].name, rounds)
		reportGarbage(cycles, seconds)
	}
	return nil
}

func runGarbage(executable string, program, kind int) (cycles, seconds float64, err error) {
	output, err := exec.Command(executable, "-garbage", fmt.Sprintf("%d/%d", program, kind)).Output()
	if err != nil {
		return 0, 0, err
	}
	if _, err := fmt.Sscan(string(output), &cycles, &seconds); err != nil {
		return 0, 0, fmt.Errorf("%q: %w", output, err)
	}
	return cycles, seconds, nil
}

func reportGarbage(cycles, seconds [][]float64) {
	fmt.Printf("  %-34s %12s %10s %7s %6s\n", "live are", "collections", "their ms", "ratio", "bar")
	for kind, k := range garbageKinds {
		ratios := make([]float64, len(seconds[kind]))
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
}
