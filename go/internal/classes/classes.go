// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

// Package classes chooses among pools of several slab sizes, for the modules beside this one that lend
// buffers of any length. Modules of other versions import it, so its functions must not change.
package classes

import (
	"fmt"
	"slices"

	slabby "github.com/slabby/slabby/go"
)

// Classes are pools in ascending order of their slab sizes.
type Classes struct {
	pools []*slabby.Slabby
	sizes []int
}

// Of sorts pools into classes. No pool, a nil or closed one and two of one slab size are refused with an
// *slabby.Error.
func Of(pools ...*slabby.Slabby) (*Classes, error) {
	if len(pools) == 0 {
		return nil, Refused("no pool given; give at least one")
	}
	c := &Classes{}
	for number, pool := range pools {
		if pool.State() != slabby.PoolStateOpen {
			return nil, Refused(fmt.Sprintf("pool %d of %d is nil or closed; give pools of New", number+1, len(pools)))
		}
		size := pool.Stats().SlabSize
		at, twice := slices.BinarySearch(c.sizes, size)
		if twice {
			return nil, Refused(fmt.Sprintf("two pools have slabs of %d bytes; give one pool for each slab size", size))
		}
		c.pools = slices.Insert(c.pools, at, pool)
		c.sizes = slices.Insert(c.sizes, at, size)
	}
	return c, nil
}

// Refused is an ErrInvalidArgument with a text.
func Refused(text string) error {
	return &slabby.Error{Status: slabby.StatusInvalidArgument, Text: text}
}

// Pools are all pools, those of small slabs first.
func (c *Classes) Pools() []*slabby.Slabby {
	return c.pools
}

// Size is the slab size of a class.
func (c *Classes) Size(class int) int {
	return c.sizes[class]
}

// For is the class of the smallest slabs that hold so many bytes, -1 where none does or none is needed.
func (c *Classes) For(length int) int {
	if length > 0 {
		for class, size := range c.sizes {
			if length <= size {
				return class
			}
		}
	}
	return -1
}

// Holding is the class in whose pool a slice begins, -1 for none.
func (c *Classes) Holding(data []byte) int {
	if cap(data) == 0 {
		return -1
	}
	return slices.Index(c.pools, slabby.PoolAmong(data, c.pools...))
}
