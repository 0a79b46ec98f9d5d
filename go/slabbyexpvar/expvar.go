// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

// Package slabbyexpvar publishes the pools of the process by the package expvar, which serves them
// as JSON at /debug/vars.
package slabbyexpvar

import (
	"expvar"
	"sync"

	slabby "github.com/slabby/slabby/go"
)

// Name is the variable that Publish publishes.
const Name = "slabby"

var once sync.Once

// Publish publishes every open pool of the process, those of other languages and of later times
// included: an object with the pools' labels, each with its series. Calling it again changes nothing.
func Publish() {
	once.Do(func() { expvar.Publish(Name, expvar.Func(func() any { return Values() })) })
}

// Values is what Publish shows: label of the pool, name of the metric, and the number, or the numbers
// by the metric's label. A histogram has its count and its sum in seconds.
func Values() map[string]map[string]any {
	pools := map[string]map[string]any{}
	for _, pool := range slabby.ReadMetrics() {
		values := map[string]any{}
		for _, sample := range pool.Samples {
			add(values, &sample)
		}
		pools[pool.Label] = values
	}
	return pools
}

func add(values map[string]any, sample *slabby.MetricSample) {
	metric := sample.Metric
	switch {
	case sample.Part == slabby.MetricPartCount:
		values[metric.Name+"_count"] = sample.Value
	case sample.Part == slabby.MetricPartSum:
		values[metric.Name+"_sum"] = sample.Value
	case sample.Part != slabby.MetricPartValue:
	case len(metric.Labels) == 0:
		values[metric.Name] = sample.Value
	default:
		group, _ := values[metric.Name].(map[string]float64)
		if group == nil {
			group = map[string]float64{}
			values[metric.Name] = group
		}
		group[metric.Texts[sample.Index]] = sample.Value
	}
}
