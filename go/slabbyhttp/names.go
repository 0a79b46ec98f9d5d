// SPDX-License-Identifier: GPL-3.0-or-later

package slabbyhttp

import slabby "github.com/slabby/slabby/go"

// eachPool calls visit with the pools that are shown and their labels.
type eachPool func(visit func(label string, pool *slabby.Slabby))

// these are the pools of a list. One that is gone has no label.
func these(pools []*slabby.Slabby) eachPool {
	return func(visit func(label string, pool *slabby.Slabby)) {
		for _, pool := range pools {
			if label := pool.Label(); label != "" {
				visit(label, pool)
			}
		}
	}
}

// openPools are those of the process, of every language that shares the core.
func openPools(visit func(label string, pool *slabby.Slabby)) {
	for _, info := range slabby.Pools() {
		// One that ended since it was listed is left out.
		_ = info.Use(func(pool *slabby.Slabby) { visit(info.Label, pool) })
	}
}

// use calls work with the pool of a label; false where none has it.
func (h *handler) use(label string, work func(pool *slabby.Slabby)) bool {
	found := false
	h.pools(func(known string, pool *slabby.Slabby) {
		if known == label && !found {
			found = true
			work(pool)
		}
	})
	return found
}
