// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// Released twice, by two goroutines, while viewed, by the wrong call, never.
var releaseMistakes = []mistake{
	{"double_release", doubleRelease},
	{"double_release_after_reuse", doubleReleaseAfterReuse},
	{"release_race", releaseRace},
	{"release_while_viewed", releaseWhileViewed},
	{"fast_id_twice", fastIDTwice},
	{"fast_id_of_reference", fastIDOfReference},
	{"reset_with_live_references", resetWithLiveReferences},
	{"reset_while_viewed", resetWhileViewed},
	{"leak", leak},
	{"use_after_close", useAfterClose},
}

func doubleRelease() {
	pool := newPool()
	ref := take(pool)
	insist(ref.Release())
	answered(pool, ref, ref.Release())
}

func doubleReleaseAfterReuse() {
	pool := sizedPool(slabSize, 1)
	ref := take(pool)
	insist(ref.Release())
	take(pool)
	answered(pool, ref, ref.Release())
}

func releaseAll(refs []slabby.SlabRef, answers []error) {
	for at, ref := range refs {
		answers[at] = ref.Release()
	}
}

func releaseRace() {
	const racers = 1000
	pool := sizedPool(slabSize, racers)
	heats := (rounds(200_000) + racers - 1) / racers
	refs := make([]slabby.SlabRef, racers)
	first, second := make([]error, racers), make([]error, racers)
	won, lost := 0, 0
	for range heats {
		insist(pool.AllocateBatch(refs))
		var both sync.WaitGroup
		start := make(chan struct{})
		for _, answers := range [][]error{first, second} {
			both.Add(1)
			go func() {
				defer both.Done()
				<-start
				releaseAll(refs, answers)
			}()
		}
		close(start)
		both.Wait()
		for at := range refs {
			if (first[at] == nil) != (second[at] == nil) {
				won++
			}
			for _, answer := range []error{first[at], second[at]} {
				if errors.Is(answer, slabby.ErrDoubleDeallocation) {
					lost++
				}
			}
		}
	}
	counted("races", heats*racers)
	counted("won", won)
	counted("lost", lost)
	answered(pool, refs[0], refs[0].Release())
}

func releaseWhileViewed() {
	pool := newPool()
	ref := take(pool)
	insist(ref.Pin())
	answered(pool, ref, ref.Release())
}

func fastIDTwice() {
	pool := newPool()
	_, id, err := pool.AllocateFast()
	insist(err)
	insist(pool.DeallocateFast(id))
	answered(pool, slabby.SlabRef{}, pool.DeallocateFast(id))
}

func fastIDOfReference() {
	pool := newPool()
	ref := take(pool)
	answered(pool, slabby.SlabRef{}, pool.DeallocateFast(ref.ID()))
	insist(ref.Release())
}

func resetWithLiveReferences() {
	pool := newPool()
	ref := take(pool)
	insist(pool.Reset())
	answered(pool, ref, ref.Release())
}

func resetWhileViewed() {
	pool := newPool()
	ref := take(pool)
	insist(ref.Pin())
	answered(pool, slabby.SlabRef{}, pool.Reset())
	insist(ref.Unpin())
	insist(ref.Release())
}

// leak drops the pool with a slab still out: the logger is told when the collector finds it.
func leak() {
	read, write, err := os.Pipe()
	insist(err)
	logger := slog.New(slog.NewTextHandler(write, &slog.HandlerOptions{Level: slog.LevelWarn,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
	take(newPool(slabby.WithLogger(logger)))
	collecting := make(chan struct{})
	go func() {
		for {
			select {
			case <-collecting:
				return
			case <-time.After(time.Millisecond):
				runtime.GC()
			}
		}
	}()
	line := make([]byte, 1024)
	length, err := read.Read(line)
	insist(err)
	close(collecting)
	report("OK", -1, 0, string(line[:length-1]))
}

func useAfterClose() {
	pool := newPool()
	insist(pool.Close())
	_, err := pool.Allocate()
	answered(pool, slabby.SlabRef{}, err)
}
