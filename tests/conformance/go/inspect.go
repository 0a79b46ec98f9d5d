// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	slabby "github.com/slabby/slabby/go"
)

func isValid(_ *machine, ref slabby.SlabRef, _ instruction) string {
	return answer(nil).add("valid", strconv.FormatBool(ref.IsValid())).end()
}

// ID and String have no error; the only one there is is a reference that the pool never issued.
func id(m *machine, ref slabby.SlabRef, _ instruction) string {
	number := ref.ID()
	if number < 0 {
		return only(slabby.ErrInvalidReference)
	}
	seen := m.seen[address(ref.Pool())]
	at, known := seen[number]
	if !known {
		at = len(seen)
		seen[number] = at
	}
	return counted(nil, "slab", uint64(at))
}

func refText(_ *machine, ref slabby.SlabRef, _ instruction) string {
	text := ref.String()
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return only(slabby.ErrInvalidReference)
	}
	return answer(nil).add("name", strconv.Quote(text[:at])).end()
}

func emptiness(text string, err error) string {
	if err != nil {
		return only(err)
	}
	return answer(nil).add("empty", strconv.FormatBool(text == "")).end()
}

func stack(_ *machine, ref slabby.SlabRef, _ instruction) string {
	return emptiness(ref.Stack())
}

func explain(_ *machine, ref slabby.SlabRef, in instruction) string {
	for code := slabby.Status(0); code > -64; code-- {
		if code.String() == in.word(3) {
			return emptiness(ref.Pool().Explain(&slabby.Error{Status: code}, ref), nil)
		}
	}
	panic(malformed("no such status: " + in.word(3)))
}

func setLabel(_ *machine, ref slabby.SlabRef, in instruction) string {
	return only(ref.SetLabel(in.number(3)))
}

func getLabel(_ *machine, ref slabby.SlabRef, _ instruction) string {
	label, err := ref.Label()
	return counted(err, "label", label)
}

func ppm(ratio float64) uint64 { return uint64(math.Floor(ratio*1e6 + 0.5)) }

func health(_ *machine, pool *slabby.Slabby, _ instruction) string {
	h, err := pool.Health()
	if err != nil {
		return only(err)
	}
	open := uint64(0)
	if h.CircuitBreakerOpen {
		open = 1
	}
	return answer(nil).count("score_ppm", ppm(h.HealthScore)).
		count("error_rate_ppm", ppm(h.ErrorRate)).count("breaker_open", open).end()
}

func memory(_ *machine, pool *slabby.Slabby, _ instruction) string {
	used, err := pool.Memory()
	if err != nil {
		return only(err)
	}
	return answer(nil).count("slab_bytes", used.SlabBytes).count("heap_bytes", used.HeapBytes).end()
}

func statsJSON(_ *machine, pool *slabby.Slabby, _ instruction) string {
	text, err := pool.StatsJSON()
	if err != nil {
		return only(err)
	}
	var object struct {
		Used uint64 `json:"used_slabs"`
	}
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		panic(malformed("stats_json: " + err.Error()))
	}
	return counted(nil, "used", object.Used)
}

func healthJSON(_ *machine, pool *slabby.Slabby, _ instruction) string {
	text, err := pool.HealthJSON()
	if err != nil {
		return only(err)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		panic(malformed("health_json: " + err.Error()))
	}
	return counted(nil, "keys", uint64(len(object)))
}

