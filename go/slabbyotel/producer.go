// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

// Package slabbyotel gives the metrics of the process's pools to OpenTelemetry. One option registers
// every pool, those of other languages and of later times included, with any reader:
//
//	reader := metric.NewPeriodicReader(exporter, metric.WithProducer(slabbyotel.NewProducer()))
//	provider := metric.NewMeterProvider(metric.WithReader(reader))
//
// docs/metrics.md lists the metrics. A name has a dot behind slabby and no suffix for unit and type:
// slabby.allocations. Prometheus's exporter makes the series of docs/metrics.md of it.
package slabbyotel

import (
	"context"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	slabby "github.com/slabby/slabby/go"
)

// ScopeName is the instrumentation scope of the metrics.
const ScopeName = "github.com/slabby/slabby/go/slabbyotel"

// Producer reads the pools when it is collected. It is safe for concurrent use.
type Producer struct {
	read func() []slabby.PoolMetrics
	lock sync.Mutex
	// When the pools were last read, or the producer was made, and what was read of each, by label.
	observed time.Time
	known    map[string]series
}

// series are the cumulative values of one pool, and when they begin. A label may go to another pool, whose counts begin
// at 0.
type series struct {
	started time.Time
	counts  []float64
}

// NewProducer makes a producer of every open pool of the process.
func NewProducer() *Producer {
	return &Producer{observed: time.Now(), read: slabby.ReadMetrics}
}

// observe reads the pools. One that is new, or of which a count has fallen, began after the last call.
func (p *Producer) observe() (pools []slabby.PoolMetrics, known map[string]series, now time.Time) {
	p.lock.Lock()
	defer p.lock.Unlock()
	pools, now, known = p.read(), time.Now(), map[string]series{}
	for at := range pools {
		found := series{p.observed, countsOf(&pools[at])}
		before, seen := p.known[pools[at].Label]
		if seen && !hasFallen(before.counts, found.counts) {
			found.started = before.started
		}
		known[pools[at].Label] = found
	}
	p.observed, p.known = now, known
	return pools, known, now
}

// hasFallen compares the counts of one label; each pool has as many.
func hasFallen(before, now []float64) bool {
	for at := range now {
		if now[at] < before[at] {
			return true
		}
	}
	return false
}

// countsOf is what only rises, of one pool.
func countsOf(pool *slabby.PoolMetrics) []float64 {
	var counts []float64
	for at := range pool.Samples {
		sample := &pool.Samples[at]
		if sample.Metric.Type == "counter" || sample.Part == slabby.MetricPartCount {
			counts = append(counts, sample.Value)
		}
	}
	return counts
}

// Produce implements metric.Producer. Histograms have explicit buckets.
func (p *Producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	pools, known, now := p.observe()
	found := make([]metricdata.Metrics, 0, len(slabby.Metrics()))
	for _, metric := range slabby.Metrics() {
		made := metricdata.Metrics{Name: name(&metric), Description: metric.Help, Unit: unit(&metric)}
		switch metric.Type {
		case "info":
			made.Data = metricdata.Gauge[float64]{DataPoints: []metricdata.DataPoint[float64]{infoPoint(&metric, now)}}
		case "counter":
			made.Data = metricdata.Sum[float64]{
				DataPoints:  points(pools, metric.ID, known, now),
				Temporality: metricdata.CumulativeTemporality,
				IsMonotonic: true,
			}
		case "histogram":
			made.Data = metricdata.Histogram[float64]{
				DataPoints:  histograms(pools, &metric, known, now),
				Temporality: metricdata.CumulativeTemporality,
			}
		default:
			made.Data = metricdata.Gauge[float64]{DataPoints: points(pools, metric.ID, known, now)}
		}
		found = append(found, made)
	}
	scope := instrumentation.Scope{Name: ScopeName, Version: slabby.Version()}
	return []metricdata.ScopeMetrics{{Scope: scope, Metrics: found}}, nil
}

// name is the family without its unit, with a dot: slabby.alloc_duration.
func name(metric *slabby.Metric) string {
	family := metric.Family
	if metric.Unit != "" {
		family = strings.TrimSuffix(family, "_"+metric.Unit)
	}
	return strings.Replace(family, "slabby_", "slabby.", 1)
}

// unit is the unit in UCUM's spelling.
func unit(metric *slabby.Metric) string {
	return map[string]string{"bytes": "By", "seconds": "s"}[metric.Unit]
}

func infoPoint(metric *slabby.Metric, now time.Time) metricdata.DataPoint[float64] {
	pairs := make([]attribute.KeyValue, len(metric.Labels))
	for at, label := range metric.Labels {
		pairs[at] = attribute.String(label, metric.Texts[at])
	}
	return metricdata.DataPoint[float64]{Attributes: attribute.NewSet(pairs...), Time: now, Value: 1}
}

func points(pools []slabby.PoolMetrics, id int, known map[string]series,
	now time.Time) []metricdata.DataPoint[float64] {
	var found []metricdata.DataPoint[float64]
	for _, pool := range pools {
		for at := range pool.Samples {
			sample := &pool.Samples[at]
			if sample.Metric.ID != id {
				continue
			}
			pairs := []attribute.KeyValue{attribute.String("pool", pool.Label)}
			if len(sample.Metric.Labels) != 0 {
				pairs = append(pairs, attribute.String(sample.Metric.Labels[0], sample.Metric.Texts[sample.Index]))
			}
			found = append(found, metricdata.DataPoint[float64]{
				Attributes: attribute.NewSet(pairs...), StartTime: known[pool.Label].started, Time: now, Value: sample.Value})
		}
	}
	return found
}

func histograms(pools []slabby.PoolMetrics, metric *slabby.Metric, known map[string]series,
	now time.Time) []metricdata.HistogramDataPoint[float64] {
	found := make([]metricdata.HistogramDataPoint[float64], 0, len(pools))
	for _, pool := range pools {
		point := metricdata.HistogramDataPoint[float64]{
			Attributes: attribute.NewSet(attribute.String("pool", pool.Label)),
			StartTime:  known[pool.Label].started,
			Time:       now,
			Bounds:     metric.Bounds,
		}
		before := uint64(0)
		for at := range pool.Samples {
			sample := &pool.Samples[at]
			switch {
			case sample.Metric.ID != metric.ID:
			case sample.Part == slabby.MetricPartBucket: // cumulated in the core, not here
				point.BucketCounts = append(point.BucketCounts, uint64(sample.Value)-before)
				before = uint64(sample.Value)
			case sample.Part == slabby.MetricPartCount:
				point.Count = uint64(sample.Value)
				point.BucketCounts = append(point.BucketCounts, point.Count-before)
			case sample.Part == slabby.MetricPartSum:
				point.Sum = sample.Value
			}
		}
		found = append(found, point)
	}
	return found
}
