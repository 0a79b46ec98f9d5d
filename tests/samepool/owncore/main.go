// SPDX-License-Identifier: GPL-3.0-or-later

// Owncore is a Go library with a core of its own, as `go get` gives it: in a process that has the shared
// core too, each must keep to itself.
package main

import "C"

import slabby "github.com/slabby/slabby/go"

//export owncore_instance_id
func owncore_instance_id() uint64 {
	return slabby.InstanceID()
}

// owncore_adopt tries to join a pool of another core, and returns the status.
//
//export owncore_adopt
func owncore_adopt(address, instanceID uint64) int32 {
	_, err := slabby.Adopt(address, instanceID)
	status, _ := slabby.StatusOf(err)
	return int32(status)
}

// owncore_use makes a pool and uses it: 0, or the status of what failed.
//
//export owncore_use
func owncore_use() int32 {
	pool, err := slabby.New(64, 4)
	if err == nil {
		var ref slabby.SlabRef
		if ref, err = pool.Allocate(); err == nil {
			err = ref.Release()
		}
	}
	status, _ := slabby.StatusOf(err)
	return int32(status)
}

func main() {}
