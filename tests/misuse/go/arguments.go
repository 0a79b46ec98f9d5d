// SPDX-License-Identifier: GPL-3.0-or-later

package main

import slabby "github.com/slabby/slabby/go"

// Numbers out of range, sizes that cannot be, places that are missing.
var argumentMistakes = []mistake{
	{"option_out_of_range", optionOutOfRange},
	{"option_conflict", optionConflict},
	{"cold_option", coldOption},
	{"absurd_sizes", absurdSizes},
	{"absurd_batches", absurdBatches},
	{"null_arguments", nullArguments},
}

func refusedPool(slabSize, capacity int, options ...slabby.AllocatorOption) {
	_, err := slabby.New(slabSize, capacity, options...)
	refused(err)
}

func optionOutOfRange() {
	refusedPool(slabSize, capacity, slabby.WithShards(4097))
	refusedPool(slabSize, capacity, slabby.WithAlignment(48))
	refusedPool(slabSize, capacity, slabby.WithDegradeAt(101))
}

func optionConflict() {
	refusedPool(slabSize, capacity, slabby.WithGuardPages(), slabby.WithHugePages())
}

func coldOption() {
	refused(newPool().SetOption(slabby.OptionShards, 2))
}

func absurdSizes() {
	refusedPool(0, capacity)
	refusedPool(1<<30+1, capacity)
	refusedPool(1<<62, capacity)
	refusedPool(slabSize, 0)
	refusedPool(slabSize, 1<<31)
	refusedPool(slabSize, 1<<62)
}

func absurdBatches() {
	pool := newPool()
	for _, count := range []int{0, capacity + 1} {
		_, err := pool.BatchAllocate(count)
		answered(pool, slabby.SlabRef{}, err)
	}
}

// Go has no out-parameters; the nearest kin is a pool that is nil.
func nullArguments() {
	var none *slabby.Slabby
	_, err := none.Allocate()
	answered(none, slabby.SlabRef{}, err)
	answered(none, slabby.SlabRef{}, none.DeallocateFast(0))
	answered(none, slabby.SlabRef{}, none.Reset())
	answered(none, slabby.SlabRef{}, none.Close())
	_, _, err = none.Handle()
	answered(none, slabby.SlabRef{}, err)
}
