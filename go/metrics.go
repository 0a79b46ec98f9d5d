// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby

// #include "shim.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// PoolInfo is one open pool of the process, of whatever language. Adopt takes Address and InstanceID
// where this program needs more than the pool's numbers.
type PoolInfo struct {
	Address uint64 `json:"address"`
	Name    string `json:"name"`
	// Label names the pool in metrics and URLs: docs/metrics.md says by which rule.
	Label string `json:"label"`
}

// Pools are the open pools of the process, of every language that shares this core. Pools that come
// and go meanwhile may or may not be among them; one that was ended since answers ErrClosed.
func Pools() []PoolInfo {
	var pools []PoolInfo
	var cursor, count C.uint64_t
	for {
		raw := C.slabby_pool_info{struct_size: C.uint32_t(unsafe.Sizeof(C.slabby_pool_info{}))}
		if C.slabby_pools_next(&raw, &count, &cursor) != 0 || count == 0 {
			return pools
		}
		pools = append(pools, PoolInfo{
			Address: uint64(raw.allocator_address),
			Name:    C.GoString(&raw.name[0]),
			Label:   C.GoString(&raw.label[0]),
		})
	}
}

// Label names the pool in metrics and URLs: its name where that can stand there and no pool that was
// open before had it, else a number. It is empty for a pool that is gone.
func (p *Slabby) Label() string {
	label, err := coreText(func(b *C.char, c C.uint64_t, l *C.uint64_t) C.slabby_status {
		return C.slabby_pool_label(b, c, l, p.c())
	})
	runtime.KeepAlive(p)
	if err != nil {
		return ""
	}
	return label
}

// MetricsContentType is the media type of what MetricsText returns.
const MetricsContentType = "application/openmetrics-text; version=1.0.0; charset=utf-8"

// MetricsText is the metrics of every open pool of the process in the OpenMetrics format, which
// Prometheus reads: docs/metrics.md lists them.
func MetricsText() (string, error) {
	return coreText(func(b *C.char, c C.uint64_t, l *C.uint64_t) C.slabby_status {
		return C.slabby_metrics_text(b, c, l, nil)
	})
}

// MetricsText is the same of this pool alone.
func (p *Slabby) MetricsText() (string, error) {
	if p == nil {
		return "", ErrInvalidArgument
	}
	text, err := coreText(func(b *C.char, c C.uint64_t, l *C.uint64_t) C.slabby_status {
		return C.slabby_metrics_text(b, c, l, p.c())
	})
	runtime.KeepAlive(p)
	return text, err
}
