// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"errors"
	"fmt"

	slabby "github.com/slabby/slabby/go"
)

func Example() {
	pool, err := slabby.New(4096, 1000, slabby.WithSecure())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()

	ref, err := pool.Allocate()
	if err != nil {
		fmt.Println(err)
		return
	}
	data := ref.GetBytes()
	fmt.Println(copy(data, "order 17"), len(data), cap(data))
	fmt.Println(ref.Release())
	fmt.Println(errors.Is(ref.Release(), slabby.ErrDoubleDeallocation))
	// Output:
	// 8 4096 4096
	// <nil>
	// true
}