func stats(m *machine, pool *slabby.Slabby, _ instruction) string {
	m.awaitGrants(pool)
	s := pool.Stats()
	tiers := s.PCPUCacheHits + s.LockFreeHits + s.ShardHits + s.GateHits + s.GuardHits + s.HeapFallbacks
	errors := tally{}
	for status, count := range s.Errors {
		if status != slabby.StatusInUse && status != slabby.StatusNotSupported {
			errors[status.String()] = count
		}
	}
	return answer(nil).
		count("total_slabs", uint64(s.TotalSlabs)).
		count("slab_size", uint64(s.SlabSize)).
		count("used_slabs", uint64(s.UsedSlabs)).
		count("available_slabs", uint64(s.AvailableSlabs)).
		count("total_allocations", s.TotalAllocations).
		count("total_deallocations", s.TotalDeallocations).
		count("fast_allocations", s.FastAllocations).
		count("fast_deallocations", s.FastDeallocations).
		count("ref_pool_hits", s.RefPoolHits).
		count("utilization_ppm", ppm(s.MemoryUtilization)).
		count("allocation_errors", s.AllocationErrors).
		count("guard_page_violations", s.GuardPageViolations).
		count("heap_fallbacks", s.HeapFallbacks).
		count("tier_hits", tiers).
		count("corruptions", s.Corruptions).
		count("quarantined_slabs", s.QuarantinedSlabs).
		count("retired_slabs", s.RetiredSlabs).
		count("heap_slabs", s.HeapSlabs).
		count("heap_bytes", s.HeapBytes).
		count("waiters", s.Waiters).
		add("breaker_state", strconv.Quote(s.BreakerState.String())).
		add("degradation_state", strconv.Quote(s.DegradationState.String())).
		add("pool_state", strconv.Quote(s.PoolState.String())).
		count("awaited_slabs", s.AwaitedSlabs).
		count("reserved_slabs", s.ReservedSlabs).
		add("errors", errors.json()).
		end()
}

// tally counts by name.
type tally map[string]uint64

// json is the object, sorted by name.
func (t tally) json() string {
	members := make([]string, 0, len(t))
	for name := range t {
		members = append(members, name)
	}
	slices.Sort(members)
	for at, name := range members {
		members[at] = strconv.Quote(name) + ":" + strconv.FormatUint(t[name], 10)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func live(m *machine, pool *slabby.Slabby, _ instruction) string {
	m.awaitGrants(pool)
	ids := map[int32]bool{}
	states := map[slabby.SlabState]uint64{}
	var count, pins, labels uint64
	for slab := range pool.Live() {
		ids[slab.ID] = true
		states[slab.State]++
		count++
		pins += uint64(slab.Pins)
		labels += slab.Label
	}
	return answer(nil).count("count", count).count("distinct", uint64(len(ids))).
		count("live", states[slabby.SlabStateLive]+states[slabby.SlabStateGranted]).
		count("live_fast", states[slabby.SlabStateLiveFast]).
		count("dying", states[slabby.SlabStateDying]).
		count("pins", pins).count("labels", labels).end()
}

func verify(_ *machine, pool *slabby.Slabby, _ instruction) string {
	findings, err := pool.Verify()
	if err != nil {
		return only(err)
	}
	damaged := map[int32]bool{}
	other := uint64(0)
	for _, finding := range findings {
		if finding.Kind == slabby.FindingKindGuardBytes {
			damaged[finding.ID] = true
		} else {
			other++
		}
	}
	return answer(nil).count("damaged", uint64(len(damaged))).count("other", other).end()
}

// What the bindings do differently when a pool is made and given up.
var unprinted = []slabby.AuditOperation{
	slabby.AuditOperationCreate, slabby.AuditOperationRetain, slabby.AuditOperationDestroy,
	slabby.AuditOperationAbandon,
}

func audit(m *machine, pool *slabby.Slabby, _ instruction) string {
	var cursor, lost, foreign uint64
	records := tally{}
	for {
		some, next, missed, err := pool.ReadAudit(cursor)
		if err != nil {
			return only(err)
		}
		cursor, lost = next, lost+missed
		if len(some) == 0 {
			break
		}
		for _, record := range some {
			if record.Binding != slabby.BindingGo {
				foreign++
			}
			operation := record.Operation
			if operation == slabby.AuditOperationAllocateWait {
				operation = slabby.AuditOperationAllocate
			}
			if !slices.Contains(unprinted, operation) {
				records[operation.String()+" "+record.Status.String()]++
			}
		}
	}
	return answer(nil).count("lost", lost).count("foreign", foreign).
		add("records", records.json()).end()
}

func events(_ *machine, pool *slabby.Slabby, _ instruction) string {
	var cursor uint64
	var codes []string
	for {
		some, next, _, err := pool.ReadEvents(cursor)
		if err != nil {
			return only(err)
		}
		if len(some) == 0 {
			break
		}
		cursor = next
		for _, event := range some {
			codes = append(codes, strconv.Quote(event.Code.String()))
		}
	}
	slices.Sort(codes)
	return answer(nil).add("codes", "["+strings.Join(slices.Compact(codes), ",")+"]").end()
}
