// SPDX-License-Identifier: GPL-3.0-or-later

package main

import "math/rand"

// References that are stale, of another pool, or made up.
var referenceMistakes = []mistake{
	{"stale_data", staleData},
	{"stale_pin", stalePin},
	{"foreign_reference", foreignReference},
	{"forged_references", forgedReferences},
}

func staleData() {
	pool := newPool()
	ref := take(pool)
	insist(ref.Release())
	_, err := ref.Bytes()
	answered(pool, ref, err)
}

func stalePin() {
	pool := newPool()
	ref := take(pool)
	insist(ref.Release())
	answered(pool, ref, ref.Pin())
}

func foreignReference() {
	pool, other := newPool(), newPool()
	ref := pool.RefOf(take(other).Ref())
	answered(pool, ref, ref.Release())
}

// Half of them carry the pool's own tag. The seed is fixed, so that none is the live one by chance.
func forgedReferences() {
	pool := newPool()
	ref := take(pool)
	times, accepted := rounds(1_000_000), 0
	numbers := rand.New(rand.NewSource(1))
	for at := range times {
		number := numbers.Uint64()
		if at%2 == 1 {
			number = ref.Ref()&0xFFF0000000000000 | number>>12
		}
		forged := pool.RefOf(number)
		data, _ := forged.Bytes()
		if forged.IsValid() || data != nil || forged.Pin() == nil ||
			forged.Unpin() == nil || forged.Release() == nil {
			accepted++
		}
	}
	counted("forged", times)
	counted("accepted", accepted)
	forged := pool.RefOf(ref.Ref() + 1<<40)
	answered(pool, forged, forged.Release())
	insist(ref.Release())
}
