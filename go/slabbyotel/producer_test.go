// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabbyotel_test

import (
	"context"
	"math"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/slabbyotel"
)

// collect reads the producer through the SDK, by its in-memory reader.
func collect(t *testing.T) map[string]metricdata.Metrics {
	t.Helper()
	reader := metric.NewManualReader(metric.WithProducer(slabbyotel.NewProducer()))
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	defer func() { _ = provider.Shutdown(context.Background()) }()
	var found metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &found); err != nil {
		t.Fatal(err)
	}
	metrics := map[string]metricdata.Metrics{}
	for _, scope := range found.ScopeMetrics {
		if scope.Scope.Name != slabbyotel.ScopeName || scope.Scope.Version != slabby.Version() {
			t.Errorf("scope %+v", scope.Scope)
		}
		for _, each := range scope.Metrics {
			metrics[each.Name] = each
		}
	}
	return metrics
}

// valueOf is the value of the point with these attributes, or NaN.
func valueOf(points []metricdata.DataPoint[float64], pool, label, text string) float64 {
	for _, point := range points {
		name, _ := point.Attributes.Value("pool")
		value, _ := point.Attributes.Value(attribute.Key(label))
		if name.AsString() == pool && value.AsString() == text {
			return point.Value
		}
	}
	return math.NaN()
}

// Every metric of the list is there, with its kind, unit and the pool's numbers.
func TestProduce(t *testing.T) {
	pool, err := slabby.New(64, 10, slabby.WithName("orders"), slabby.WithLatencyTracking(slabby.LatencyTrackingAll))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	for range 10 {
		if _, err := pool.Allocate(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pool.Allocate(); err == nil {
		t.Fatal("eleven of ten")
	}
	metrics := collect(t)
	if len(metrics) != len(slabby.Metrics()) {
		t.Errorf("%d metrics, %d in the list", len(metrics), len(slabby.Metrics()))
	}
	gauge := metrics["slabby.slabs"].Data.(metricdata.Gauge[float64])
	if found := valueOf(gauge.DataPoints, "orders", "state", "live"); found != 10 {
		t.Errorf("slabby.slabs: %v", found)
	}
	size := metrics["slabby.slab_size"]
	if size.Unit != "By" || valueOf(size.Data.(metricdata.Gauge[float64]).DataPoints, "orders", "", "") != 64 {
		t.Errorf("slabby.slab_size: %+v", size)
	}
	failures := metrics["slabby.allocation_failures"].Data.(metricdata.Sum[float64])
	if !failures.IsMonotonic || failures.Temporality != metricdata.CumulativeTemporality ||
		valueOf(failures.DataPoints, "orders", "reason", "out_of_memory") != 1 {
		t.Errorf("slabby.allocation_failures: %+v", failures)
	}
	state := metrics["slabby.breaker_state"].Data.(metricdata.Gauge[float64])
	if valueOf(state.DataPoints, "orders", "slabby_breaker_state", "closed") != 1 ||
		valueOf(state.DataPoints, "orders", "slabby_breaker_state", "open") != 0 {
		t.Errorf("slabby.breaker_state: %+v", state)
	}
	checkHistogram(t, metrics["slabby.alloc_duration"])
}

func checkHistogram(t *testing.T, found metricdata.Metrics) {
	t.Helper()
	points := found.Data.(metricdata.Histogram[float64]).DataPoints
	if found.Unit != "s" || len(points) != 1 {
		t.Fatalf("%+v", found)
	}
	total := uint64(0)
	for _, count := range points[0].BucketCounts {
		total += count
	}
	if points[0].Count != 10 || total != 10 || len(points[0].BucketCounts) != len(points[0].Bounds)+1 ||
		points[0].Sum < 0 {
		t.Errorf("%+v", points[0])
	}
}

// A pool that takes over the label of another begins anew: under one start no sum falls.
func TestRenewedPoolsBeginAnew(t *testing.T) {
	producer := slabbyotel.NewProducer()
	last := map[string]metricdata.DataPoint[float64]{}
	for _, rounds := range []int{1000, 10, 20, 0, 5} {
		pool, err := slabby.New(64, 10, slabby.WithName("renewed"))
		if err != nil {
			t.Fatal(err)
		}
		for range rounds {
			if err := pool.MustAllocate().Release(); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // the same pool twice
			checkRising(t, producer, last)
		}
		if err := pool.Close(); err != nil {
			t.Fatal(err)
		}
		if rounds == 20 { // once with nothing in between
			checkRising(t, producer, last)
		}
	}
}

func checkRising(t *testing.T, producer *slabbyotel.Producer, last map[string]metricdata.DataPoint[float64]) {
	t.Helper()
	scopes, err := producer.Produce(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range scopes[0].Metrics {
		sum, counted := found.Data.(metricdata.Sum[float64])
		for at := 0; counted && at < len(sum.DataPoints); at++ {
			point := sum.DataPoints[at]
			series := found.Name + point.Attributes.Encoded(attribute.DefaultEncoder())
			before, known := last[series]
			if known && point.StartTime.Equal(before.StartTime) && point.Value < before.Value {
				t.Errorf("%s falls from %v to %v under one start", series, before.Value, point.Value)
			}
			if known && point.StartTime.Before(before.StartTime) {
				t.Errorf("%s begins earlier than before", series)
			}
			last[series] = point
		}
	}
}
