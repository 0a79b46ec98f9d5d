// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabbyexpvar_test

import (
	"encoding/json"
	"expvar"
	"testing"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/slabbyexpvar"
)

// The published variable is JSON and has what a pool did, also of a pool that was made later.
func TestPublish(t *testing.T) {
	slabbyexpvar.Publish()
	slabbyexpvar.Publish()
	pool, err := slabby.New(64, 10, slabby.WithName("published"), slabby.WithLatencyTracking(slabby.LatencyTrackingAll))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	if _, err := pool.Allocate(); err != nil {
		t.Fatal(err)
	}
	var pools map[string]map[string]any
	if err := json.Unmarshal([]byte(expvar.Get(slabbyexpvar.Name).String()), &pools); err != nil {
		t.Fatal(err)
	}
	found := pools["published"]
	slabs, _ := found["slabby_slabs"].(map[string]any)
	state, _ := found["slabby_breaker_state"].(map[string]any)
	if slabs["live"] != 1.0 || slabs["free"] != 9.0 || state["closed"] != 1.0 || state["open"] != 0.0 ||
		found["slabby_slab_size_bytes"] != 64.0 || found["slabby_alloc_duration_seconds_count"] != 1.0 {
		t.Errorf("%v", found)
	}
}
