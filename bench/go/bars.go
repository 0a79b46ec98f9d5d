// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// bar is a ratio that the package has to keep: ours to a peer's, an operation, measured in turns.
type bar struct {
	name        string
	ours, peers func(operations int) error
	most        float64
	// The other way round: the ratio is to be at least the bar.
	least bool
	// A round has so many times more operations: what wakes another CPU takes as long as thousands of pairs.
	times int
}

const acrossCPUs = 100

const barSize = 4096

// peerBar is the bar of a library that may not be there: open makes its pool.
type peerBar struct {
	name string
	open func() (work func(operations int) error, end func() error, err error)
	most float64
}

var peerBars []peerBar

func quickStart() []slabby.AllocatorOption {
	return []slabby.AllocatorOption{
		slabby.WithSecure(), slabby.WithBitGuard(), slabby.WithHealthChecks(true),
		slabby.WithCircuitBreaker(50, 30*time.Second), slabby.WithHeapFallback(), slabby.WithPCPUCache(true),
		slabby.WithMaxAllocLatency(100 * time.Microsecond), slabby.WithLogger(slog.New(slog.DiscardHandler)),
	}
}

// bars makes the pools; the returned function closes them.
func bars() (list []bar, end func(), err error) {
	var pools []*slabby.Slabby
	var ends []func() error
	newPool := func(options ...slabby.AllocatorOption) *slabby.Slabby {
		pool, failed := slabby.New(barSize, 10_000, options...)
		if err == nil {
			err = failed
		}
		pools = append(pools, pool)
		return pool
	}
	end = func() {
		for _, pool := range pools {
			if pool != nil {
				pool.Close()
			}
		}
		for _, end := range ends {
			_ = end()
		}
	}
	plain, secure, quick := newPool(), newPool(slabby.WithSecure()), newPool(quickStart()...)
	if err != nil {
		return nil, end, err
	}
	buffers := &sync.Pool{New: func() any { b := make([]byte, barSize); return &b }}
	list = []bar{
		{"Allocate, GetBytes, Release / sync.Pool", pairs(plain), pooledPairs(buffers, false), 1.0, false, 1},
		{"the same in parallel", parallel(pairs(plain)), parallel(pooledPairs(buffers, false)), 1.0, false, acrossCPUs},
		{"AllocateFast, DeallocateFast / Allocate, Release", fastPairs(plain), pairsUnread(plain), 1.0, false, 1},
		{"the same with the first byte written, and GetBytes there", fastPairsWritten(plain), pairs(plain), 1.0, false, 1},
		{"batch of 64 with bytes, a slab / a pair", batchesOf64(plain), pairs(plain), 0.5, false, 1},
		{"quick-start options / sync.Pool and clear", pairs(quick), pooledPairs(buffers, true), 1.15, false, 1},
		{"WithSecure / sync.Pool and clear", pairs(secure), pooledPairs(buffers, true), 1.1, false, 1},
		{"through a channel / sync.Pool through a channel", channelled(plain), pooledChannel(buffers), 1.0, false, 1},
		{"one CPU / two CPUs, at least", pairs(plain), parallel(pairs(plain)), 1.7, true, acrossCPUs},
	}
	if withoutPin {
		list = list[:2]
		for at := range list {
			list[at].name, list[at].most = list[at].name+", without procPin", 3.0
		}
		return list, end, nil
	}
	for _, peer := range peerBars {
		work, endPeer, err := peer.open()
		if err != nil {
			return nil, end, fmt.Errorf("%s: %w", peer.name, err)
		}
		ends = append(ends, endPeer)
		list = append(list, bar{peer.name, pairs(plain), work, peer.most, false, 1})
	}
	return list, end, nil
}

// The functions that return work are not inlined: into the work that the compiler copies with them it inlines no
// call, as it would where a program has such a loop.
//
//go:noinline
func pairs(pool *slabby.Slabby) func(int) error {
	return func(operations int) error {
		for range operations {
			ref, err := pool.Allocate()
			if err != nil {
				return err
			}
			ref.GetBytes()[0] = 1
			if err := ref.Release(); err != nil {
				return err
			}
		}
		return nil
	}
}

//go:noinline
func pairsUnread(pool *slabby.Slabby) func(int) error {
	return func(operations int) error {
		for range operations {
			ref, err := pool.Allocate()
			if err != nil {
				return err
			}
			if err := ref.Release(); err != nil {
				return err
			}
		}
		return nil
	}
}

//go:noinline
func fastPairs(pool *slabby.Slabby) func(int) error {
	return func(operations int) error {
		for range operations {
			_, id, err := pool.AllocateFast()
			if err != nil {
				return err
			}
			if err := pool.DeallocateFast(id); err != nil {
				return err
			}
		}
		return nil
	}
}

//go:noinline
func fastPairsWritten(pool *slabby.Slabby) func(int) error {
	return func(operations int) error {
		for range operations {
			data, id, err := pool.AllocateFast()
			if err != nil {
				return err
			}
			data[0] = 1
			if err := pool.DeallocateFast(id); err != nil {
				return err
			}
		}
		return nil
	}
}

