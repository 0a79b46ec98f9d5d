// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabbyprom_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	slabby "github.com/slabby/slabby/go"
	"github.com/slabby/slabby/go/slabbyprom"
)

func newPool(t *testing.T, name string) *slabby.Slabby {
	t.Helper()
	pool, err := slabby.New(64, 100, slabby.WithName(name), slabby.WithLatencyTracking(slabby.LatencyTrackingAll))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

// exercise makes successes, refusals and a mistake.
func exercise(t *testing.T, pool *slabby.Slabby) {
	t.Helper()
	var refs []slabby.SlabRef
	for {
		ref, err := pool.Allocate()
		if err != nil {
			break
		}
		refs = append(refs, ref)
	}
	for _, ref := range refs[:60] {
		if err := ref.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if refs[0].Release() == nil {
		t.Fatal("released twice")
	}
}

// seriesOf is every series that the collector gives, but native buckets, as "name{label=...}": value.
func seriesOf(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			labels := map[string]string{}
			for _, pair := range metric.Label {
				labels[pair.GetName()] = pair.GetValue()
			}
			add(found, family.GetName(), labels, metric)
		}
	}
	return found
}

func add(found map[string]float64, name string, labels map[string]string, metric *dto.Metric) {
	switch {
	case metric.Gauge != nil:
		found[key(name, labels)] = metric.Gauge.GetValue()
	case metric.Counter != nil:
		found[key(name, labels)] = metric.Counter.GetValue()
	case metric.Histogram != nil:
		found[key(name+"_count", labels)] = float64(metric.Histogram.GetSampleCount())
		found[key(name+"_sum", labels)] = metric.Histogram.GetSampleSum()
		for _, bucket := range metric.Histogram.Bucket {
			labels["le"] = fmt.Sprint(bucket.GetUpperBound())
			found[key(name+"_bucket", labels)] = float64(bucket.GetCumulativeCount())
		}
		labels["le"] = "+Inf"
		found[key(name+"_bucket", labels)] = float64(metric.Histogram.GetSampleCount())
	}
}

// key is the same whatever the order of the labels and the spelling of a limit.
func key(name string, labels map[string]string) string {
	text := name
	for _, label := range []string{"pool", "state", "kind", "tier", "reason", "slabby_breaker_state",
		"slabby_degradation_state", "le", "version", "abi_version"} {
		value, has := labels[label]
		if label == "le" && has {
			limit, _ := strconv.ParseFloat(value, 64)
			value = fmt.Sprint(limit)
		}
		if has {
			text += "," + label + "=" + value
		}
	}
	return text
}

// seriesOfText reads the core's own exposition.
func seriesOfText(t *testing.T, text string) map[string]float64 {
	t.Helper()
	found := map[string]float64{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		series, number, _ := strings.Cut(line, "} ")
		name, inside, _ := strings.Cut(series, "{")
		labels := map[string]string{}
		for _, pair := range strings.Split(inside, ",") {
			label, value, _ := strings.Cut(pair, "=")
			labels[label] = strings.Trim(value, `"`)
		}
		value, err := strconv.ParseFloat(number, 64)
		if err != nil {
			t.Fatal(line)
		}
		found[key(name, labels)] = value
	}
	return found
}

// The collector gives the series and values of the core's exposition, no more and no fewer.
func TestSeriesAreThoseOfTheCore(t *testing.T) {
	pool := newPool(t, "orders")
	other := newPool(t, "other")
	exercise(t, pool)
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(slabbyprom.NewCollector()); err != nil {
		t.Fatal(err)
	}
	text, err := slabby.MetricsText()
	if err != nil {
		t.Fatal(err)
	}
	wanted, found := seriesOfText(t, text), seriesOf(t, registry)
	for series, value := range wanted {
		got, has := found[series]
		if !has || math.Abs(got-value) > 1e-9 {
			t.Errorf("%s is %v, the core has %v", series, got, value)
		}
	}
	for series := range found {
		if _, has := wanted[series]; !has {
			t.Errorf("%s, which the core does not have", series)
		}
	}
	if len(wanted) < 140 || found[key("slabby_slabs", map[string]string{"pool": other.Label(), "state": "free"})] != 100 {
		t.Errorf("%d series: %v", len(wanted), wanted)
	}
}

// The native buckets hold every allocation, and where a classic limit says how many, they agree.
func TestNativeBuckets(t *testing.T) {
	pool := newPool(t, "native")
	for range 5000 {
		ref, err := pool.Allocate()
		if err != nil {
			t.Fatal(err)
		}
		if err := ref.Release(); err != nil {
			t.Fatal(err)
		}
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(slabbyprom.NewPoolCollector(pool))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "slabby_alloc_duration_seconds" {
			continue
		}
		histogram := family.Metric[0].Histogram
		total, bucket, index := int64(0), int64(0), int32(0)
		upTo := map[int32]int64{}
		delta := 0
		for _, span := range histogram.PositiveSpan {
			index += span.GetOffset()
			for range span.GetLength() {
				bucket += histogram.PositiveDelta[delta]
				total += bucket
				upTo[index] = total
				delta++
				index++
			}
		}
		if histogram.GetSchema() != 5 || uint64(total) != histogram.GetSampleCount() || total == 0 {
			t.Fatalf("schema %d, %d in native buckets, %d in all", histogram.GetSchema(), total, histogram.GetSampleCount())
		}
		compareBuckets(t, histogram, upTo)
		return
	}
	t.Fatal("no histogram")
}

// A native bucket ends at 2^(index/32); at most one lies across a classic limit, and one more by rounding.
func compareBuckets(t *testing.T, histogram *dto.Histogram, upTo map[int32]int64) {
	t.Helper()
	for _, classic := range histogram.Bucket {
		limit := int32(math.Floor(32 * math.Log2(classic.GetUpperBound())))
		below, above := int64(0), int64(0)
		for index, count := range upTo {
			if index <= limit-2 {
				below = max(below, count)
			}
			if index <= limit+2 {
				above = max(above, count)
			}
		}
		if count := int64(classic.GetCumulativeCount()); count < below || count > above {
			t.Errorf("up to %v: %d, native %d to %d", classic.GetUpperBound(), count, below, above)
		}
	}
}

// Two collectors of one registry clash, as the library wants; a closed pool has no series.
func TestRegistration(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(slabbyprom.NewCollector())
	if registry.Register(slabbyprom.NewCollector()) == nil {
		t.Error("registered twice")
	}
	pool := newPool(t, "short")
	label := pool.Label()
	if testutil.CollectAndCount(slabbyprom.NewPoolCollector(pool)) < 50 {
		t.Error("too few series")
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
	for series := range seriesOf(t, registry) {
		if strings.Contains(series, "pool="+label+",") || strings.HasSuffix(series, "pool="+label) {
			t.Errorf("a closed pool: %s", series)
		}
	}
	both := newPool(t, "both")
	registry = prometheus.NewPedanticRegistry()
	registry.MustRegister(slabbyprom.NewPoolCollector(newPool(t, "first"), both, both))
	shown := map[string]bool{}
	for series := range seriesOf(t, registry) {
		for _, name := range []string{"first", "both"} {
			shown[name] = shown[name] || strings.Contains(series, "pool="+name)
		}
	}
	if !shown["first"] || !shown["both"] {
		t.Errorf("of two pools in one registry these are shown: %v", shown)
	}
	if found := testutil.CollectAndCount(slabbyprom.NewPoolCollector(nil)); found != 1 {
		t.Errorf("a nil pool has %d series, not the library's alone", found)
	}
}
