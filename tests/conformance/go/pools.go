// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"math"
	"strconv"
	"strings"
	"time"

	slabby "github.com/slabby/slabby/go"
)

func library(*machine, instruction) string {
	return answer(nil).add("version", strconv.Quote(slabby.Version())).
		count("abi", uint64(slabby.ABIVersion())).end()
}

func create(m *machine, in instruction) string {
	if m.pools[in.target] != nil {
		return unset
	}
	var options []slabby.AllocatorOption
	for _, word := range in.words[3:] {
		name, text, found := strings.Cut(word, "=")
		switch {
		case !found:
			panic(malformed("not OPTION=TEXT: " + word))
		case name == "preset":
			options = append(options, slabby.WithPreset(text))
		default:
			options = append(options, slabby.WithText(name, text))
		}
	}
	// A number above what Go's int holds arrives at the core as it was: the bits are the same.
	pool, err := slabby.New(int(in.number(1)), int(in.number(2)), options...)
	if err == nil {
		m.pools[in.target] = pool
		m.seen[address(pool)] = map[int32]int{}
	}
	return only(err)
}

func adopt(m *machine, in instruction) string {
	source := m.pools[in.word(1)]
	if m.pools[in.target] != nil || source == nil {
		return unset
	}
	number, instance, err := source.Handle()
	if err != nil {
		return only(err)
	}
	pool, err := slabby.Adopt(number, instance)
	if err == nil {
		m.pools[in.target] = pool
	}
	return only(err)
}

// destroy is what the language says of a binding that only closes.
func destroy(m *machine, pool *slabby.Slabby, in instruction) string {
	if m.owners(pool) == 1 {
		if stats := pool.Stats(); stats != nil && stats.UsedSlabs+int(stats.HeapSlabs) > 0 {
			return only(slabby.ErrInUse)
		}
		if err := pool.Close(); err != nil {
			return only(err)
		}
	}
	delete(m.pools, in.word(1))
	return only(nil)
}

func closePool(_ *machine, pool *slabby.Slabby, _ instruction) string { return only(pool.Close()) }

func reset(_ *machine, pool *slabby.Slabby, _ instruction) string { return only(pool.Reset()) }

func healthTick(_ *machine, pool *slabby.Slabby, _ instruction) string {
	return only(pool.HealthTick())
}

func trim(_ *machine, pool *slabby.Slabby, _ instruction) string {
	_, err := pool.Trim()
	return only(err)
}

// counted prints a number after OK.
func counted(err error, key string, value uint64) string {
	if err != nil {
		return only(err)
	}
	return answer(nil).count(key, value).end()
}

func reclaim(_ *machine, pool *slabby.Slabby, _ instruction) string {
	slabs, err := pool.Reclaim()
	return counted(err, "count", slabs)
}

func resize(_ *machine, pool *slabby.Slabby, in instruction) string {
	awaited, err := pool.Resize(int(min(in.number(2), math.MaxInt64)))
	return counted(err, "awaited", awaited)
}

func sleep(_ *machine, in instruction) string {
	time.Sleep(time.Duration(min(in.number(1), math.MaxInt64)))
	return only(nil)
}

func size(_ *machine, pool *slabby.Slabby, _ instruction) string {
	return counted(nil, "size", uint64(pool.Stats().SlabSize))
}

func option(name string) slabby.OptionID {
	if number, found := strings.CutPrefix(name, "#"); found {
		value, err := strconv.ParseInt(number, 10, 32)
		if err != nil {
			panic(malformed(err.Error()))
		}
		return slabby.OptionID(value)
	}
	id, known := optionIDs[name]
	if !known {
		panic(malformed("no such option: " + name))
	}
	return id
}

func setOption(_ *machine, pool *slabby.Slabby, in instruction) string {
	return only(pool.SetOption(option(in.word(2)), in.signed(3)))
}

func getOption(_ *machine, pool *slabby.Slabby, in instruction) string {
	value, err := pool.GetOption(option(in.word(2)))
	if err != nil {
		return only(err)
	}
	return answer(nil).add("value", strconv.FormatInt(value, 10)).end()
}

func breaker(_ *machine, pool *slabby.Slabby, in instruction) string {
	return only(pool.BreakerForce(slabby.BreakerMode(min(in.number(2), math.MaxInt32))))
}
