// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"fmt"
	"log/slog"
	"runtime"
	"unsafe"
)

// Name is the pool's name (WithName), empty where it has none or is gone.
func (p *Slabby) Name() string {
	name, err := p.GetOptionText("name")
	if err != nil {
		return ""
	}
	return name
}

// Capacity is how many slabs the pool has at this moment, 0 for a nil pool.
func (p *Slabby) Capacity() int {
	if stats := p.Stats(); stats != nil {
		return stats.TotalSlabs
	}
	return 0
}

// State is whether the pool is open, closed, or drained: closed, with its last slab released. A nil
// pool is drained.
func (p *Slabby) State() PoolState {
	if stats := p.Stats(); stats != nil {
		return stats.PoolState
	}
	return PoolStateDrained
}

// GetOptionText is the effective value of an option by name, as text that WithText reads: "30s",
// "on", a word. "name" is the pool's name.
func (p *Slabby) GetOptionText(name string) (string, error) {
	if p.c() == nil {
		return "", noPool("GetOptionText")
	}
	if err := errorOfNUL(name); err != nil {
		return "", err
	}
	cName := C.CString(name)
	defer C.free(unsafe.Pointer(cName))
	text, err := coreText(func(b *C.char, c C.uint64_t, l *C.uint64_t) C.slabby_status {
		return C.slabby_get_option_text(b, c, l, p.c(), cName)
	})
	runtime.KeepAlive(p)
	if status, _ := StatusOf(err); err != nil {
		return "", p.optionError(C.slabby_status(status), 0,
			fmt.Sprintf("GetOptionText(%q): there is no such option; docs/contract.md lists them", name))
	}
	return text, nil
}

// String is the pool for people, such as "orders (4096 slabs of 64 bytes, 17 used, open)".
func (p *Slabby) String() string {
	stats := p.Stats()
	if stats == nil {
		return "no pool"
	}
	label := p.Label()
	if label == "" {
		label = "pool" // it is gone, and so is its label
	}
	return fmt.Sprintf("%s (%d slabs of %d bytes, %d used, %v)", label, stats.TotalSlabs, stats.SlabSize,
		stats.UsedSlabs, stats.PoolState)
}

// GoString is the same: the fields are for the package alone, and other goroutines change them.
func (p *Slabby) GoString() string {
	return p.String()
}

// LogValue is what slog prints of a pool.
func (p *Slabby) LogValue() slog.Value {
	stats := p.Stats()
	if stats == nil {
		return slog.StringValue("no pool")
	}
	return slog.GroupValue(
		slog.String("name", stats.Name),
		slog.Int("slab_size", stats.SlabSize),
		slog.Int("capacity", stats.TotalSlabs),
		slog.Int("used", stats.UsedSlabs),
		slog.String("state", stats.PoolState.String()),
	)
}

// LogValue is what slog prints of a reference: the text for people and the number that audit
// records and events carry.
func (r SlabRef) LogValue() slog.Value {
	if r.Pool() == nil {
		return slog.StringValue(r.String())
	}
	return slog.GroupValue(slog.String("slab", r.String()), slog.Uint64("ref", r.ref))
}

// MarshalText gives JSON the text for people. There is no way back: a reference needs its pool, see
// RefOf.
func (r SlabRef) MarshalText() ([]byte, error) {
	return []byte(r.String()), nil
}
