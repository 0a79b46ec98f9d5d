// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"fmt"
	"iter"
	"runtime"
	"time"
	"unsafe"
)

// LiveSlab is one slab that is in use.
type LiveSlab struct {
	// Ref is the zero SlabRef for a slab of AllocateFast.
	Ref   SlabRef   `json:"ref"`
	ID    int32     `json:"id"`
	State SlabState `json:"state"`
	Pins  int       `json:"pins"`
	Label uint64    `json:"label"`
	// Age and Thread are 0 unless the pool records stacks; Age is also that of a grant.
	Age    time.Duration `json:"age_ns"`
	Thread uint64        `json:"thread"`
	// Ticket is the ticket to which a slab was granted that has not been taken yet: then State is
	// SlabStateGranted, and Ref the zero SlabRef. 0 for all other slabs.
	Ticket uint64 `json:"ticket"`
}

// Live goes through the outstanding slabs. Slabs that come and go meanwhile may or may not be seen.
func (p *Slabby) Live() iter.Seq[LiveSlab] {
	return func(yield func(LiveSlab) bool) {
		var cursor, count C.uint64_t
		for {
			raw := C.slabby_live{struct_size: C.uint32_t(unsafe.Sizeof(C.slabby_live{}))}
			status := C.slabby_live_next(&raw, &count, &cursor, p.c())
			runtime.KeepAlive(p)
			if status != 0 || count == 0 || !yield(p.liveSlab(&raw)) {
				return
			}
		}
	}
}

func (p *Slabby) liveSlab(raw *C.slabby_live) LiveSlab {
	live := LiveSlab{
		ID:     int32(raw.id),
		State:  SlabState(raw.state),
		Pins:   int(raw.pins),
		Label:  uint64(raw.label),
		Age:    time.Duration(raw.age_ns),
		Thread: uint64(raw.thread),
		Ticket: uint64(raw.ticket),
	}
	if raw.ref != 0 {
		live.Ref = SlabRef{hot: &p.hot, ref: uint64(raw.ref)}
	}
	return live
}

// Finding is one thing that Verify found wrong. Offset, Expected and Found describe the first bad
// byte where bytes are concerned.
type Finding struct {
	Kind     FindingKind `json:"kind"`
	Ref      SlabRef     `json:"ref"`
	ID       int32       `json:"id"`
	State    SlabState   `json:"state"`
	Offset   int64       `json:"offset"`
	Expected uint64      `json:"expected"`
	Found    uint64      `json:"found"`
	Text     string      `json:"text"`
}

// Verify checks the pool against itself; an empty slice means that all is well. Allocations wait
// while it works. "Every free slab lies in exactly one place" is judged only when no thread allocates
// meanwhile.
func (p *Slabby) Verify() ([]Finding, error) {
	raw := make([]C.slabby_finding, 16)
	for {
		raw[0].struct_size = C.uint32_t(unsafe.Sizeof(raw[0]))
		var count C.uint64_t
		status := C.slabby_verify(&raw[0], &count, p.c(), C.uint64_t(len(raw)))
		runtime.KeepAlive(p)
		if status != 0 {
			return nil, p.of("Verify", statusError(status))
		}
		if int(count) <= len(raw) {
			return p.findings(raw[:count]), nil
		}
		raw = make([]C.slabby_finding, count)
	}
}

func (p *Slabby) findings(raw []C.slabby_finding) []Finding {
	findings := make([]Finding, len(raw))
	for at := range raw {
		findings[at] = Finding{
			Kind:     FindingKind(raw[at].kind),
			ID:       int32(raw[at].id),
			State:    SlabState(raw[at].state),
			Offset:   int64(raw[at].offset),
			Expected: uint64(raw[at].expected),
			Found:    uint64(raw[at].found),
			Text:     C.GoString(&raw[at].text[0]),
		}
		if raw[at].ref != 0 {
			findings[at].Ref = SlabRef{hot: &p.hot, ref: uint64(raw[at].ref)}
		}
	}
	return findings
}

