// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

import (
	"slices"
	"testing"
)

// Guards: a list that a pool of a label enters while the one before it is closed names the newer one alone.
func TestListsNameNoLabelTwice(t *testing.T) {
	var pools []PoolInfo
	at := map[string]int{}
	for _, info := range []PoolInfo{{1, "a", "a"}, {2, "orders", "orders"}, {3, "b", "b"}, {4, "orders", "orders"}} {
		pools = listed(pools, at, info)
	}
	if want := []PoolInfo{{1, "a", "a"}, {4, "orders", "orders"}, {3, "b", "b"}}; !slices.Equal(pools, want) {
		t.Errorf("%v, want %v", pools, want)
	}
}
