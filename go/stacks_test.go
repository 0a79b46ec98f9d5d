// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

//go:noinline
func loadOrder(t testing.TB, pool *slabby.Slabby) slabby.SlabRef {
	ref, err := pool.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

const loadOrderName = "github.com/slabby/slabby/go_test.loadOrder\n"

// The stack begins with the function that called this package, with file and line; a stale
// reference tells it until the slab's next allocation.
func TestAllocationStackIsTheCallers(t *testing.T) {
	pool := newPool(t, 64, 4, slabby.WithDebug())
	ref := loadOrder(t, pool)
	for range 2 {
		text := ref.AllocationStack()
		if !strings.HasPrefix(text, loadOrderName) || !strings.Contains(text, "/stacks_test.go:") ||
			!strings.Contains(text, "TestAllocationStackIsTheCallers\n") {
			t.Errorf("the stack is %s", text)
		}
		if ref.IsValid() {
			mustRelease(t, ref)
		}
	}
}

// Every way to allocate is told, also to code that finds the slab by its number.
func TestEveryAllocationIsReported(t *testing.T) {
	pool := newPool(t, 64, 8, slabby.WithDebug())
	refs := take(t, pool, 3)
	waited, err := pool.AllocateWithTimeout(time.Second)
	if err != nil {
		t.Fatal(err)
	}
	awaited, err := pool.AllocateContext(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	refs = append(refs, waited, awaited)
	seen := 0
	for live := range pool.Live() {
		seen++
		first, _, _ := strings.Cut(live.Ref.AllocationStack(), "\n")
		if !strings.HasPrefix(first, "github.com/slabby/slabby/go_test.") {
			t.Errorf("%v begins with %q", live.Ref, first)
		}
	}
	if seen != len(refs) {
		t.Errorf("%d live slabs, want %d", seen, len(refs))
	}
	wantError(t, "BatchDeallocate", pool.BatchDeallocate(refs), nil)
}

// The option is hot, and off nothing is noted or allocated.
func TestDebugIsHot(t *testing.T) {
	pool := newPool(t, 64, 4)
	for on := range int64(2) {
		wantError(t, "SetOption", pool.SetOption(slabby.OptionDebug, on), nil)
		ref := loadOrder(t, pool)
		if reported := ref.AllocationStack() != ""; reported != (on == 1) {
			t.Errorf("debug %d, and the stack is told: %v", on, reported)
		}
		mustRelease(t, ref)
	}
	wantError(t, "SetOption", pool.SetOption(slabby.OptionDebug, 0), nil)
	if count := testing.AllocsPerRun(100, func() { mustRelease(t, mustAllocate(t, pool)) }); count != 0 {
		t.Errorf("%v allocations a run with debug off again", count)
	}
}

func profiled() int {
	if profile := pprof.Lookup("slabby"); profile != nil {
		return profile.Count()
	}
	return 0
}

// The profile "slabby" has the live slabs, and `go tool pprof` reads it.
func TestProfileOfLiveSlabs(t *testing.T) {
	before := profiled()
	pool := newPool(t, 64, 16, slabby.WithDebug())
	var refs []slabby.SlabRef
	for range 5 {
		refs = append(refs, loadOrder(t, pool))
	}
	refs = append(refs, take(t, pool, 3)...)
	if got := profiled() - before; got != 8 {
		t.Fatalf("%d slabs in the profile, want 8", got)
	}
	var listing strings.Builder
	wantError(t, "WriteTo", pprof.Lookup("slabby").WriteTo(&listing, 1), nil)
	if !strings.Contains(listing.String(), "go_test.loadOrder") {
		t.Errorf("the profile lists\n%s", listing.String())
	}
	readProfile(t)
	mustRelease(t, refs[0])
	wantError(t, "Deallocate", pool.Deallocate(refs[1]), nil)
	wantError(t, "ReleaseDeferred", refs[2].ReleaseDeferred(), nil)
	wantError(t, "BatchDeallocate", pool.BatchDeallocate(refs[3:6]), nil)
	if got := profiled() - before; got != 2 {
		t.Errorf("%d slabs in the profile after 6 releases, want 2", got)
	}
	wantError(t, "Reset", pool.Reset(), nil)
	if got := profiled() - before; got != 0 {
		t.Errorf("%d slabs in the profile after a reset", got)
	}
}

// A slab leaves the profile by its bytes too, on the heap and on guard slots; nothing of that is a mistake.
func TestProfileOfSlabsReleasedByBytes(t *testing.T) {
	for name, option := range map[string]slabby.AllocatorOption{
		"heap": slabby.WithHeapFallback(), "guard slots": slabby.WithGuardSampleRate(1),
	} {
		before := profiled()
		pool := newPool(t, 64, 2, slabby.WithDebug(), option)
		if name == "heap" {
			take(t, pool, 2)
		}
		ref := loadOrder(t, pool)
		recorded := profiled() - before
		wantError(t, "ReleaseBytes", pool.ReleaseBytes(ref.GetBytes()), nil)
		if got := profiled() - before; got != recorded-1 {
			t.Errorf("%s: %d slabs in the profile, %d with the one that was released", name, got, recorded)
		}
		data, _, err := pool.AllocateFast()
		wantError(t, "AllocateFast", err, nil)
		wantError(t, "ReleaseBytes of a slab by id", pool.ReleaseBytes(data), nil)
		if s := pool.Stats(); len(s.Errors) != 0 {
			t.Errorf("%s: correct releases are counted as %v", name, s.Errors)
		}
	}
}

// readProfile reads the file as Go's tool does: by the tool with SLABBY_FULL, for it may have to be built first, else
// as far as its names are legible.
func readProfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slabby.pprof")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "WriteTo", pprof.Lookup("slabby").WriteTo(file, 0), nil)
	wantError(t, "Close", file.Close(), nil)
	if os.Getenv("SLABBY_FULL") != "" {
		readByTool(t, path)
		return
	}
	file, err = os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	profile, err := io.ReadAll(unpacked)
	wantError(t, "ReadAll", err, nil)
	for _, name := range []string{"slabby", "count", "go_test.loadOrder"} {
		if !bytes.Contains(profile, []byte(name)) {
			t.Errorf("the profile does not name %s", name)
		}
	}
}

func readByTool(t *testing.T, path string) {
	top, err := exec.Command("go", "tool", "pprof", "-top", path).CombinedOutput()
	if err != nil {
		t.Skipf("go tool pprof does not run here: %v: %s", err, top)
	}
	if !strings.Contains(string(top), "Type: slabby") || !topLine(string(top), "5", "go_test.loadOrder") {
		t.Errorf("go tool pprof -top says:\n%s", top)
	}
}

// topLine looks for the line of a function whose first column is flat.
func topLine(top, flat, function string) bool {
	for line := range strings.Lines(top) {
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[0] == flat && strings.Contains(line, function) {
			return true
		}
	}
	return false
}

// ------------------------------------------------------------------------------------------ leaks

// leakyPool hears of its leaks in lines.
func leakyPool(t *testing.T, options ...slabby.AllocatorOption) (*slabby.Slabby, logLines) {
	lines := make(logLines, 64)
	options = append(options, slabby.WithFinalizers(), slabby.WithName("orders"),
		slabby.WithLogger(slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelWarn}))))
	return newPool(t, 64, 8, options...), lines
}

