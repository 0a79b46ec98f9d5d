// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// What New refuses comes with the status, the value, its limits and words, and the sentinel
// matches.
func TestNewSaysWhatIsWrong(t *testing.T) {
	cases := []struct {
		name               string
		slabSize, capacity int
		option             slabby.AllocatorOption
		want               error
		value              int64
	}{
		{"slab size 0", 0, 10, nil, slabby.ErrInvalidSlabSize, 0},
		{"slab size above 1 GiB", 1<<30 + 1, 10, nil, slabby.ErrInvalidSlabSize, 1<<30 + 1},
		{"capacity 0", 64, 0, nil, slabby.ErrInvalidCapacity, 0},
		{"capacity beyond ids", 64, 1 << 40, nil, slabby.ErrCapacityExceeded, 1 << 40},
		{"shards 0", 64, 10, slabby.WithShards(0), slabby.ErrInvalidOption, 0},
		{"shards above", 64, 10, slabby.WithShards(4097), slabby.ErrInvalidOption, 4097},
		{"shards below", 64, 10, slabby.WithShards(-3), slabby.ErrInvalidOption, -3},
		{"odd alignment", 64, 10, slabby.WithCacheLine(48), slabby.ErrInvalidOption, 48},
		{"unknown option", 64, 10, slabby.WithOption(9999, 1), slabby.ErrInvalidOption, 9999},
		{"health interval", 64, 10, slabby.WithHealthInterval(1), slabby.ErrInvalidOption, 1},
	}
	for _, c := range cases {
		_, err := slabby.New(c.slabSize, c.capacity, c.option)
		var detail *slabby.Error
		if !errors.Is(err, c.want) || !errors.As(err, &detail) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
			continue
		}
		if detail.Value != c.value || len(detail.Text) < 20 {
			t.Errorf("%s: value %d, want %d; text %q", c.name, detail.Value, c.value, detail.Text)
		}
		if status, ok := slabby.StatusOf(err); !ok || !strings.Contains(err.Error(), status.String()) {
			t.Errorf("%s: %q does not name its status", c.name, err)
		}
	}
	for _, sizes := range [][2]int{{-1, 10}, {64, -1}} {
		if _, err := slabby.New(sizes[0], sizes[1]); err == nil {
			t.Errorf("New(%d, %d) made a pool", sizes[0], sizes[1])
		}
	}
}

// The effective value of each option can be read back, and a later one counts.
func TestOptionsTakeEffect(t *testing.T) {
	pool := newPool(t, 100, 64, slabby.WithShards(1), slabby.WithShards(3),
		slabby.WithAlignment(256), slabby.WithPCPUCache(false), slabby.WithSecure(),
		slabby.WithLatencyTracking(slabby.LatencyTrackingAll), slabby.WithHeapFallback(),
		slabby.WithHeapFallbackLimit(7), slabby.WithText("prefault", "on"),
		slabby.WithCPUCacheBackend(slabby.CPUCacheBackendPortable), slabby.WithName("orders"))
	for option, want := range map[slabby.OptionID]int64{
		slabby.OptionShards:            4,
		slabby.OptionAlignment:         256,
		slabby.OptionPerCPUCache:       0,
		slabby.OptionCPUCacheBackend:   int64(slabby.CPUCacheBackendPortable),
		slabby.OptionSecure:            1,
		slabby.OptionLatencyTracking:   int64(slabby.LatencyTrackingAll),
		slabby.OptionHeapFallback:      1,
		slabby.OptionHeapFallbackLimit: 7,
		slabby.OptionPrefault:          1,
	} {
		if got, err := pool.GetOption(option); got != want || err != nil {
			t.Errorf("option %d: %d, %v; want %d", option, got, err, want)
		}
	}
	wantError(t, "a cold option", pool.SetOption(slabby.OptionShards, 2), slabby.ErrColdOption)
	wantError(t, "a hot option", pool.SetOption(slabby.OptionSecure, 0), nil)
	if got, _ := pool.GetOption(slabby.OptionSecure); got != 0 {
		t.Errorf("secure is %d after being switched off", got)
	}
	ref := mustAllocate(t, pool)
	defer mustRelease(t, ref)
	if !strings.Contains(ref.String(), "orders") {
		t.Errorf("%q does not name the pool", ref)
	}
}

