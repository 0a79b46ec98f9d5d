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
	at := map[string]int{}
	var cursor, count C.uint64_t
	for {
		raw := C.slabby_pool_info{struct_size: C.uint32_t(unsafe.Sizeof(C.slabby_pool_info{}))}
		if C.slabby_pools_next(&raw, &count, &cursor) != 0 || count == 0 {
			return pools
		}
		info := PoolInfo{
			Address: uint64(raw.allocator_address),
			Name:    C.GoString(&raw.name[0]),
			Label:   C.GoString(&raw.label[0]),
		}
		pools = listed(pools, at, info)
	}
}

// listed adds a pool. No two open pools have one label: the pool that had it before was closed since.
func listed(pools []PoolInfo, at map[string]int, info PoolInfo) []PoolInfo {
	if earlier, known := at[info.Label]; known {
		pools[earlier] = info
		return pools
	}
	at[info.Label] = len(pools)
	return append(pools, info)
}

// Use calls work with the pool, which is adopted for the time of the call where this program has no
// *Slabby of its own; work keeps it no longer than that. ErrClosed: the pool was ended meanwhile.
func (i PoolInfo) Use(work func(pool *Slabby)) error {
	if pool := poolAt(i.Address); pool != nil {
		if !i.names(pool) {
			return ErrClosed
		}
		work(pool)
		runtime.KeepAlive(pool)
		return nil
	}
	raw := newRawError()
	adopted := C.slabby_go_adopt(C.uint64_t(i.Address), C.slabby_instance_id(), &raw)
	if err := detailedError(adopted.status, &raw); err != nil {
		return err
	}
	pool := view(adopted.allocator)
	defer abandon(abandoned{pool.handle, nil, pool.space, pool.blocks})
	if !i.names(pool) {
		return ErrClosed
	}
	work(pool)
	return nil
}

// names reports whether this is still the pool: after many others, one may have the address of a pool that is gone.
func (i PoolInfo) names(pool *Slabby) bool {
	label := pool.Label()
	return label == "" || i.Label == "" || label == i.Label
}

// Label names the pool in metrics and URLs: its name if that is suitable there and no pool that was open
// before had it; "pool17" without a name; else "orders~17", the name with the pool's number. It is empty
// for a pool that is gone.
func (p *Slabby) Label() string {
	label := labelOf(p.c())
	runtime.KeepAlive(p)
	return label
}

func labelOf(handle *C.slabby_allocator) string {
	label, err := coreText(func(b *C.char, c C.uint64_t, l *C.uint64_t) C.slabby_status {
		return C.slabby_pool_label(b, c, l, handle)
	})
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
	if p.c() == nil { // which the core takes for every pool
		return "", noPool("MetricsText")
	}
	text, err := coreText(func(b *C.char, c C.uint64_t, l *C.uint64_t) C.slabby_status {
		return C.slabby_metrics_text(b, c, l, p.c())
	})
	runtime.KeepAlive(p)
	return text, err
}

// MetricSample is one number of a metric. Index counts the samples of a metric from 0: it is that of
// Metric.Texts, of Metric.Bounds for a bucket, and of a native histogram of schema 5 for a native
// bucket, which is not cumulated.
type MetricSample struct {
	Metric *Metric
	Part   MetricPart
	Index  int
	Value  float64
}

// PoolMetrics are the numbers of one pool at one moment.
type PoolMetrics struct {
	// Label is the value of the label pool.
	Label   string
	Samples []MetricSample
}

// Metrics is the list of metrics; docs/metrics.md has the same list.
func Metrics() []Metric {
	return append([]Metric(nil), metrics[:]...)
}

// ReadMetrics reads the numbers of every open pool of the process, for an exporter.
func ReadMetrics() []PoolMetrics {
	var all []PoolMetrics
	for _, info := range Pools() {
		// A pool that was destroyed meanwhile has no numbers.
		if samples, err := samplesAt(info.Address); err == nil {
			all = append(all, PoolMetrics{Label: info.Label, Samples: samples})
		}
	}
	return all
}

// ReadMetrics reads the numbers of this pool.
func (p *Slabby) ReadMetrics() (*PoolMetrics, error) {
	samples, err := samplesAt(uint64(uintptr(unsafe.Pointer(p.c()))))
	label := p.Label()
	runtime.KeepAlive(p)
	if err != nil {
		return nil, p.of("ReadMetrics", err)
	}
	return &PoolMetrics{Label: label, Samples: samples}, nil
}

func samplesAt(address uint64) ([]MetricSample, error) {
	raw := make([]C.slabby_sample, 256)
	for {
		raw[0].struct_size = C.uint32_t(unsafe.Sizeof(raw[0]))
		var count C.uint64_t
		status := C.slabby_metrics_read(&raw[0], &count, C.uint64_t(address), C.uint64_t(len(raw)))
		if status != 0 {
			return nil, statusError(status)
		}
		if int(count) <= len(raw) {
			return samplesOf(raw[:count]), nil
		}
		raw = make([]C.slabby_sample, count+count/8)
	}
}

// samplesOf leaves out metrics that this package does not know: an installed core may be newer.
func samplesOf(raw []C.slabby_sample) []MetricSample {
	samples := make([]MetricSample, 0, len(raw))
	for at := range raw {
		if id := int(raw[at].metric); id >= 1 && id <= len(metrics) {
			samples = append(samples, MetricSample{
				Metric: &metrics[id-1],
				Part:   MetricPart(raw[at].part),
				Index:  int(raw[at].label),
				Value:  float64(raw[at].value),
			})
		}
	}
	return samples
}
