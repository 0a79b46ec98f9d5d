// SPDX-License-Identifier: GPL-3.0-or-later

//go:build cgo

package slabby_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// growing is every field of the statistics that never falls, by its tag.
func growing(stats *slabby.AllocatorStats) map[string]uint64 {
	found := map[string]uint64{}
	value := reflect.ValueOf(stats).Elem()
	for at := range value.NumField() {
		field := value.Type().Field(at)
		if field.Tag.Get("slabby") == "" {
			continue
		}
		switch of := value.Field(at); of.Kind() {
		case reflect.Map:
			for status, count := range of.Interface().(slabby.ErrorCounts) {
				found["errors "+status.String()] = count
			}
		case reflect.Int64:
			found[field.Name] = uint64(of.Int())
		default:
			found[field.Name] = of.Uint()
		}
	}
	return found
}

// No counter falls or wraps while goroutines allocate, fail batches and call by id.
func TestCountersOnlyGrow(t *testing.T) {
	pool := newPool(t, 64, 1000, slabby.WithGuardSampleRate(20))
	if len(growing(pool.Stats())) < 15 {
		t.Fatalf("only %v are marked", growing(pool.Stats()))
	}
	end := time.Now().Add(time.Second)
	var all sync.WaitGroup
	for range 3 {
		all.Add(1)
		go func() {
			defer all.Done()
			refs := make([]slabby.SlabRef, 1000)
			for time.Now().Before(end) {
				if pool.AllocateBatch(refs) == nil {
					_, _ = pool.DeallocateBatch(refs)
				}
				for range 50 {
					if ref, err := pool.Allocate(); err == nil {
						_ = ref.Release()
					}
					if _, id, err := pool.AllocateFast(); err == nil {
						_ = pool.DeallocateFast(id)
					}
				}
			}
		}()
	}
	before := growing(pool.Stats())
	for time.Now().Before(end) && !t.Failed() {
		now := growing(pool.Stats())
		for name, count := range before {
			if now[name] < count || now[name] > 1<<62 {
				t.Errorf("%s went from %d to %d", name, count, now[name])
			}
		}
		before = now
	}
	all.Wait()
}

// A breaker whose timeout is over reads half open, and the pool is ready, although no allocation came.
func TestExpiredBreakerReadsHalfOpen(t *testing.T) {
	pool := newPool(t, 64, 1, slabby.WithCircuitBreaker(1, time.Millisecond))
	ref := mustAllocate(t, pool)
	_, err := pool.Allocate()
	wantError(t, "Allocate", err, slabby.ErrOutOfMemory)
	mustRelease(t, ref)
	found := health(t, pool)
	for end := time.Now().Add(10 * time.Second); found.CircuitBreakerOpen && time.Now().Before(end); {
		found = health(t, pool)
	}
	if found.CircuitBreakerOpen || found.HealthScore == 0 ||
		found.BreakerState != slabby.BreakerStateHalfOpen ||
		pool.Stats().BreakerState != slabby.BreakerStateHalfOpen {
		t.Errorf("%+v", found)
	}
}