func TestTextOptions(t *testing.T) {
	_, err := slabby.New(64, 4, slabby.WithName("a\x00b"))
	wantError(t, "a NUL inside a name", err, slabby.ErrInvalidOption)
	_, err = slabby.New(64, 4, slabby.WithName(strings.Repeat("x", 64)))
	wantError(t, "a name of 64 bytes", err, slabby.ErrInvalidOption)
	_, err = slabby.New(64, 4, slabby.WithText("alignment", "3 furlongs"))
	wantError(t, "an unreadable text", err, slabby.ErrInvalidOption)
	_, err = slabby.New(64, 4, slabby.WithPreset("no such preset"))
	wantError(t, "an unknown preset", err, slabby.ErrInvalidOption)
	if !strings.Contains(err.Error(), slabby.PresetTrading) {
		t.Errorf("%v does not list the presets", err)
	}
	gateway := newPool(t, 64, 4, slabby.WithPreset(slabby.PresetGateway), slabby.WithDegradeAt(70))
	for option, want := range map[slabby.OptionID]int64{
		slabby.OptionHeapFallback: 1, slabby.OptionDegradeAt: 70, slabby.OptionSurviveAt: 95,
		slabby.OptionHealthChecks: 1, slabby.OptionGuardPages: 0,
	} {
		if got, err := gateway.GetOption(option); got != want || err != nil {
			t.Errorf("option %d of the preset gateway: %d, %v; want %d", option, got, err, want)
		}
	}
	pool := newPool(t, 64, 4, slabby.WithPreset("default"), slabby.WithText("alignment", "4KiB"))
	if got, err := pool.GetOption(slabby.OptionAlignment); got != 4096 || err != nil {
		t.Errorf("alignment 4KiB is %d, %v", got, err)
	}
}

// secure: what a slab held is gone before anybody else can see it.
func TestSecureZeroes(t *testing.T) {
	pool := newPool(t, 4096, 1, slabby.WithSecure())
	for range 10 {
		ref := mustAllocate(t, pool)
		data := ref.GetBytes()
		for i, b := range data {
			if b != 0 {
				t.Fatalf("byte %d of a fresh slab is %d", i, b)
			}
		}
		copy(data, bytes.Repeat([]byte{0xCC}, len(data)))
		mustRelease(t, ref)
	}
}

// Heap slabs are counted apart, are as safe, and are bounded.
func TestHeapFallback(t *testing.T) {
	pool := newPool(t, 64, 2, slabby.WithHeapFallback(), slabby.WithHeapFallbackLimit(3))
	var refs []slabby.SlabRef
	for range 5 {
		refs = append(refs, mustAllocate(t, pool))
	}
	_, err := pool.Allocate()
	wantError(t, "beyond the heap's limit", err, slabby.ErrOutOfMemory)
	s := pool.Stats()
	if s.UsedSlabs != 2 || s.HeapSlabs != 3 || s.HeapFallbacks != 3 {
		t.Errorf("%d used, %d heap, %d fallbacks; want 2, 3, 3", s.UsedSlabs, s.HeapSlabs,
			s.HeapFallbacks)
	}
	for _, ref := range refs {
		if data := ref.GetBytes(); len(data) != 64 || cap(data) != 64 {
			t.Errorf("len %d, cap %d", len(data), cap(data))
		}
		mustRelease(t, ref)
		wantError(t, "Release twice", ref.Release(), slabby.ErrDoubleDeallocation)
	}
}

// Pools that were closed and forgotten keep no place: New finds them when the places run out.
func TestClosedPoolsMakeSpace(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 10,000 pools; run without -short")
	}
	for at := range 10_000 {
		pool, err := slabby.New(64, 1)
		if err != nil {
			t.Fatalf("pool %d: %v", at, err)
		}
		mustRelease(t, mustAllocate(t, pool))
		wantError(t, "Close", pool.Close(), nil)
	}
}

