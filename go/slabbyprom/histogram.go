// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabbyprom

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	slabby "github.com/slabby/slabby/go"
)

// The schema of the core's buckets: 32 an octave.
const nativeSchema = 5

// histogramOfPool gathers the samples of one pool's histogram.
type histogramOfPool struct {
	metric  *slabby.Metric
	count   uint64
	sum     float64
	classic map[float64]uint64
	native  map[int]int64
}

func (h *histogramOfPool) add(sample *slabby.MetricSample) {
	if h.metric == nil {
		*h = histogramOfPool{metric: sample.Metric, classic: map[float64]uint64{}, native: map[int]int64{}}
	}
	switch sample.Part {
	case slabby.MetricPartBucket:
		h.classic[sample.Metric.Bounds[sample.Index]] = uint64(sample.Value)
	case slabby.MetricPartCount:
		h.count = uint64(sample.Value)
	case slabby.MetricPartSum:
		h.sum = sample.Value
	case slabby.MetricPartNativeBucket:
		h.native[sample.Index] += int64(sample.Value)
	}
}

func (h *histogramOfPool) build(description *prometheus.Desc, pool string) prometheus.Metric {
	classic := prometheus.MustNewConstHistogram(description, h.count, h.sum, h.classic, pool)
	// Every time is in a bucket of its own: nothing counts as zero. The least threshold that the
	// library takes for "no zero bucket" is the smallest number.
	native, err := prometheus.NewConstNativeHistogram(description, h.count, h.sum, h.native, nil, 0, nativeSchema,
		math.SmallestNonzeroFloat64, time.Time{}, pool)
	if err != nil {
		return classic
	}
	return &bothHistograms{Metric: classic, native: native}
}

// bothHistograms writes classic and native buckets into one histogram; servers take what they know.
type bothHistograms struct {
	prometheus.Metric
	native prometheus.Metric
}

func (b *bothHistograms) Write(out *dto.Metric) error {
	var native dto.Metric
	if err := b.native.Write(&native); err != nil {
		return err
	}
	if err := b.Metric.Write(out); err != nil {
		return err
	}
	from, to := native.GetHistogram(), out.GetHistogram()
	to.Schema, to.ZeroThreshold, to.ZeroCount = from.Schema, from.ZeroThreshold, from.ZeroCount
	to.PositiveSpan, to.PositiveDelta = from.PositiveSpan, from.PositiveDelta
	return nil
}