// A dropped reference whose memory was never looked at goes back, and is told with its stack.
func TestDroppedReferencesAreReclaimed(t *testing.T) {
	pool, lines := leakyPool(t)
	func() {
		for range 3 {
			loadOrder(t, pool)
		}
	}()
	collect(func() bool { return pool.Stats().Leaks == 3 })
	if used := pool.Stats().UsedSlabs; used != 0 {
		t.Errorf("%d slabs are still in use", used)
	}
	for range 3 {
		line := <-lines
		if !strings.Contains(line, "reference dropped without Release") || !strings.Contains(line, "orders:") ||
			!strings.Contains(line, "reclaimed=true") || !strings.Contains(line, "go_test.loadOrder") {
			t.Errorf("logged %q", line)
		}
	}
	events, _, _, err := pool.ReadEvents(0)
	if err != nil {
		t.Fatal(err)
	}
	reported := 0
	for _, event := range events {
		if event.Code == slabby.EventCodeLeak {
			reported++
			if !strings.Contains(event.Text, "allocated at stacks_test.go:") {
				t.Errorf("the event says %q", event.Text)
			}
		}
	}
	if reported != 3 {
		t.Errorf("%d events, want 3", reported)
	}
}

// Once the memory was handed out a slice may live on: the slab is reported and stays.
func TestSeenReferencesAreReportedOnly(t *testing.T) {
	pool, lines := leakyPool(t)
	data := func() []byte {
		ref := loadOrder(t, pool)
		return ref.GetBytes()
	}()
	data[0] = 7
	collect(func() bool { return pool.Stats().Leaks == 1 })
	if line := <-lines; !strings.Contains(line, "reclaimed=false") {
		t.Errorf("logged %q", line)
	}
	if used := pool.Stats().UsedSlabs; used != 1 || data[0] != 7 {
		t.Errorf("%d slabs in use, and the slice has %d", used, data[0])
	}
	runtime.KeepAlive(data)
	wantError(t, "Reset", pool.Reset(), nil)
}

