// SPDX-License-Identifier: GPL-3.0-or-later

package slabbyhttp

import (
	"path/filepath"
	"slices"
	"strings"

	slabby "github.com/slabby/slabby/go"
)

// stackGroups are the live slabs of a pool by where they were allocated, the largest group first.
// Complete is false where there were more slabs, or more groups, than are shown.
type stackGroups struct {
	Recorded bool         `json:"recorded"`
	Examined int          `json:"examined"`
	Complete bool         `json:"complete"`
	Groups   []stackGroup `json:"groups"`
}

type stackGroup struct {
	Count    int      `json:"count"`
	OldestNS int64    `json:"oldest_ns"`
	Frames   []string `json:"frames"`
}

// groupStacks looks at the first slabs of a pool that records stacks.
func groupStacks(pool *slabby.Slabby) *stackGroups {
	debug, _ := pool.GetOption(slabby.OptionDebug)
	result := &stackGroups{Recorded: debug != 0, Complete: true, Groups: []stackGroup{}}
	if !result.Recorded {
		return result
	}
	groups := map[string]*stackGroup{}
	for live := range pool.Live() {
		if live.State != slabby.SlabStateLive {
			continue
		}
		if result.Examined == stacksLimit {
			result.Complete = false
			break
		}
		result.Examined++
		frames := framesOf(live.Ref.AllocationStack())
		key := strings.Join(frames, "\n")
		if groups[key] == nil {
			groups[key] = &stackGroup{Frames: frames}
		}
		groups[key].Count++
		groups[key].OldestNS = max(groups[key].OldestNS, int64(live.Age))
	}
	for _, group := range groups {
		result.Groups = append(result.Groups, *group)
	}
	slices.SortFunc(result.Groups, func(a, b stackGroup) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(strings.Join(a.Frames, "\n"), strings.Join(b.Frames, "\n"))
	})
	if len(result.Groups) > groupsLimit {
		result.Groups, result.Complete = result.Groups[:groupsLimit], false
	}
	return result
}

// framesOf are the frames of an allocation, innermost first, a line each: Go's function, file and
// line, or for slabs of another language what the core recorded.
func framesOf(stack string) []string {
	frames := []string{}
	lines := strings.Split(stack, "\n")
	for at, line := range lines {
		text := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(text, "released by"):
			return frames
		case strings.HasPrefix(text, "#"):
			frames = append(frames, coreFrame(text))
		case strings.HasPrefix(line, "\t") && at > 0:
			frames = append(frames, lines[at-1]+" ("+filepath.Base(text)+")")
		}
	}
	return frames
}

// coreFrame is "#0 0x55d0 work+0x1c (program)" without number and address.
func coreFrame(text string) string {
	parts := strings.SplitN(text, " ", 3)
	return parts[len(parts)-1]
}