// Live shows what is out, with labels, pins and state.
func TestLive(t *testing.T) {
	pool := newPool(t, 64, 8)
	ref := mustAllocate(t, pool)
	wantError(t, "SetLabel", ref.SetLabel(42), nil)
	wantError(t, "Pin", ref.Pin(), nil)
	_, id, err := pool.AllocateFast()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for live := range pool.Live() {
		seen++
		switch live.ID {
		case ref.ID():
			if live.Ref != ref || live.Label != 42 || live.Pins != 1 ||
				live.State != slabby.SlabStateLive {
				t.Errorf("%+v", live)
			}
		case id:
			if live.Ref != (slabby.SlabRef{}) || live.State != slabby.SlabStateLiveFast {
				t.Errorf("%+v", live)
			}
		default:
			t.Errorf("slab %d is not out", live.ID)
		}
	}
	if seen != 2 {
		t.Errorf("%d live slabs seen, want 2", seen)
	}
	for range pool.Live() {
		break // Leaving early is fine.
	}
	wantError(t, "Unpin", ref.Unpin(), nil)
	mustRelease(t, ref)
	wantError(t, "DeallocateFast", pool.DeallocateFast(id), nil)
}

func TestMemoryTrimReclaim(t *testing.T) {
	pool := newPool(t, 4096, 100)
	memory, err := pool.Memory()
	if err != nil || memory.SlabBytes != 409_600 || memory.Stride < 4096 ||
		memory.ReservedBytes < memory.SlabBytes {
		t.Errorf("Memory: %+v, %v", memory, err)
	}
	refs, err := pool.BatchAllocate(100)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range refs {
		ref.GetBytes()[0] = 1
	}
	wantError(t, "BatchDeallocate", pool.BatchDeallocate(refs), nil)
	if _, err := pool.Trim(); err != nil {
		t.Errorf("Trim: %v", err)
	}
	if back, err := pool.Reclaim(); back != 0 || err != nil {
		t.Errorf("Reclaim of a sound pool: %d, %v", back, err)
	}
}

// Go's JSON of the statistics has the core's keys, words and values.
func TestStatsAsJSON(t *testing.T) {
	pool := newPool(t, 64, 4)
	ref := mustAllocate(t, pool)
	mustRelease(t, ref)
	wantError(t, "Release", ref.Release(), slabby.ErrDoubleDeallocation)
	text, err := json.Marshal(pool.Stats())
	if err != nil {
		t.Fatal(err)
	}
	core, err := pool.StatsJSON()
	if err != nil {
		t.Fatal(err)
	}
	var ours, theirs map[string]any
	if err := json.Unmarshal(text, &ours); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if err := json.Unmarshal([]byte(core), &theirs); err != nil {
		t.Fatalf("%v: %s", err, core)
	}
	// Go's own, for programs of the reference's library.
	if ours["current_allocations"] != ours["used_slabs"].(float64)+ours["heap_slabs"].(float64) {
		t.Errorf("%v current allocations", ours["current_allocations"])
	}
	delete(ours, "current_allocations")
	if len(ours) != len(theirs) {
		t.Errorf("%d keys, the core has %d", len(ours), len(theirs))
	}
	for key, value := range theirs {
		if counts, ok := value.(map[string]any); ok {
			maps.DeleteFunc(counts, func(_ string, count any) bool { return count == 0.0 })
		}
		if !sameNumber(ours[key], value) && !reflect.DeepEqual(ours[key], value) {
			t.Errorf("%s is %v, the core says %v", key, ours[key], value)
		}
	}
}

// The core prints ratios with fewer digits than Go.
func sameNumber(ours, theirs any) bool {
	a, isNumber := ours.(float64)
	b, isNumberToo := theirs.(float64)
	return isNumber && isNumberToo && math.Abs(a-b) <= 1e-5*max(1, math.Abs(a))
}

