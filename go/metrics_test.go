// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"errors"
	"strings"
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// The list of pools has this one while it is open, under its label, and its address can be adopted.
func TestPoolsListsOpenPools(t *testing.T) {
	pool, err := slabby.New(64, 10, slabby.WithName("listed pool"))
	if err != nil {
		t.Fatal(err)
	}
	find := func() *slabby.PoolInfo {
		for _, info := range slabby.Pools() {
			if info.Label == pool.Label() {
				return &info
			}
		}
		return nil
	}
	info := find()
	if info == nil || info.Name != "listed pool" || !strings.HasPrefix(info.Label, "listed_pool~") {
		t.Fatalf("found %+v, label %q", info, pool.Label())
	}
	again, err := slabby.Adopt(info.Address, slabby.InstanceID())
	if err != nil || again.Label() != info.Label {
		t.Errorf("Adopt: %v, label %q", err, again.Label())
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
	if info := find(); info != nil {
		t.Errorf("closed, and still listed: %+v", info)
	}
	var none *slabby.Slabby
	if none.Label() != "" {
		t.Error("a nil pool has a label")
	}
}

// The text of one pool is of that pool, the text of all also of others; both end as OpenMetrics does.
func TestMetricsText(t *testing.T) {
	one := newPool(t, 64, 10, slabby.WithName("north"))
	newPool(t, 64, 20, slabby.WithName("south"))
	ref := mustAllocate(t, one)
	text, err := one.MetricsText()
	if err != nil {
		t.Fatal(err)
	}
	live := "slabby_slabs{pool=\"" + one.Label() + "\",state=\"live\"} 1\n"
	if !strings.Contains(text, live) || strings.Contains(text, "south") || !strings.HasSuffix(text, "\n# EOF\n") {
		t.Errorf("of one pool: %s", text)
	}
	text, err = slabby.MetricsText()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, live) || !strings.Contains(text, "south") || !strings.HasSuffix(text, "\n# EOF\n") {
		t.Errorf("of all pools: %s", text)
	}
	mustRelease(t, ref)
	var none *slabby.Slabby
	if _, err := none.MetricsText(); !errors.Is(err, slabby.ErrInvalidArgument) {
		t.Errorf("of a nil pool: %v", err)
	}
}

// Guards: an info that was kept names no pool that has the address of its own since.
func TestInfosNameTheirPoolAlone(t *testing.T) {
	pool := newPool(t, 64, 1, slabby.WithName("named"))
	address, _, err := pool.Handle()
	wantError(t, "Handle", err, nil)
	used := false
	use := func(*slabby.Slabby) { used = true }
	earlier := slabby.PoolInfo{Address: address, Name: "earlier", Label: "earlier"}
	if err := earlier.Use(use); !errors.Is(err, slabby.ErrClosed) || used {
		t.Errorf("Use of an info of an earlier pool: %v", err)
	}
	own := slabby.PoolInfo{Address: address, Name: "named", Label: pool.Label()}
	if err := own.Use(use); err != nil || !used {
		t.Errorf("Use of the pool's own info: %v", err)
	}
}
