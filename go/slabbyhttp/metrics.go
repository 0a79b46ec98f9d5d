// SPDX-License-Identifier: GPL-3.0-or-later

package slabbyhttp

import (
	"net/http"
	"strings"

	slabby "github.com/slabby/slabby/go"
)

func (h *handler) serveMetrics(w http.ResponseWriter, query map[string]string) *problem {
	wanted, one := query["pool"]
	var texts []string
	h.pools(func(label string, pool *slabby.Slabby) {
		if one && label != wanted {
			return
		}
		if text, err := pool.MetricsText(); err == nil {
			texts = append(texts, text)
		}
	})
	if one && len(texts) == 0 {
		return noPool(wanted)
	}
	_, _ = w.Write([]byte(mergeMetrics(texts)))
	return nil
}

// family is a metric in the OpenMetrics format: its description, and its samples.
type family struct {
	about, samples []string
}

// mergeMetrics makes one text of those of several pools: each metric is described once, and all of its
// samples follow.
func mergeMetrics(texts []string) string {
	var order []*family
	families := map[string]*family{}
	written := map[string]bool{}
	for _, text := range texts {
		var current *family
		for _, line := range strings.Split(text, "\n") {
			words := strings.SplitN(line, " ", 4)
			switch {
			case line == "" || line == "# EOF":
			case words[0] == "#":
				if families[words[2]] == nil {
					families[words[2]] = &family{}
					order = append(order, families[words[2]])
				}
				current = families[words[2]]
				if !written[line] {
					current.about = append(current.about, line)
				}
			case !written[line]:
				current.samples = append(current.samples, line)
			}
			written[line] = true
		}
	}
	var merged strings.Builder
	for _, each := range order {
		for _, line := range append(each.about, each.samples...) {
			merged.WriteString(line + "\n")
		}
	}
	return merged.String() + "# EOF\n"
}
