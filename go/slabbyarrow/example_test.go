// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo && !slabby_no_records

package slabbyarrow_test

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/math"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/slabbyarrow"
)

// A column is built and summed in slabs.
func ExampleNewAllocator() {
	small, err := slabby.New(4<<10, 256)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer small.Close()
	large, err := slabby.New(1<<20, 16)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer large.Close()
	allocator, err := slabbyarrow.NewAllocator(small, large)
	if err != nil {
		fmt.Println(err)
		return
	}

	builder := array.NewInt64Builder(allocator)
	defer builder.Release()
	for number := range int64(10_000) {
		builder.Append(number)
	}
	column := builder.NewInt64Array()
	fmt.Println("sum:", math.Int64.Sum(column))
	fmt.Println("large slabs used:", large.Stats().UsedSlabs)
	column.Release()
	fmt.Println("after Release:", large.Stats().UsedSlabs+small.Stats().UsedSlabs)
	// Output:
	// sum: 49995000
	// large slabs used: 1
	// after Release: 0
}
