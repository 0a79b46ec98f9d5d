-- SPDX-License-Identifier: GPL-3.0-or-later
-- Lua drives a pool through swig/slabby.i: numbers of 64 bits, bytes, records, errors.
local slabby = require "slabby"

local function expect(what, found, wanted)
  if found ~= wanted then
    error(string.format("%s: found %s, wanted %s", what, tostring(found), tostring(wanted)), 2)
  end
end

local function create(size, capacity)
  local status, pool = slabby.create(size, capacity, nil, nil)
  expect("create", status, slabby.SLABBY_OK)
  return pool
end

-- Tags grow with each pool, so that refs of the later ones have their top bit set.
local pool
for _ = 1, 2100 do
  if pool then expect("destroy", slabby.destroy(pool), 0) end
  pool = create(4096, 8)
end
local status, ref, data = slabby.allocate(pool)
expect("allocate", status, 0)
expect("a ref is a whole number", math.type(ref), "integer")
expect("its top bit is set", ref < 0, true)
expect("is_valid", slabby.is_valid(pool, ref), 1)

slabby.write_bytes(data, 100, "a\0b\xff")
local _, again = slabby.data(pool, ref)
expect("bytes", slabby.read_bytes(again, 99, 6), "\0a\0b\xff\0")

expect("set_label", slabby.set_label(pool, ref, -2), 0)
local _, label = slabby.get_label(pool, ref)
expect("label", label, -2)

local refs = slabby.new_numbers(7)
expect("allocate_batch", slabby.allocate_batch(refs, pool, 7), 0)
expect("exhausted", (slabby.allocate(pool)), slabby.SLABBY_OUT_OF_MEMORY)
expect("one of the batch", slabby.is_valid(pool, slabby.numbers_getitem(refs, 6)), 1)
local stats = slabby.stats()
expect("get_stats", slabby.get_stats(stats, pool), 0)
expect("used_slabs", stats.used_slabs, 8)
expect("utilisation", stats.memory_utilization, 1.0)
local released
status, released = slabby.release_batch(pool, refs, 7)
expect("release_batch", status, 0)
expect("released", released, 7)
slabby.delete_numbers(refs)

local live = slabby.live()
local count, cursor
status, count, cursor = slabby.live_next(live, 0, pool)
expect("live_next", status, 0)
expect("one is out", count, 1)
expect("which", live.ref, ref)
status, count = slabby.live_next(live, cursor, pool)
expect("the end", count, 0)

expect("release", slabby.release(pool, ref), 0)
expect("release again", slabby.status_name(slabby.release(pool, ref)), "DoubleDeallocation")
local _, text = slabby.explain(pool, ref, slabby.SLABBY_USE_AFTER_FREE)
expect("explain", text:match("^UseAfterFree: ") ~= nil, true)

local findings = slabby.findings_new(4)
status, count = slabby.verify(findings, pool, 4)
expect("verify", status, 0)
expect("findings", count, 0)
slabby.findings_delete(findings)

local wrong = slabby.error()
expect("a size of 0", (slabby.create(0, 8, nil, wrong)), slabby.SLABBY_INVALID_SLAB_SIZE)
expect("its text", wrong.text:match("slab size 0") ~= nil, true)
expect("destroy", slabby.destroy(pool), 0)
print("lua: passed")
