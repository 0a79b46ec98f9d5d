// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"hash/crc32"
	"math"
	"strconv"
	"time"
	"unsafe"

	slabby "github.com/slabby/slabby/go"
)

// The instructions that need no pool, a pool, a pool and a reference.
var (
	freeInstructions = map[string]func(*machine, instruction) string{
		"library": library, "create": create, "adopt": adopt, "copy": makeRef, "forge": makeRef,
		"slice": slice, "unview": unview, "sleep": sleep,
		"collect": collect, "cancel": cancelWait,
	}
	poolInstructions = map[string]func(*machine, *slabby.Slabby, instruction) string{
		"wait": beginWait, "allocate": allocate, "allocate_timeout": allocate, "allocate_batch": allocateBatch,
		"allocate_fast": allocateFast, "deallocate_fast": deallocateFast,
		"write_fast": bytesOfFast, "digest_fast": bytesOfFast, "release_batch": releaseBatch,
		"close": closePool, "destroy": destroy, "reset": reset, "size": size,
		"set_option": setOption, "get_option": getOption, "breaker": breaker, "resize": resize,
		"trim": trim, "reclaim": reclaim, "health_tick": healthTick,
		"stats": stats, "health": health, "memory": memory, "stats_json": statsJSON,
		"health_json": healthJSON, "live": live, "verify": verify, "audit": audit, "events": events,
	}
	refInstructions = map[string]func(*machine, slabby.SlabRef, instruction) string{
		"release":          func(_ *machine, r slabby.SlabRef, _ instruction) string { return only(r.Release()) },
		"release_deferred": func(_ *machine, r slabby.SlabRef, _ instruction) string { return only(r.ReleaseDeferred()) },
		"pin":              func(_ *machine, r slabby.SlabRef, _ instruction) string { return only(r.Pin()) },
		"unpin":            func(_ *machine, r slabby.SlabRef, _ instruction) string { return only(r.Unpin()) },
		"write":            bytesOfRef, "digest": bytesOfRef, "flip": bytesOfRef,
		"view": makeView, "is_valid": isValid, "id": id, "ref_text": refText, "stack": stack,
		"explain": explain, "set_label": setLabel, "get_label": getLabel,
	}
)

func allocate(m *machine, pool *slabby.Slabby, in instruction) string {
	var ref slabby.SlabRef
	var err error
	if in.words[0] == "allocate_timeout" {
		ref, err = pool.AllocateWithTimeout(time.Duration(min(in.number(2), math.MaxInt64)))
	} else {
		ref, err = pool.Allocate()
	}
	if err == nil {
		m.refs[in.target] = ref.Ref()
	}
	return only(err)
}

// following is the register a number of places after another.
func following(register string, keys int) string {
	first, err := strconv.Atoi(register[1:])
	if err != nil {
		panic(malformed(err.Error()))
	}
	return register[:1] + strconv.Itoa(first+keys)
}

func allocateBatch(m *machine, pool *slabby.Slabby, in instruction) string {
	refs, err := pool.BatchAllocate(int(min(in.number(2), math.MaxInt64)))
	for at, ref := range refs {
		m.refs[following(in.target, at)] = ref.Ref()
	}
	return only(err)
}

func allocateFast(m *machine, pool *slabby.Slabby, in instruction) string {
	bytes, id, err := pool.AllocateFast()
	if err == nil {
		m.fasts[in.target] = &fast{id, bytes}
	}
	return only(err)
}

func deallocateFast(m *machine, pool *slabby.Slabby, in instruction) string {
	f := m.fasts[in.word(2)]
	if f == nil {
		return unset
	}
	err := pool.DeallocateFast(f.id)
	if status, _ := slabby.StatusOf(err); err == nil || status == slabby.StatusMemoryCorruption {
		f.bytes = nil
	}
	return only(err)
}

func releaseBatch(m *machine, pool *slabby.Slabby, in instruction) string {
	var refs []slabby.SlabRef
	for _, register := range in.words[2:] {
		refs = append(refs, pool.RefOf(m.refs[register]))
	}
	released, err := pool.DeallocateBatch(refs)
	return answer(err).count("released", uint64(released)).end()
}

// useBytes is what write, digest and flip do once the bytes are there.
func useBytes(bytes []byte, in instruction) string {
	switch in.words[0][0] {
	case 'd':
		return answer(nil).count("crc", uint64(crc32.ChecksumIEEE(bytes))).end()
	case 'f':
		*(*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(bytes)), in.signed(3))) ^= 90
	default:
		value := in.number(3) % 251
		for at := range bytes {
			bytes[at] = byte(value)
			value = (value + 1) % 251
		}
	}
	return only(nil)
}

func bytesOfRef(_ *machine, ref slabby.SlabRef, in instruction) string {
	bytes, err := ref.Bytes()
	if err != nil {
		return only(err)
	}
	return useBytes(bytes, in)
}

func bytesOfFast(m *machine, _ *slabby.Slabby, in instruction) string {
	f := m.fasts[in.word(2)]
	if f == nil || f.bytes == nil {
		return unset
	}
	return useBytes(f.bytes, in)
}

func makeView(m *machine, ref slabby.SlabRef, in instruction) string {
	if m.views[in.target] != nil {
		return unset
	}
	if err := ref.Pin(); err != nil {
		return only(err)
	}
	bytes, err := ref.Bytes()
	if err != nil {
		return only(err)
	}
	m.views[in.target] = &view{ref, bytes}
	return answer(nil).count("size", uint64(len(bytes))).end()
}

func slice(m *machine, in instruction) string {
	v := m.views[in.word(1)]
	if v == nil {
		return unset
	}
	whole := uint64(len(v.bytes))
	from := min(in.number(2), whole)
	part := v.bytes[from : from+min(in.number(3), whole-from)]
	return answer(nil).count("size", uint64(len(part))).
		count("crc", uint64(crc32.ChecksumIEEE(part))).end()
}

func unview(m *machine, in instruction) string {
	v := m.views[in.word(1)]
	if v == nil {
		return unset
	}
	delete(m.views, in.word(1))
	return only(v.ref.Unpin())
}

func makeRef(m *machine, in instruction) string {
	ref := m.refs[in.word(1)]
	if in.words[0] == "forge" {
		switch in.word(2) {
		case "zero":
			ref = 0
		case "ones":
			ref = math.MaxUint64
		case "tag":
			ref ^= 1 << 63
		case "generation":
			ref += 1 << 40
		}
	}
	m.refs[in.target] = ref
	return only(nil)
}
