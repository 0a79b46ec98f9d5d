// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
//
// #cgo noescape slabby_get_stats
// #cgo nocallback slabby_get_stats
// #cgo noescape slabby_get_memory
// #cgo nocallback slabby_get_memory
// #cgo noescape slabby_get_health
// #cgo nocallback slabby_get_health
import "C"

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// Stats is a snapshot of the pool's counters, nil for a nil pool. Counters never fall. They are
// exact when no call is under way; otherwise they are off by at most the overlapping calls.
func (p *Slabby) Stats() *AllocatorStats {
	stats := statsOf(p.c())
	runtime.KeepAlive(p)
	return stats
}

func statsOf(handle *C.slabby_allocator) *AllocatorStats {
	raw := C.slabby_stats{struct_size: C.uint32_t(unsafe.Sizeof(C.slabby_stats{}))}
	if C.slabby_get_stats(&raw, handle) != 0 {
		return nil
	}
	stats := new(AllocatorStats)
	stats.load(&raw)
	return stats
}

// live counts slabs in users' hands, of the pool and of the heap.
func (s *AllocatorStats) live() uint64 {
	return uint64(s.UsedSlabs) + s.HeapSlabs
}

// Memory reports the memory of the pool, by use.
func (p *Slabby) Memory() (*MemoryUsage, error) {
	raw := C.slabby_memory{struct_size: C.uint32_t(unsafe.Sizeof(C.slabby_memory{}))}
	status := C.slabby_get_memory(&raw, p.c())
	runtime.KeepAlive(p)
	if status != 0 {
		return nil, p.of("Memory", statusError(status))
	}
	memory := new(MemoryUsage)
	memory.load(&raw)
	return memory, nil
}

// HealthCheck is the state of the pool as an operator asks for it, or nil where there is none
// (Health says why).
func (p *Slabby) HealthCheck() *HealthMetrics {
	health, err := p.Health()
	if err != nil {
		return nil
	}
	return health
}

// Health is HealthCheck with the reason where there is none. It covers the last 30 to 60 seconds.
// LastGCDuration is the last pause of Go's garbage collector.
func (p *Slabby) Health() (*HealthMetrics, error) {
	raw := C.slabby_health{struct_size: C.uint32_t(unsafe.Sizeof(C.slabby_health{}))}
	status := C.slabby_get_health(&raw, p.c())
	runtime.KeepAlive(p)
	if status != 0 {
		return nil, p.of("Health", statusError(status))
	}
	health := new(HealthMetrics)
	health.load(&raw)
	health.LastGCDuration = lastGCPause()
	return health, nil
}

func lastGCPause() time.Duration {
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	if len(gc.Pause) == 0 {
		return 0
	}
	return gc.Pause[0]
}

// StatsJSON is Stats as the core's own JSON object, the same in every language.
func (p *Slabby) StatsJSON() (string, error) {
	text, err := coreText(func(b *C.char, c C.uint64_t, l *C.uint64_t) C.slabby_status {
		return C.slabby_stats_json(b, c, l, p.c())
	})
	runtime.KeepAlive(p)
	return text, p.of("StatsJSON", err)
}

// MemoryJSON is Memory as the core's own JSON object, the same in every language.
func (p *Slabby) MemoryJSON() (string, error) {
	text, err := coreText(func(b *C.char, c C.uint64_t, l *C.uint64_t) C.slabby_status {
		return C.slabby_memory_json(b, c, l, p.c())
	})
	runtime.KeepAlive(p)
	return text, p.of("MemoryJSON", err)
}

// HealthJSON is Health as the core's own JSON object, the same in every language: it knows nothing
// of Go's garbage collector.
func (p *Slabby) HealthJSON() (string, error) {
	text, err := coreText(func(b *C.char, c C.uint64_t, l *C.uint64_t) C.slabby_status {
		return C.slabby_health_json(b, c, l, p.c())
	})
	runtime.KeepAlive(p)
	return text, p.of("HealthJSON", err)
}

// HealthTick records the present score for RecentTrend, which uses the last 32.
func (p *Slabby) HealthTick() error {
	status := C.slabby_health_tick(p.c())
	runtime.KeepAlive(p)
	return p.of("HealthTick", statusError(status))
}

// BreakerForce sets the mode of the circuit breaker: normal, every allocation refused, nothing
// counted (disabled), or states that refuse nothing (metrics only).
func (p *Slabby) BreakerForce(mode BreakerMode) error {
	if p.c() == nil {
		return noPool("BreakerForce")
	}
	status := C.slabby_breaker_force(p.c(), C.int32_t(mode))
	runtime.KeepAlive(p)
	if Status(status) == StatusInvalidArgument {
		return &Error{Status: StatusInvalidArgument, Value: int64(mode), Maximum: int64(BreakerModeMetricsOnly),
			Text: fmt.Sprintf("breaker mode %d is out of range; choose %d (%v) to %d (%v)", int32(mode),
				BreakerModeNormal, BreakerModeNormal, BreakerModeMetricsOnly, BreakerModeMetricsOnly)}
	}
	return statusError(status)
}

// ErrorCounts counts refused calls by status.
type ErrorCounts map[Status]uint64

func errorCounts(raw []C.uint64_t) ErrorCounts {
	counts := ErrorCounts{}
	for code, count := range raw {
		if count != 0 {
			counts[Status(-code)] = uint64(count)
		}
	}
	return counts
}

// MarshalText gives JSON the name of the status.
func (s Status) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (s *Status) UnmarshalText(text []byte) error {
	for code, name := range statusNames {
		if name == string(text) {
			*s = Status(-code)
			return nil
		}
	}
	return unmarshalNumber((*int32)(s), "Status", text)
}

// unmarshalNumber reads Type(n), as String writes a number without a name.
func unmarshalNumber(out *int32, kind string, text []byte) error {
	digits, found := strings.CutPrefix(strings.TrimSuffix(string(text), ")"), kind+"(")
	number, err := strconv.ParseInt(digits, 10, 32)
	if !found || err != nil {
		return &Error{Status: StatusInvalidArgument,
			Text: strconv.Quote(string(text)) + " is no word of " + kind}
	}
	*out = int32(number)
	return nil
}
