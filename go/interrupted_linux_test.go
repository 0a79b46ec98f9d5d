// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && amd64 && !slabby_noseq && !slabby_nopin

package slabby_test

import (
	"fmt"
	"runtime"
	"testing"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/internal/interrupt"
	"github.com/slabby/slabby/go/internal/sequence"
)

// interrupted is a use of a pool that a test interrupts: prepare, if there is one, runs before each use, and check
// behind it.
type interrupted struct {
	pool    *slabby.Slabby
	prepare func()
	do      func()
	check   func()
}

// behindEachInstruction makes the kernel restart a sequence behind each of its instructions, one use after the other.
// open makes the use, anew for each of them where fresh says so. The thread goes on on the other CPU if moves says so.
func behindEachInstruction(t *testing.T, number int, fresh, moves bool, open func() interrupted) {
	moveTo := -1
	if moves {
		moveTo = 1
	}
	u := open()
	backend, err := u.pool.GetOption(slabby.OptionCPUCacheBackend)
	wantError(t, "GetOption", err, nil)
	if backend != int64(slabby.CPUCacheBackendRseq) || !sequence.AreaIsKnown() {
		t.Skip("no restartable sequences that the C library registers")
	}
	for step, left := 1, 0; !t.Failed(); {
		if u.prepare != nil {
			u.prepare()
		}
		if !interrupt.Behind(sequence.Descriptor(number), step, moveTo, number == sequence.ReleaseRunSequence) {
			t.Skip("this system does not let a program change its code")
		}
		u.do()
		outcome := interrupt.Disarm()
		interrupt.RunOn(0)
		u.check()
		switch {
		case t.Failed():
			t.Errorf("sequence %d, restarted behind instruction %d (outcome %d)", number, step, outcome)
		case outcome == interrupt.Restarted:
			step++
		case outcome == interrupt.Committed:
			t.Logf("sequence %d: restarted behind each of %d instructions", number, step-1)
			return
		case left == 1000:
			t.Fatalf("sequence %d never comes behind instruction %d (outcome %d)", number, step, outcome)
		default:
			left++ // a sample, or a cache that was full
		}
		if fresh {
			u = open()
		}
	}
}

// onTwoCPUs runs a test with and without moves between CPUs.
func onTwoCPUs(t *testing.T, test func(t *testing.T, moves bool)) {
	if !sequence.Available {
		t.Skip("this version of Go passes arguments elsewhere")
	}
	runtime.LockOSThread()
	two := interrupt.RunOn(1) && interrupt.RunOn(0)
	t.Cleanup(func() {
		interrupt.RunOnAll()
		runtime.UnlockOSThread()
	})
	for _, moves := range []bool{false, true} {
		t.Run(fmt.Sprintf("moves=%t", moves), func(t *testing.T) {
			if moves && !two {
				t.Skip("needs CPUs 0 and 1")
			}
			test(t, moves)
		})
	}
}

// useAWhile is for a pool that is new: its slabs are biased to this CPU then. A pool whose slabs went to another CPU
// many times biases them to that one or to none, so what moves has a pool of its own each time.
func useAWhile(take, give func()) {
	for range 10 {
		take()
		give()
	}
}

// expectCounts compares what a quiet pool counts.
func expectCounts(t *testing.T, pool *slabby.Slabby, total, byID uint64) {
	t.Helper()
	s := pool.Stats()
	if s.TotalAllocations != total || s.TotalDeallocations != total || s.FastAllocations != byID ||
		s.FastDeallocations != byID || s.RefPoolHits != total-byID || s.UsedSlabs != 0 {
		t.Errorf("%d served, %d of them by id; counted: %+v", total, byID, s)
	}
}

// A run of releases gives each slab of a batch back once, at whichever instruction it is restarted.
func TestRunsRestartAnywhere(t *testing.T) {
	onTwoCPUs(t, func(t *testing.T, moves bool) {
		for _, count := range []int{1, 2, 3, 5} {
			behindEachInstruction(t, sequence.ReleaseRunSequence, moves, moves, func() interrupted {
				pool, total := newPool(t, 64, 2000), uint64(0)
				refs := make([]slabby.SlabRef, count)
				take := func() {
					wantError(t, "AllocateBatch", pool.AllocateBatch(refs), nil)
					total += uint64(count)
				}
				give := func() { wantError(t, "BatchDeallocate", pool.BatchDeallocate(refs), nil) }
				return interrupted{pool: pool, prepare: func() { useAWhile(take, give); take() }, do: give, check: func() {
					expectCounts(t, pool, total, 0)
					for _, ref := range refs {
						if ref.IsValid() {
							t.Errorf("%v is valid behind its release", ref)
						}
					}
					checkQuiet(t, pool)
				}}
			})
		}
	})
}

// A batch has its slabs or none, at whichever instruction it is restarted.
func TestBatchesRestartAnywhere(t *testing.T) {
	onTwoCPUs(t, func(t *testing.T, moves bool) {
		for _, count := range []int{1, 3, 4, 7} {
			behindEachInstruction(t, sequence.TakeBatchSequence, moves, moves, func() interrupted {
				pool, total := newPool(t, 64, 2000), uint64(0)
				refs, data := make([]slabby.SlabRef, count), make([][]byte, count)
				take := func() {
					wantError(t, "AllocateBatchBytes", pool.AllocateBatchBytes(refs, data), nil)
					total += uint64(count)
				}
				give := func() { wantError(t, "BatchDeallocate", pool.BatchDeallocate(refs), nil) }
				return interrupted{pool: pool, prepare: func() { useAWhile(take, give) }, do: take, check: func() {
					for at, ref := range refs {
						if bytes, err := ref.Bytes(); err != nil || &bytes[0] != &data[at][0] {
							t.Errorf("slab %d: %v", at, err)
						}
					}
					give()
					expectCounts(t, pool, total, 0)
					checkQuiet(t, pool)
				}}
			})
		}
	})
}

// A use by id counts once, at whichever instruction it is restarted, also where the thread goes on on a CPU that the
// pool does not know yet.
func TestUsesByIDRestartAnywhere(t *testing.T) {
	onTwoCPUs(t, func(t *testing.T, moves bool) {
		for _, number := range []int{
			sequence.AllocateFastSequence, sequence.GiveFastSequence, sequence.DeallocateFastSequence,
		} {
			behindEachInstruction(t, number, true, moves, func() interrupted {
				pool, total := newPool(t, 64, 2000), uint64(0)
				once := func() {
					_, id, err := pool.AllocateFast()
					wantError(t, "AllocateFast", err, nil)
					wantError(t, "DeallocateFast", pool.DeallocateFast(id), nil)
					total++
				}
				prepare := func() {
					for range 10 {
						once()
					}
				}
				return interrupted{pool: pool, prepare: prepare, do: once, check: func() { expectCounts(t, pool, total, total) }}
			})
		}
	})
}
