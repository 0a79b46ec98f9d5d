// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"slices"
	"strconv"
	"strings"

	slabby "github.com/slabby/slabby/go"
)

// fast is a slab of allocate_fast; bytes is nil once it was given back.
type fast struct {
	id    int32
	bytes []byte
}

// view is a pinned slab and its bytes.
type view struct {
	ref   slabby.SlabRef
	bytes []byte
}

// machine holds the registers of one program.
type machine struct {
	pools map[string]*slabby.Slabby
	refs  map[string]uint64
	fasts map[string]*fast
	views map[string]*view
	waits map[string]*wait
	// Where bindings take turns: how many wait for a pool through the others, by its address.
	elsewhere map[uint64]uint64
	// The ids that the program saw in each pool, in the order in which it saw them, by the pool's
	// address: handles of one pool count together.
	seen map[uint64]map[int32]int
}

func newMachine() *machine {
	return &machine{
		pools: map[string]*slabby.Slabby{},
		refs:  map[string]uint64{},
		fasts: map[string]*fast{},
		views: map[string]*view{},
		waits: map[string]*wait{},
		seen:  map[uint64]map[int32]int{},

		elsewhere: map[uint64]uint64{},
	}
}

// malformed is a program that is none.
type malformed string

func (m malformed) Error() string { return string(m) }

// instruction is one line: target is the register before "=", or "".
type instruction struct {
	target string
	words  []string
}

func (in instruction) word(at int) string {
	if at >= len(in.words) {
		panic(malformed("too few words after " + in.words[0]))
	}
	return in.words[at]
}

func (in instruction) number(at int) uint64 {
	value, err := strconv.ParseUint(in.word(at), 10, 64)
	if err != nil {
		panic(malformed(err.Error()))
	}
	return value
}

func (in instruction) signed(at int) int64 {
	value, err := strconv.ParseInt(in.word(at), 10, 64)
	if err != nil {
		panic(malformed(err.Error()))
	}
	return value
}

const unset = `{"status":"-"}`

// line builds the JSON object of one instruction.
type line struct{ strings.Builder }

func answer(err error) *line {
	l := new(line)
	l.WriteString(`{"status":"` + statusName(err) + `"`)
	return l
}

// add appends a member whose value is JSON already.
func (l *line) add(key, value string) *line {
	l.WriteString(`,"` + key + `":` + value)
	return l
}

func (l *line) count(key string, value uint64) *line {
	return l.add(key, strconv.FormatUint(value, 10))
}

func (l *line) end() string {
	l.WriteByte('}')
	return l.String()
}

func only(err error) string { return answer(err).end() }

func statusName(err error) string {
	status, known := slabby.StatusOf(err)
	if !known {
		panic(malformed("an error that is no status: " + err.Error()))
	}
	return status.String()
}

// execute carries out one instruction and returns its line.
func (m *machine) execute(words []string) string {
	in := instruction{words: words}
	if len(words) > 2 && words[1] == "=" {
		in = instruction{target: words[0], words: words[2:]}
	}
	name := in.words[0]
	if run, ok := freeInstructions[name]; ok {
		return run(m, in)
	}
	if run, ok := poolInstructions[name]; ok {
		if pool := m.pools[in.word(1)]; pool != nil {
			return run(m, pool, in)
		}
		return unset
	}
	if run, ok := refInstructions[name]; ok {
		if pool := m.pools[in.word(1)]; pool != nil {
			return run(m, pool.RefOf(m.refs[in.word(2)]), in)
		}
		return unset
	}
	panic(malformed("no such instruction: " + name))
}

// address is what the handles of one pool have in common.
func address(pool *slabby.Slabby) uint64 {
	value, _, err := pool.Handle()
	if err != nil {
		panic(malformed("a pool without a handle: " + err.Error()))
	}
	return value
}

// owners counts the registers that hold a pool.
func (m *machine) owners(pool *slabby.Slabby) int {
	count := 0
	for _, other := range m.pools {
		if address(other) == address(pool) {
			count++
		}
	}
	return count
}

// cleanUp ends a program: views are given back, then each pool loses what is live.
func (m *machine) cleanUp() {
	m.endWaits()
	for _, v := range m.views {
		_ = v.ref.Unpin()
	}
	for _, pool := range m.pools {
		releaseEverything(pool)
		if err := pool.Close(); err != nil {
			panic(malformed("a pool could not be closed: " + err.Error()))
		}
	}
	*m = *newMachine()
}

func releaseEverything(pool *slabby.Slabby) {
	for _, live := range slices.Collect(pool.Live()) {
		if live.State == slabby.SlabStateLiveFast {
			_ = pool.DeallocateFast(live.ID)
			continue
		}
		_ = live.Ref.ReleaseDeferred()
		for range live.Pins {
			_ = live.Ref.Unpin()
		}
	}
}
