// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	slabby "github.com/slabby/slabby/go"
)

// guardedPool has an inaccessible byte past each slab.
func guardedPool(t testing.TB) *slabby.Slabby {
	pool, err := slabby.New(4096, 2, slabby.WithGuardPages(), slabby.WithDebug(), slabby.WithName("orders"))
	if errors.Is(err, slabby.ErrNotSupported) {
		t.Skipf("refused here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

// A fault on a guard is an error that tells pool, slab, distance, kind and stacks.
func TestFaultsAreErrors(t *testing.T) {
	pool := guardedPool(t)
	ref := loadOrder(t, pool)
	data := ref.GetBytes()
	err := slabby.CatchFaults(func() { *beside(data, 4096) = 1 })
	var fault *slabby.FaultError
	if !errors.As(fmt.Errorf("while loading: %w", err), &fault) {
		t.Fatalf("CatchFaults: %v", err)
	}
	if fault.Pool != "orders" || fault.Ref != ref || fault.ID != ref.ID() || fault.Offset != 4096 ||
		fault.SlabSize != 4096 || fault.Kind != slabby.FaultKindPastEnd ||
		fault.State != slabby.SlabStateLive {
		t.Errorf("the fault is %+v", fault)
	}
	want := fmt.Sprintf("access 1 byte past the end of slab %d (4096 bytes) of pool 'orders'", ref.ID())
	if fault.Text != want || !strings.Contains(err.Error(), want) {
		t.Errorf("%q, want %q", fault.Text, want)
	}
	if !strings.HasPrefix(fault.Allocated, loadOrderName) || !strings.Contains(fault.Stacks, "allocated by thread") {
		t.Errorf("allocated at %q, stacks %q", fault.Allocated, fault.Stacks)
	}
	var cause runtime.Error
	if !errors.As(err, &cause) {
		t.Error("the runtime's own error is lost")
	}
	mustRelease(t, ref)
	wantError(t, "Close", pool.Close(), nil)
}

// Guards: a sampled slab has stacks also where it was allocated by id.
func TestFaultsByID(t *testing.T) {
	pool, err := slabby.New(4096, 4, slabby.WithGuardSampleRate(1))
	wantError(t, "New", err, nil)
	data, id, err := pool.AllocateFast()
	wantError(t, "AllocateFast", err, nil)
	var fault *slabby.FaultError
	err = slabby.CatchFaults(func() { *beside(data, 4096) = 1 })
	if !errors.As(err, &fault) || fault.ID != id || !strings.Contains(fault.Stacks, "allocated by thread") {
		t.Errorf("CatchFaults: %v, %+v", err, fault)
	}
	wantError(t, "DeallocateFast", pool.DeallocateFast(id), nil)
}

// Guards: a fault leads to its pool after one of several that share the handle is gone.
func TestFaultsAfterAdopting(t *testing.T) {
	pool := guardedPool(t)
	ref := mustAllocate(t, pool)
	data := ref.GetBytes()
	var log lockedBuffer
	func() {
		address, instance, err := pool.Handle()
		wantError(t, "Handle", err, nil)
		_, err = slabby.Adopt(address, instance, textLogger(&log))
		wantError(t, "Adopt", err, nil)
	}()
	collect(func() bool { return log.has("dropped with live slabs") })
	collectClosed(t) // that cleanup is most likely over
	var fault *slabby.FaultError
	err := slabby.CatchFaults(func() { *beside(data, 4096) = 1 })
	if !errors.As(err, &fault) || fault.Ref != ref {
		t.Fatalf("CatchFaults: %+v", fault)
	}
	mustRelease(t, ref)
}

// Other panics and faults go on as they were, and the goroutine's setting comes back.
func TestOtherPanicsPass(t *testing.T) {
	pool := guardedPool(t)
	ref := mustAllocate(t, pool)
	data := ref.GetBytes()
	outcome := func(work func()) (recovered any) {
		defer func() { recovered = recover() }()
		return slabby.CatchFaults(work)
	}
	if got := outcome(func() { panic("mine") }); got != "mine" {
		t.Errorf("a panic became %v", got)
	}
	if got := outcome(func() { _ = *(*byte)(nil) }); slabby.FaultOf(got) != nil || got == nil {
		t.Errorf("a nil dereference became %v", got)
	}
	if got := outcome(func() {}); got != nil {
		t.Errorf("nothing became %v", got)
	}
	if debug.SetPanicOnFault(false) {
		t.Error("CatchFaults left SetPanicOnFault on")
	}
	// For programs that recover on their own.
	func() {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			if fault := slabby.FaultOf(recover()); fault == nil || fault.Offset != 4100 {
				t.Errorf("FaultOf: %+v", fault)
			}
		}()
		*beside(data, 4100) = 1
	}()
	mustRelease(t, ref)
	wantError(t, "Close", pool.Close(), nil)
}

// faultChild names the deed of a child process.
const faultChild = "SLABBY_TEST_FAULT"

// TestFaultChild is what the children of TestFaultHandlerAndRuntime do.
func TestFaultChild(t *testing.T) {
	deed := os.Getenv(faultChild)
	if deed == "" {
		t.Skip("only for the children of TestFaultHandlerAndRuntime")
	}
	pool := guardedPool(t)
	ref := loadOrder(t, pool)
	data := ref.GetBytes()
	wantError(t, "InstallFaultHandler", slabby.InstallFaultHandler(), nil)
	wantError(t, "InstallFaultHandler again", slabby.InstallFaultHandler(), nil)
	switch deed {
	case "recovered":
		for range 3 {
			var fault *slabby.FaultError
			if err := slabby.CatchFaults(func() { *beside(data, 4096) = 1 }); !errors.As(err, &fault) {
				t.Errorf("CatchFaults: %v", err)
			}
		}
		fmt.Println("violations:", pool.Stats().GuardPageViolations)
	case "nil":
		defer func() { fmt.Println("recovered:", recover()) }()
		_ = *(*byte)(nil)
	default:
		*beside(data, 4096) = 1
	}
	mustRelease(t, ref)
}

// The core's handler and Go's live together: the report comes first, then Go's panic or its end of
// the process; and faults that are none of the pool's are Go's alone.
func TestFaultHandlerAndRuntime(t *testing.T) {
	wantError(t, "Close", guardedPool(t).Close(), nil)
	for deed, want := range map[string]struct {
		passes  bool
		reports int
		says    string
	}{
		"recovered": {true, 3, "violations: 3"},
		"nil":       {true, 0, "recovered: runtime error: invalid memory address or nil pointer dereference"},
		"fatal":     {false, 1, "unexpected fault address"},
	} {
		child := exec.Command(os.Args[0], "-test.run=^TestFaultChild$", "-test.v")
		child.Env = append(os.Environ(), faultChild+"="+deed)
		output, err := child.CombinedOutput()
		text := string(output)
		if (err == nil) != want.passes || !strings.Contains(text, want.says) ||
			strings.Count(text, "slabby: write 1 byte past the end of slab") != want.reports {
			t.Errorf("%s: %v\n%s", deed, err, text)
		}
	}
}
