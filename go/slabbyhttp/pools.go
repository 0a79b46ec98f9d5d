// SPDX-License-Identifier: GPL-3.0-or-later

package slabbyhttp

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	slabby "github.com/slabby/slabby/go"
)

// fields are the values of a snapshot as the core wrote them.
type fields map[string]json.RawMessage

// observed is one pool at one moment.
type observed struct {
	id      string
	texts   map[string]json.RawMessage // stats, health, memory
	fields  map[string]fields
	status  string // pass, warn or fail
	reasons []found
	options map[string]string
	stacks  *stackGroups // where they were asked for
}

// reasonInfo is what the contract says of a reason: how the value of its field compares with another ("is", "is_not"
// or "above"), and the reason beside which it is redundant.
type reasonInfo struct {
	name, snapshot, field, test, value, unless string
	fails                                      bool
	meaning, advice                            string
}

// found is a reason that applies to a pool.
type found struct {
	Pool    string `json:"pool"`
	Reason  string `json:"reason"`
	Meaning string `json:"meaning"`
	Advice  string `json:"advice"`

	fails bool
}

// observe reads the pools, or the one that the query names. A pool that ended meanwhile is left out.
func (h *handler) observe(query map[string]string, more func(*observed, *slabby.Slabby)) ([]*observed, *problem) {
	wanted, one := query["pool"]
	pools := []*observed{}
	h.pools(func(label string, pool *slabby.Slabby) {
		if one && label != wanted {
			return
		}
		if found := observe(label, pool); found != nil {
			more(found, pool)
			pools = append(pools, found)
		}
	})
	if one && len(pools) == 0 {
		return nil, noPool(wanted)
	}
	return pools, nil
}

func noPool(id string) *problem {
	return refusef(http.StatusNotFound, "no pool %q is shown here; /stats lists them", printable(id))
}

// nothingMore is for callers that need the snapshots alone.
func nothingMore(*observed, *slabby.Slabby) {}

func observe(label string, pool *slabby.Slabby) *observed {
	found := &observed{id: label, texts: map[string]json.RawMessage{}, fields: map[string]fields{}}
	snapshots := map[string]func() (string, error){
		"stats": pool.StatsJSON, "health": pool.HealthJSON, "memory": pool.MemoryJSON}
	for name, read := range snapshots {
		text, err := read()
		var values fields
		if err != nil || json.Unmarshal([]byte(text), &values) != nil {
			return nil
		}
		found.texts[name], found.fields[name] = json.RawMessage(text), values
	}
	found.judge()
	return found
}

// applies says whether a value passes the reason's test; both are JSON texts.
func (r *reasonInfo) applies(value string) bool {
	if r.test == "above" {
		number, err := strconv.ParseFloat(value, 64)
		limit, errLimit := strconv.ParseFloat(r.value, 64)
		return err == nil && errLimit == nil && number > limit
	}
	return (value == r.value) == (r.test == "is")
}

// judge finds the reasons that apply.
func (o *observed) judge() {
	o.status, o.reasons = "pass", []found{}
	for _, reason := range reasons {
		covered := slices.ContainsFunc(o.reasons, func(other found) bool { return other.Reason == reason.unless })
		if covered || !reason.applies(string(o.fields[reason.snapshot][reason.field])) {
			continue
		}
		if reason.fails {
			o.status = "fail"
		} else if o.status == "pass" {
			o.status = "warn"
		}
		o.reasons = append(o.reasons, found{o.id, reason.name, reason.meaning, reason.advice, reason.fails})
	}
}