// Reset releases every live slab: all references become stale. It is refused with ErrPinned while
// anything is pinned. For development and tests: in production other code still holds those slabs.
func (p *Slabby) Reset() error {
	if p != nil {
		p.race.releasingFrom(0)
	}
	status := C.slabby_reset(p.c())
	runtime.KeepAlive(p)
	if status == 0 {
		p.allocated.Load().endAll()
	}
	return p.of("Reset", statusError(status))
}

// Trim gives the pages of free slabs back to the system; they come back as zeros on demand.
func (p *Slabby) Trim() (bytes uint64, err error) {
	result := C.slabby_go_trim(p.c())
	runtime.KeepAlive(p)
	return uint64(result.value), p.of("Trim", statusError(result.status))
}

// Reclaim puts quarantined slabs back into service and acknowledges corruption; it counts them.
func (p *Slabby) Reclaim() (slabs uint64, err error) {
	result := C.slabby_go_reclaim(p.c())
	runtime.KeepAlive(p)
	return uint64(result.value), p.of("Reclaim", statusError(result.status))
}

// Resize gives the pool a new capacity, up to WithMaxCapacity, while others allocate and release. It
// returns the number of slabs that are still in use and will be given up when they are released;
// until then no allocation succeeds. Stats.AwaitedSlabs has this number later. If the system refuses
// memory for a higher capacity, the error is ErrNoSystemMemory with the size that was requested, and
// nothing has changed.
func (p *Slabby) Resize(capacity int) (awaited uint64, err error) {
	if p.c() == nil {
		return 0, noPool("Resize")
	}
	raw := newRawError()
	var count C.uint64_t
	status := C.slabby_resize(&count, p.c(), C.uint64_t(max(capacity, 0)), &raw)
	runtime.KeepAlive(p)
	if capacity < 0 && Status(status) == StatusInvalidCapacity {
		return 0, &Error{Status: StatusInvalidCapacity, Option: OptionID(raw.option), Value: int64(capacity),
			Minimum: int64(raw.minimum), Maximum: int64(raw.maximum),
			Text: fmt.Sprintf("capacity %d is out of range; choose %d to %d slabs", capacity, raw.minimum, raw.maximum)}
	}
	return uint64(count), detailedError(status, &raw)
}

// SetOption changes a hot option of the running pool; a cold one is refused with ErrColdOption.
func (p *Slabby) SetOption(option OptionID, value int64) error {
	if p.c() == nil {
		return noPool("SetOption")
	}
	raw := newRawError()
	status := C.slabby_set_option(p.c(), C.int32_t(option), C.int64_t(value), &raw)
	runtime.KeepAlive(p)
	return detailedError(status, &raw)
}

// SetOptionText does the same by name, from text with its unit: "30s", "250us", "on", "off".
func (p *Slabby) SetOptionText(name, text string) error {
	if p.c() == nil {
		return noPool("SetOptionText")
	}
	if err := errorOfNUL(name, text); err != nil {
		return err
	}
	cName, cText := C.CString(name), C.CString(text)
	defer C.free(unsafe.Pointer(cName))
	defer C.free(unsafe.Pointer(cText))
	raw := newRawError()
	status := C.slabby_set_option_text(p.c(), cName, cText, &raw)
	runtime.KeepAlive(p)
	return detailedError(status, &raw)
}

// GetOption is the effective value: what the pool uses after rounding and defaults.
func (p *Slabby) GetOption(option OptionID) (int64, error) {
	if p.c() == nil {
		return 0, noPool("GetOption")
	}
	result := C.slabby_go_option(p.c(), C.int32_t(option))
	runtime.KeepAlive(p)
	if result.status == 0 {
		return int64(result.value), nil
	}
	text := fmt.Sprintf("GetOption(%d): there is no such option; give a constant such as OptionSecure", int32(option))
	if option == OptionName {
		text = "GetOption(OptionName): the name is a text; use GetOptionText(\"name\")"
	}
	return 0, p.optionError(result.status, option, text)
}

// optionError has the text where the option is what was refused, and not the pool.
func (p *Slabby) optionError(status C.slabby_status, option OptionID, text string) error {
	err := statusError(status)
	if p.State() == PoolStateOpen {
		err = &Error{Status: Status(status), Option: option, Value: int64(option), Text: text, cause: err}
	}
	return err
}