//go:noinline
func batchesOf64(pool *slabby.Slabby) func(int) error {
	refs, data := make([]slabby.SlabRef, 64), make([][]byte, 64)
	return func(operations int) error {
		for range operations / 64 {
			if err := pool.AllocateBatchBytes(refs, data); err != nil {
				return err
			}
			for _, bytes := range data {
				bytes[0] = 1
			}
			if err := pool.BatchDeallocate(refs); err != nil {
				return err
			}
		}
		return nil
	}
}

//go:noinline
func pooledPairs(buffers *sync.Pool, wipe bool) func(int) error {
	return func(operations int) error {
		for range operations {
			buffer := buffers.Get().(*[]byte)
			(*buffer)[0] = 1
			if wipe {
				clear(*buffer)
			}
			buffers.Put(buffer)
		}
		return nil
	}
}

func parallel(work func(int) error) func(int) error {
	return func(operations int) error {
		workers := runtime.GOMAXPROCS(0)
		done := make(chan error, workers)
		for range workers {
			go func() { done <- work(operations / workers) }()
		}
		var first error
		for range workers {
			if err := <-done; err != nil && first == nil {
				first = err
			}
		}
		return first
	}
}

//go:noinline
func channelled(pool *slabby.Slabby) func(int) error {
	return func(operations int) error {
		handed, done := make(chan slabby.SlabRef, 256), make(chan error, 1)
		go func() {
			for ref := range handed {
				ref.GetBytes()[1] = 1
				if err := ref.Release(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		for range operations {
			ref, err := pool.Allocate()
			if err != nil {
				return err
			}
			ref.GetBytes()[0] = 1
			handed <- ref
		}
		close(handed)
		return <-done
	}
}

//go:noinline
func pooledChannel(buffers *sync.Pool) func(int) error {
	return func(operations int) error {
		handed, done := make(chan *[]byte, 256), make(chan struct{})
		go func() {
			for buffer := range handed {
				(*buffer)[1] = 1
				buffers.Put(buffer)
			}
			close(done)
		}()
		for range operations {
			buffer := buffers.Get().(*[]byte)
			(*buffer)[0] = 1
			handed <- buffer
		}
		close(handed)
		<-done
		return nil
	}
}

// measuredBar is what one process has measured, or all of them.
type measuredBar struct {
	Name                string
	Ours, Peers, Ratios []float64
	Most                float64
	Least               bool
}

// Where the system puts a process's memory is luck that lasts as long as the process does.
const barProcesses = 7

// showBars prints each ratio beside its bar, over processes of this program.
func showBars(rounds, operations int) error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	var all []measuredBar
	for range barProcesses {
		output, err := exec.Command(executable, "-measure-bars", "-rounds", strconv.Itoa(rounds),
			"-operations", strconv.Itoa(operations)).Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return fmt.Errorf("a process that measures bars: %w\n%s", err, exit.Stderr)
		}
		var bars []measuredBar
		if err := errors.Join(err, json.Unmarshal(output, &bars)); err != nil {
			return fmt.Errorf("a process that measures bars: %w", err)
		}
		all = mergedBars(all, bars)
	}
	fmt.Printf("\nbars: medians of %d rounds of %d operations in each of %d processes, both sides in turn, %d bytes\n",
		rounds, operations, barProcesses, barSize)
	fmt.Printf("  %-62s %9s %9s %7s %6s\n", "", "ours ns", "peer ns", "ratio", "bar")
	for _, b := range all {
		ratio := median(b.Ratios)
		verdict := fmt.Sprintf("%6.2f", b.Most)
		if ratio > b.Most != b.Least {
			verdict += "  missed"
		}
		fmt.Printf("  %-62s %9.1f %9.1f %7.2f %s\n", b.Name, median(b.Ours), median(b.Peers), ratio, verdict)
	}
	return nil
}

func mergedBars(all, bars []measuredBar) []measuredBar {
	if all == nil {
		return bars
	}
	for at, b := range bars {
		all[at].Ours = append(all[at].Ours, b.Ours...)
		all[at].Peers = append(all[at].Peers, b.Peers...)
		all[at].Ratios = append(all[at].Ratios, b.Ratios...)
	}
	return all
}

// measureBars is such a process: it prints JSON. Both sides take short turns, so that what else the machine does hits
// both: a ratio is of one round.
func measureBars(rounds, operations int) error {
	list, end, err := bars()
	defer end()
	if err != nil {
		return err
	}
	var all []measuredBar
	for _, b := range list {
		measured := measuredBar{Name: b.name, Most: b.most, Least: b.least}
		for round := range rounds + 1 {
			our, err := timed(b.ours, operations*b.times)
			if err != nil {
				return fmt.Errorf("%s: %w", b.name, err)
			}
			peer, err := timed(b.peers, operations*b.times)
			if err != nil {
				return fmt.Errorf("%s, the peer: %w", b.name, err)
			}
			if round > 0 { // the first warms up
				measured.Ours = append(measured.Ours, our)
				measured.Peers = append(measured.Peers, peer)
				measured.Ratios = append(measured.Ratios, our/peer)
			}
		}
		all = append(all, measured)
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}

func timed(work func(int) error, operations int) (float64, error) {
	started := time.Now()
	err := work(operations)
	return float64(time.Since(started)) / float64(operations), err
}
