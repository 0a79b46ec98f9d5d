// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

// Package slabbyprom is a collector for Prometheus's client library. One line registers every pool of
// the process, those of other languages and of later times included:
//
//	prometheus.MustRegister(slabbyprom.NewCollector())
//
// docs/metrics.md lists the series. The library has no StateSet and no Info, so gauges of the same
// series stand for them. The histogram has classic buckets and, where the server scrapes protobuf and
// stores them, the buckets of a native histogram.
package slabbyprom

import (
	"github.com/prometheus/client_golang/prometheus"

	slabby "github.com/slabby/slabby/go"
)

// Collector reads the pools when it is collected. It is safe for concurrent use.
type Collector struct {
	descriptions map[int]*prometheus.Desc
	read         func() []slabby.PoolMetrics
}

// NewCollector makes a collector of every open pool of the process.
func NewCollector() *Collector {
	return collectorOf(slabby.ReadMetrics)
}

// NewPoolCollector makes a collector of some pools. A registry takes one collector of this package, so all pools that
// it shows go to that one. A pool that is closed and destroyed has no series.
func NewPoolCollector(pools ...*slabby.Slabby) *Collector {
	return collectorOf(func() (all []slabby.PoolMetrics) {
		seen := map[string]bool{}
		for _, pool := range pools {
			metrics, err := pool.ReadMetrics()
			if err == nil && !seen[metrics.Label] { // not again one that was adopted
				seen[metrics.Label] = true
				all = append(all, *metrics)
			}
		}
		return all
	})
}

func collectorOf(read func() []slabby.PoolMetrics) *Collector {
	c := &Collector{descriptions: map[int]*prometheus.Desc{}, read: read}
	for _, metric := range slabby.Metrics() {
		labels := append([]string{"pool"}, metric.Labels...)
		if metric.Type == "info" {
			labels = metric.Labels
		}
		c.descriptions[metric.ID] = prometheus.NewDesc(metric.Name, metric.Help, labels, nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, description := range c.descriptions {
		out <- description
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	for _, metric := range slabby.Metrics() {
		if metric.Type == "info" {
			out <- prometheus.MustNewConstMetric(c.descriptions[metric.ID], prometheus.GaugeValue, 1, metric.Texts...)
		}
	}
	for _, pool := range c.read() {
		c.collectPool(out, &pool)
	}
}

func (c *Collector) collectPool(out chan<- prometheus.Metric, pool *slabby.PoolMetrics) {
	var histogram histogramOfPool
	for at := range pool.Samples {
		sample := &pool.Samples[at]
		if sample.Part != slabby.MetricPartValue {
			histogram.add(sample)
			continue
		}
		kind := prometheus.GaugeValue
		if sample.Metric.Type == "counter" {
			kind = prometheus.CounterValue
		}
		labels := []string{pool.Label}
		if len(sample.Metric.Labels) != 0 {
			labels = append(labels, sample.Metric.Texts[sample.Index])
		}
		out <- prometheus.MustNewConstMetric(c.descriptions[sample.Metric.ID], kind, sample.Value, labels...)
	}
	if histogram.metric != nil {
		out <- histogram.build(c.descriptions[histogram.metric.ID], pool.Label)
	}
}
