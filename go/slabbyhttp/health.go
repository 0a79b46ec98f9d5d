// SPDX-License-Identifier: GPL-3.0-or-later

package slabbyhttp

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	slabby "github.com/slabby/slabby/go"
)

// draftNote says what the format of /health is.
const draftNote = "The format is that of the Internet-Draft draft-inadarei-api-health-check-06, which is no standard."

// checkInfo is what the contract says of one line of /health.
type checkInfo struct {
	name, snapshot, field, unit string
	reasons                     []string
}

type readiness struct {
	Ready   bool    `json:"ready"`
	Reasons []found `json:"reasons"`
}

func (h *handler) serveReady(w http.ResponseWriter, query map[string]string) *problem {
	exhaustion, refused := flag(query, "exhaustion", h.exhaustion)
	if refused != nil {
		return refused
	}
	answer := readiness{true, []found{}}
	pools, _ := h.observe(nil, nothingMore)
	for _, pool := range pools {
		for _, reason := range pool.reasons {
			if reason.fails || (exhaustion && reason.Reason == "exhausted") {
				answer.Reasons = append(answer.Reasons, reason)
				answer.Ready = false
			}
		}
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
	return nil
}

type healthAnswer struct {
	Status      string                   `json:"status"`
	Version     string                   `json:"version"`
	ReleaseID   string                   `json:"releaseId"`
	Description string                   `json:"description"`
	Notes       []string                 `json:"notes"`
	Output      string                   `json:"output,omitempty"`
	Checks      map[string][]healthCheck `json:"checks"`
}

type healthCheck struct {
	ComponentID   string          `json:"componentId"`
	ComponentType string          `json:"componentType"`
	ObservedValue json.RawMessage `json:"observedValue"`
	ObservedUnit  string          `json:"observedUnit,omitempty"`
	Status        string          `json:"status"`
	Time          string          `json:"time"`
	Output        string          `json:"output,omitempty"`
}

func (h *handler) serveHealth(w http.ResponseWriter, query map[string]string) *problem {
	pools, refused := h.observe(query, nothingMore)
	if refused != nil {
		return refused
	}
	answer := healthAnswer{"pass", "1", slabby.Version(), "slabby pools of this process",
		[]string{draftNote}, "", map[string][]healthCheck{}}
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	var outputs []string
	for _, pool := range pools {
		if pool.status == "fail" || answer.Status == "pass" {
			answer.Status = pool.status
		}
		for _, reason := range pool.reasons {
			outputs = append(outputs, pool.id+": "+reason.Meaning)
		}
		for _, check := range checks {
			answer.Checks[pool.id+":"+check.name] = []healthCheck{pool.check(check, now)}
		}
	}
	answer.Output = strings.Join(outputs, "; ")
	status := http.StatusOK
	if answer.Status == "fail" {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
	return nil
}

// check is one line about one pool, with the gravest of the reasons that concern it.
func (o *observed) check(info checkInfo, now string) healthCheck {
	line := healthCheck{o.id, "component", o.fields[info.snapshot][info.field], info.unit, "pass", now, ""}
	for _, reason := range o.reasons {
		if line.Status == "pass" && slices.Contains(info.reasons, reason.Reason) {
			line.Status, line.Output = "warn", reason.Meaning
			if reason.fails {
				line.Status = "fail"
			}
		}
	}
	return line
}