// Two bindings of one pool: a reference passes as a number, and one Close ends it for both.
func TestHandleAndAdopt(t *testing.T) {
	pool := newPool(t, 64, 2)
	address, instance, err := pool.Handle()
	if err != nil || instance != slabby.InstanceID() || instance == 0 {
		t.Fatalf("Handle: %d, %v; this core is %d", instance, err, slabby.InstanceID())
	}
	_, err = slabby.Adopt(address, instance+1)
	wantError(t, "a handle of another core", err, slabby.ErrAbiMismatch)
	_, err = slabby.Adopt(address+1, instance)
	wantError(t, "no handle", err, slabby.ErrInvalidArgument)
	_, err = slabby.Adopt(address, instance, slabby.WithShards(2))
	wantError(t, "an option of the making", err, slabby.ErrColdOption)
	second, err := slabby.Adopt(address, instance)
	if err != nil {
		t.Fatal(err)
	}
	ref := mustAllocate(t, pool)
	same := second.RefOf(ref.Ref())
	copy(ref.GetBytes(), "hello")
	if got := string(same.GetBytes()[:5]); got != "hello" {
		t.Errorf("the other binding reads %q", got)
	}
	wantError(t, "Release by the other binding", same.Release(), nil)
	wantError(t, "Release after that", ref.Release(), slabby.ErrDoubleDeallocation)
	wantError(t, "Close of the other binding", second.Close(), nil)
	_, err = pool.Allocate()
	wantError(t, "Allocate", err, slabby.ErrClosed)
}

// Hot errors are the bare sentinels; Explain tells the story, and other errors explain themselves.
func TestExplain(t *testing.T) {
	pool := newPool(t, 64, 1, slabby.WithName("frames"))
	ref := mustAllocate(t, pool)
	mustRelease(t, ref)
	err := ref.Release()
	if err != slabby.ErrDoubleDeallocation {
		t.Errorf("Release: %v is not the sentinel itself", err)
	}
	if scenario := pool.Explain(err, ref); !strings.Contains(scenario, "frames") {
		t.Errorf("%q does not name the pool", scenario)
	}
	other := errors.New("something else")
	if scenario := pool.Explain(other, ref); scenario != "something else" {
		t.Errorf("another error explains itself as %q", scenario)
	}
	if _, known := slabby.StatusOf(other); known {
		t.Error("another error has a status")
	}
	if slabby.Status(-99).String() != "Status(-99)" || slabby.Binding(9).String() != "Binding(9)" {
		t.Error("unknown numbers have wrong names")
	}
}

// The logger hears of a refused making and of slabs left behind.
func TestLogger(t *testing.T) {
	var out lockedBuffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if _, err := slabby.New(0, 4, slabby.WithLogger(logger)); err == nil {
		t.Fatal("New(0, 4) made a pool")
	}
	if !out.has("no pool made") {
		t.Errorf("the refusal was not logged: %s", &out)
	}
	pool := newPool(t, 64, 4, slabby.WithLogger(logger))
	if !out.has("event=opened") {
		t.Errorf("the pool was not logged: %s", &out)
	}
	ref := mustAllocate(t, pool)
	wantError(t, "Close", pool.Close(), nil)
	if _, err := pool.LogEvents(context.Background()); err != nil {
		t.Error(err)
	}
	if !out.has("level=WARN") || !out.has("event=closed value=1") {
		t.Errorf("the live slab was not logged: %s", &out)
	}
	mustRelease(t, ref)
	silent := newPool(t, 64, 4, slabby.WithLogger(nil))
	wantError(t, "Close", silent.Close(), nil)
}

type logLines chan string

func (l logLines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// A dropped pool is closed by the collector, and the logger hears what was lost with it.
func TestDroppedPoolIsAbandoned(t *testing.T) {
	lines := make(logLines, 16)
	func() {
		pool, err := slabby.New(64, 4, slabby.WithLogger(slog.New(slog.NewTextHandler(lines, nil))))
		if err != nil {
			t.Fatal(err)
		}
		mustAllocate(t, pool)
	}()
	collect(func() bool { return len(lines) == 3 })
	for _, text := range []string{"event=opened", "dropped with live slabs\" pool=", "event=closed"} {
		if line := <-lines; !strings.Contains(line, text) {
			t.Errorf("logged %q, want %s", line, text)
		}
	}
}