// A closed pool says so, and its name and capacity stand in every snapshot.
func TestSnapshotsSayWhichPoolAndWhetherItIsOpen(t *testing.T) {
	pool, err := slabby.New(64, 10, slabby.WithName("orders"))
	if err != nil {
		t.Fatal(err)
	}
	ref := mustAllocate(t, pool)
	memory, err := pool.Memory()
	if err != nil {
		t.Fatal(err)
	}
	if pool.Name() != "orders" || pool.Capacity() != 10 || pool.State() != slabby.PoolStateOpen ||
		memory.Name != "orders" || memory.Capacity != 10 || health(t, pool).Name != "orders" ||
		health(t, pool).Capacity != 10 || pool.Stats().Name != "orders" {
		t.Errorf("%+v, %+v, %+v", memory, health(t, pool), pool.Stats())
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
	if found := health(t, pool); found.HealthScore != 0 || found.PoolState != slabby.PoolStateClosed {
		t.Errorf("closed: %+v", found)
	}
	mustRelease(t, ref)
	if pool.State() != slabby.PoolStateDrained || pool.Stats().PoolState != slabby.PoolStateDrained {
		t.Errorf("drained: %v", pool.State())
	}
	var none *slabby.Slabby
	if none.Name() != "" || none.Capacity() != 0 || none.State() != slabby.PoolStateDrained {
		t.Error("a nil pool")
	}
}

// comesBack writes a value as JSON, reads it into a new one, and compares.
func comesBack(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("%T: %v", value, err)
	}
	again := reflect.New(reflect.TypeOf(value))
	if err := json.Unmarshal(text, again.Interface()); err != nil {
		t.Fatalf("%T: %v in %s", value, err, text)
	}
	if !reflect.DeepEqual(again.Elem().Interface(), value) {
		t.Errorf("%T: %s came back as %+v", value, text, again.Elem().Interface())
	}
	return string(text)
}

// What this package writes as JSON it reads again: enumerations, snapshots, records, events.
func TestJSONComesBack(t *testing.T) {
	pool := newPool(t, 64, 1, slabby.WithName("orders"), slabby.WithAudit(16))
	ref := mustAllocate(t, pool)
	if _, err := pool.Allocate(); err == nil {
		t.Fatal("two slabs of one")
	}
	if err := pool.SetOption(slabby.OptionSecure, 1); err != nil {
		t.Fatal(err)
	}
	memory, err := pool.Memory()
	if err != nil {
		t.Fatal(err)
	}
	comesBack(t, *pool.Stats())
	comesBack(t, *health(t, pool))
	comesBack(t, *memory)
	mustRelease(t, ref)
	for _, value := range []any{slabby.BreakerStateHalfOpen, slabby.BreakerMode(77), slabby.PoolStateDrained,
		slabby.StatusOutOfMemory, slabby.Status(-99), slabby.TrendDegrading} {
		comesBack(t, value)
	}
	records, _, _, err := pool.ReadAudit(0)
	if err != nil || len(records) == 0 {
		t.Fatalf("ReadAudit: %v, %v", records, err)
	}
	for _, record := range records {
		record.Time = record.Time.UTC()
		if text := comesBack(t, record); !strings.Contains(text, `"operation":"`) {
			t.Errorf("%s", text)
		}
	}
	events, _, _, err := pool.ReadEvents(0)
	if err != nil || len(events) == 0 {
		t.Fatalf("ReadEvents: %v, %v", events, err)
	}
	for _, event := range events {
		event.Time = event.Time.UTC()
		if text := comesBack(t, event); !strings.Contains(text, `"code":"`) {
			t.Errorf("%s", text)
		}
	}
	var state slabby.BreakerState
	if err := json.Unmarshal([]byte(`"ajar"`), &state); err == nil || !strings.Contains(err.Error(), "ajar") {
		t.Errorf("a word that is none: %v", err)
	}
}

// slog says which pool and which reference.
func TestLogValues(t *testing.T) {
	pool := newPool(t, 64, 10, slabby.WithName("orders"))
	ref := mustAllocate(t, pool)
	defer mustRelease(t, ref)
	for _, make := range []func(*bytes.Buffer) slog.Handler{
		func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		var buffer bytes.Buffer
		var none *slabby.Slabby
		slog.New(make(&buffer)).Info("hello", "pool", pool, "ref", ref, "none", none, "zero", slabby.SlabRef{})
		for _, part := range []string{"orders", "orders:", "open", "no pool", "SlabRef(invalid)"} {
			if !strings.Contains(buffer.String(), part) {
				t.Errorf("%q is missing in %s", part, buffer.String())
			}
		}
	}
	text, err := json.Marshal(map[string]any{"ref": ref})
	if err != nil || !strings.Contains(string(text), `"orders:`) {
		t.Errorf("%s, %v", text, err)
	}
}