// A batch with a reference of another pool, which it refuses, leaves the watch of that reference alone.
func TestForeignBatchesEndNoWatch(t *testing.T) {
	pool, _ := leakyPool(t)
	other := newPool(t, 64, 4, slabby.WithFinalizers())
	func() {
		err := other.BatchDeallocate([]slabby.SlabRef{loadOrder(t, pool)})
		wantError(t, "BatchDeallocate of another pool's", err, slabby.ErrInvalidReference)
	}()
	collect(func() bool { return pool.Stats().Leaks == 1 })
}

// A lost slab that is pinned goes back with its last pin, and the report says so.
func TestPinnedReferencesAreReportedAsHeld(t *testing.T) {
	pool, lines := leakyPool(t)
	number := func() uint64 {
		ref := loadOrder(t, pool)
		wantError(t, "Pin", ref.Pin(), nil)
		return ref.Ref()
	}()
	collect(func() bool { return pool.Stats().Leaks == 1 })
	if line := <-lines; !strings.Contains(line, "reclaimed=false") {
		t.Errorf("logged %q", line)
	}
	events, _, _, err := pool.ReadEvents(0)
	wantError(t, "ReadEvents", err, nil)
	if text := events[len(events)-1].Text; !strings.HasSuffix(text, "; it goes back with its last pin (1 held)") {
		t.Errorf("the event says %q", text)
	}
	wantError(t, "Unpin", pool.RefOf(number).Unpin(), nil)
	if used := pool.Stats().UsedSlabs; used != 0 {
		t.Errorf("%d slabs are in use after the last pin", used)
	}
}

// Copies keep a reference; released ones are no leak and no mistake, however they were released.
func TestReleasedReferencesAreNoLeak(t *testing.T) {
	pool, _ := leakyPool(t, slabby.WithAudit(64))
	stored := func() []slabby.SlabRef {
		first := loadOrder(t, pool)
		return []slabby.SlabRef{first, first}
	}()
	func() {
		mustRelease(t, loadOrder(t, pool))
		wantError(t, "RefOf(...).Release", pool.RefOf(loadOrder(t, pool).Ref()).Release(), nil)
		wantError(t, "BatchDeallocate", pool.BatchDeallocate(take(t, pool, 3)), nil)
		wantError(t, "ReleaseBytes", pool.ReleaseBytes(loadOrder(t, pool).GetBytes()), nil)
		loadOrder(t, pool) // the one that tells when the collector is through
	}()
	collect(func() bool { return pool.Stats().Leaks > 0 })
	for range 3 {
		runtime.GC()
	}
	if leaks := pool.Stats().Leaks; leaks != 1 || !stored[1].IsValid() {
		t.Errorf("%d leaks, want 1; the copy is valid: %v", leaks, stored[1].IsValid())
	}
	if s := pool.Stats(); len(s.Errors) != 0 || auditedAs(t, pool, slabby.StatusDoubleDeallocation) != 0 {
		t.Errorf("correct releases are counted as %v", s.Errors)
	}
	mustRelease(t, stored[1])
}
