// SPDX-License-Identifier: GPL-3.0-or-later

package slabbyhttp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	slabby "github.com/slabby/slabby/go"
)

type statsAnswer struct {
	Version  string      `json:"version"`
	Instance string      `json:"instance"`
	TimeNS   int64       `json:"time_ns"`
	Writable bool        `json:"writable"`
	Pools    []poolStats `json:"pools"`
}

type poolStats struct {
	Pool    string            `json:"pool"`
	Status  string            `json:"status"`
	Reasons []found           `json:"reasons"`
	Stats   json.RawMessage   `json:"stats"`
	Health  json.RawMessage   `json:"health"`
	Memory  json.RawMessage   `json:"memory"`
	Options map[string]string `json:"options"`
	Stacks  *stackGroups      `json:"stacks,omitempty"`
}

// instance differs between two runs of a program.
func instance() string {
	return fmt.Sprintf("%016x", slabby.InstanceID())
}

func (h *handler) serveStats(w http.ResponseWriter, query map[string]string) *problem {
	withStacks, refused := flag(query, "stacks", false)
	if refused != nil {
		return refused
	}
	pools, refused := h.observe(query, func(found *observed, pool *slabby.Slabby) {
		found.options = optionsOf(pool)
		if withStacks {
			found.stacks = groupStacks(pool)
		}
	})
	if refused != nil {
		return refused
	}
	answer := statsAnswer{slabby.Version(), instance(), time.Now().UnixNano(), h.token != "", []poolStats{}}
	for _, pool := range pools {
		answer.Pools = append(answer.Pools, poolStats{pool.id, pool.status, pool.reasons, pool.texts["stats"],
			pool.texts["health"], pool.texts["memory"], pool.options, pool.stacks})
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func optionsOf(pool *slabby.Slabby) map[string]string {
	options := map[string]string{}
	for _, name := range optionNames {
		if value, err := pool.GetOptionText(name); err == nil {
			options[name] = value
		}
	}
	return options
}
