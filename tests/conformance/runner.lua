-- SPDX-License-Identifier: GPL-3.0-or-later
-- Runs conformance programs (LANGUAGE.md) from standard input over swig/slabby.i; prints their traces.
local slabby = require "slabby"

local UNSET = '{"status":"-"}'
local CHUNK = 256

-- ------------------------------------------------------------------------------------------ words

-- The codes of the header whose names begin with a prefix: word by number.
local function words(prefix)
  local found = {}
  for name, value in pairs(slabby) do
    local word = type(name) == "string" and name:match("^" .. prefix .. "(.*)$")
    if word and math.type(value) == "integer" then found[value] = word:lower() end
  end
  return found
end

local operations = words("SLABBY_AUDIT_OPERATION_")
local breaker_states = words("SLABBY_BREAKER_STATE_")
local degradation_states = words("SLABBY_DEGRADATION_STATE_")
local pool_states = words("SLABBY_POOL_STATE_")
local event_codes = words("SLABBY_EVENT_CODE_")
local options = {}
for id, name in pairs(words("SLABBY_OPTION_")) do options[name] = id end
local statuses = {}
for code = 0, -63, -1 do statuses[slabby.status_name(code)] = code end
local UNPRINTED = { create = true, retain = true, destroy = true, abandon = true }

-- --------------------------------------------------------------------------------- numbers, bytes

-- Numbers have 64 bits and wrap; these two read and show them without a sign.
local function number(text)
  local value = 0
  for digit in text:gmatch("%d") do value = value * 10 + (digit:byte() - 48) end
  return text:sub(1, 1) == "-" and -value or value
end

local function unsigned(value)
  if value >= 0 then return tostring(value) end
  local tenth = (value >> 1) // 5
  return tostring(tenth) .. tostring(value - tenth * 10)
end

local function ppm(ratio) return math.floor(ratio * 1e6 + 0.5) end

local period = {}
for value = 0, 250 do period[value + 1] = string.char(value) end
period = table.concat(period)

local function pattern(seed, size)
  local start = 0
  for digit in seed:gmatch("%d") do start = (start * 10 + (digit:byte() - 48)) % 251 end
  return period:rep((start + size) // 251 + 1):sub(start + 1, start + size)
end

local crc_table = {}
for index = 0, 255 do
  local value = index
  for _ = 1, 8 do value = (value >> 1) ~ ((value & 1) * 0xedb88320) end
  crc_table[index] = value
end

local function crc32(bytes)
  local crc = 0xffffffff
  for at = 1, #bytes do crc = (crc >> 8) ~ crc_table[(crc ~ bytes:byte(at)) & 255] end
  return crc ~ 0xffffffff
end

-- ----------------------------------------------------------------------------------- registers, lines

local pools, refs, fasts, views, waits, listeners, seen_of

local function forget()
  pools, refs, fasts, views, waits, listeners, seen_of = {}, {}, {}, {}, {}, {}, {}
end

local function only(status) return '{"status":"' .. slabby.status_name(status) .. '"}' end

-- The line of a status; the members, as "key":value texts, only after OK.
local function answer(status, ...)
  if status ~= slabby.SLABBY_OK then return only(status) end
  local members = { '"status":"OK"', ... }
  return "{" .. table.concat(members, ",") .. "}"
end

local function member(key, value) return '"' .. key .. '":' .. tostring(value) end
local function count(key, value) return '"' .. key .. '":' .. unsigned(value) end

local function object(tally)
  local names, members = {}, {}
  for name in pairs(tally) do names[#names + 1] = name end
  table.sort(names)
  for at, name in ipairs(names) do members[at] = count(name, tally[name]) end
  return "{" .. table.concat(members, ",") .. "}"
end

-- Functions of a target register, a pool, the words after it. Those of `free` have no pool.
local free, of_pool, of_ref = {}, {}, {}

-- ---------------------------------------------------------------------------------- a pool's life

function free.library()
  return answer(0, '"version":"' .. slabby.version() .. '"', member("abi", slabby.abi_version()))
end

function free.sleep(_, duration)
  local over = os.clock() + number(duration) / 1e9
  while os.clock() < over do end -- Lua cannot sleep; its clock counts this process' time, which is no longer
  return answer(0)
end

function free.create(target, size, capacity, ...)
  if pools[target] then return UNSET end
  local status, settings = slabby.options_create()
  for _, word in ipairs { ... } do
    local name, text = word:match("^([^=]*)=(.*)$")
    if name == "preset" then
      status = slabby.options_preset(settings, text, nil)
    else
      status = slabby.options_set_text(settings, name, text, nil)
    end
    if status ~= 0 then break end
  end
  local pool
  if status == 0 then
    slabby.set_binding(slabby.SLABBY_BINDING_SWIG)
    status, pool = slabby.create(number(size), number(capacity), settings, nil)
    slabby.set_binding(-1)
  end
  slabby.options_destroy(settings)
  if status == 0 then
    pools[target] = pool
    seen_of[target] = { size = 0, numbers = {} }
  end
  return only(status)
end

function free.adopt(target, source)
  if pools[target] or not pools[source] then return UNSET end
  local status, address, instance = slabby.handle(pools[source])
  local pool
  if status == 0 then
    status, pool = slabby.adopt(address, instance, nil)
  end
  if status == 0 then
    pools[target] = pool
    seen_of[target] = seen_of[source]
  end
  return only(status)
end

function of_pool.destroy(_, pool, name)
  local status = slabby.destroy(pool)
  if status == 0 then pools[name] = nil end
  return only(status)
end

function of_pool.close(_, pool) return only(slabby.close(pool)) end
function of_pool.reset(_, pool) return only(slabby.reset(pool)) end
function of_pool.health_tick(_, pool) return only(slabby.health_tick(pool)) end
function of_pool.trim(_, pool) return only((slabby.trim(pool))) end

function of_pool.reclaim(_, pool)
  local status, slabs = slabby.reclaim(pool)
  return answer(status, count("count", slabs))
end

function of_pool.resize(_, pool, _, capacity)
  local status, awaited = slabby.resize(pool, number(capacity), nil)
  return answer(status, count("awaited", awaited))
end

function of_pool.size(_, pool)
  local status, size = slabby.size(pool)
  return answer(status, count("size", size))
end

local function option(name)
  return name:sub(1, 1) == "#" and number(name:sub(2)) or options[name]
end

function of_pool.set_option(_, pool, _, name, value)
  return only(slabby.set_option(pool, option(name), number(value), nil))
end

function of_pool.get_option(_, pool, _, name)
  local status, value = slabby.get_option(pool, option(name))
  return answer(status, member("value", value))
end

function of_pool.breaker(_, pool, _, mode) return only(slabby.breaker_force(pool, number(mode))) end

-- ----------------------------------------------------------------------------- allocate and release

function of_pool.allocate(target, pool)
  local status, ref = slabby.allocate(pool)
  if status == 0 then refs[target] = ref end
  return only(status)
end

function of_pool.allocate_timeout(target, pool, _, timeout)
  local status, ref = slabby.allocate_timeout(pool, number(timeout))
  if status == 0 then refs[target] = ref end
  return only(status)
end

function of_pool.allocate_batch(target, pool, _, wanted)
  local size = number(wanted)
  local made = slabby.new_numbers(size)
  local status = slabby.allocate_batch(made, pool, size)
  if status == 0 then
    local first = number(target:sub(2))
    for at = 0, size - 1 do refs["r" .. first + at] = slabby.numbers_getitem(made, at) end
  end
  slabby.delete_numbers(made)
  return only(status)
end

function of_pool.allocate_fast(target, pool)
  local status, data, id = slabby.allocate_fast(pool)
  if status == 0 then fasts[target] = { id = id, data = data } end
  return only(status)
end

function of_pool.deallocate_fast(_, pool, _, name)
  local fast = fasts[name]
  if not fast then return UNSET end
  local status = slabby.deallocate_fast(pool, fast.id)
  if status == 0 or status == slabby.SLABBY_MEMORY_CORRUPTION then fast.data = nil end
  return only(status)
end

function of_pool.release_batch(_, pool, _, ...)
  local names = { ... }
  local given = slabby.new_numbers(#names + 1)
  for at, name in ipairs(names) do slabby.numbers_setitem(given, at - 1, refs[name] or 0) end
  local status, released = slabby.release_batch(pool, given, #names)
  slabby.delete_numbers(given)
  return '{"status":"' .. slabby.status_name(status) .. '",' .. count("released", released) .. "}"
end

for _, name in ipairs { "release", "release_deferred", "pin", "unpin" } do
  of_ref[name] = function(_, pool, ref) return only(slabby[name](pool, ref)) end
end

-- ----------------------------------------------------------------------------------------- waiting

-- One listener for each pool register while a wait of it is not over.
local function leave(name)
  for _, wait in pairs(waits) do
    if wait.pool == name then return end
  end
  slabby.listener_destroy(listeners[name])
  listeners[name] = nil
end

function of_pool.wait(target, pool, name)
  if waits[target] then return UNSET end
  local status, ticket = 0, nil
  if not listeners[name] then
    status, listeners[name] = slabby.listener_create(pool, nil)
    if status ~= 0 then return only(status) end
  end
  status, ticket = slabby.wait_begin(listeners[name], number(target:sub(2)))
  if status == 0 then waits[target] = { pool = name, ticket = ticket, ref = 0 } end
  leave(name)
  return only(status)
end

-- Takes what was granted, one after the other; the status is Closed where nothing more will be.
local function take(listener)
  local ticket, ref, index = slabby.new_numbers(1), slabby.new_numbers(1), slabby.new_numbers(1)
  local status, taken
  repeat
    status, taken = slabby.wait_take(ticket, ref, index, listener, 1)
    if taken > 0 then
      local wait = waits["w" .. slabby.numbers_getitem(index, 0)]
      if wait.ticket ~= slabby.numbers_getitem(ticket, 0) then error("a grant for nobody") end
      wait.ref = slabby.numbers_getitem(ref, 0)
    end
  until taken == 0
  for _, array in ipairs { ticket, ref, index } do slabby.delete_numbers(array) end
  return status
end

local function granted(truth) return answer(0, member("granted", truth)) end

function free.collect(target, name)
  local wait = waits[name]
  if not wait then return UNSET end
  local closed = take(listeners[wait.pool]) == slabby.SLABBY_CLOSED
  if wait.ref == 0 and not closed then return granted(false) end
  waits[name] = nil
  leave(wait.pool)
  if wait.ref == 0 then return only(slabby.SLABBY_CLOSED) end
  refs[target] = wait.ref
  return granted(true)
end

function free.cancel(_, name)
  local wait = waits[name]
  if not wait then return UNSET end
  local status, ref = 0, wait.ref
  if ref == 0 then
    status, ref = slabby.wait_cancel(listeners[wait.pool], wait.ticket)
  end
  if status == 0 and ref ~= 0 then status = slabby.release(pools[wait.pool], ref) end
  if status ~= 0 then error("a wait could not be cancelled: " .. slabby.status_name(status)) end
  waits[name] = nil
  leave(wait.pool)
  return granted(ref ~= 0)
end

-- ------------------------------------------------------------------------------------------- bytes

local function size_of(pool)
  local _, size = slabby.size(pool)
  return size
end

local function digest(data, size) return answer(0, member("crc", crc32(slabby.read_bytes(data, 0, size)))) end

function of_ref.write(_, pool, ref, seed)
  local status, data = slabby.data(pool, ref)
  if status == 0 then slabby.write_bytes(data, 0, pattern(seed, size_of(pool))) end
  return only(status)
end

function of_ref.digest(_, pool, ref)
  local status, data = slabby.data(pool, ref)
  return status == 0 and digest(data, size_of(pool)) or only(status)
end

function of_ref.flip(_, pool, ref, offset)
  local status, data = slabby.data(pool, ref)
  if status == 0 then
    local byte = slabby.read_bytes(data, number(offset), 1):byte()
    slabby.write_bytes(data, number(offset), string.char(byte ~ 90))
  end
  return only(status)
end

function of_pool.write_fast(_, pool, _, name, seed)
  local data = fasts[name] and fasts[name].data
  if not data then return UNSET end
  slabby.write_bytes(data, 0, pattern(seed, size_of(pool)))
  return only(0)
end

function of_pool.digest_fast(_, pool, _, name)
  local data = fasts[name] and fasts[name].data
  return data and digest(data, size_of(pool)) or UNSET
end

function of_ref.view(target, pool, ref)
  if views[target] then return UNSET end
  local status, data = slabby.pin(pool, ref), nil
  if status == 0 then
    status, data = slabby.data(pool, ref)
  end
  if status ~= 0 then return only(status) end
  local size = size_of(pool)
  views[target] = { pool = pool, ref = ref, data = data, size = size }
  return answer(0, count("size", size))
end

local function smaller(one, other) return math.ult(one, other) and one or other end

function free.slice(_, name, offset, wanted)
  local view = views[name]
  if not view then return UNSET end
  local from = smaller(number(offset), view.size)
  local size = smaller(number(wanted), view.size - from)
  local bytes = slabby.read_bytes(view.data, from, size)
  return answer(0, count("size", size), member("crc", crc32(bytes)))
end

function free.unview(_, name)
  local view = views[name]
  if not view then return UNSET end
  views[name] = nil
  return only(slabby.unpin(view.pool, view.ref))
end

function free.copy(target, source)
  refs[target] = refs[source] or 0
  return only(0)
end

function free.forge(target, source, kind)
  local ref = refs[source] or 0
  local made = { zero = 0, ones = -1, tag = ref ~ math.mininteger, generation = ref + (1 << 40) }
  refs[target] = made[kind]
  return only(0)
end

-- ------------------------------------------------------------------------- what a reference says

function of_ref.is_valid(_, pool, ref)
  return answer(0, member("valid", slabby.is_valid(pool, ref) ~= 0))
end

function of_ref.id(_, pool, ref, name)
  local status, id = slabby.id(pool, ref)
  if status ~= 0 then return only(status) end
  local seen = seen_of[name]
  if not seen.numbers[id] then
    seen.numbers[id] = seen.size
    seen.size = seen.size + 1
  end
  return answer(0, count("slab", seen.numbers[id]))
end

function of_ref.ref_text(_, pool, ref)
  local status, text = slabby.ref_text(pool, ref)
  if status ~= 0 then return only(status) end
  return answer(0, '"name":"' .. text:match("^(.*):") .. '"')
end

function of_ref.stack(_, pool, ref)
  local status, text = slabby.stack(pool, ref)
  return answer(status, member("empty", text == ""))
end

function of_ref.explain(_, pool, ref, name)
  local status, text = slabby.explain(pool, ref, statuses[name])
  return answer(status, member("empty", text == ""))
end

function of_ref.set_label(_, pool, ref, label) return only(slabby.set_label(pool, ref, number(label))) end

function of_ref.get_label(_, pool, ref)
  local status, label = slabby.get_label(pool, ref)
  return answer(status, count("label", label))
end

-- ----------------------------------------------------------------------------------- the whole pool

local stats, health, memory, live = slabby.stats(), slabby.health(), slabby.memory(), slabby.live()
local findings = slabby.findings_new(CHUNK)
local records, events = slabby.records_new(CHUNK), slabby.events_new(CHUNK)

local PLAIN = {
  "total_slabs", "slab_size", "used_slabs", "available_slabs", "total_allocations",
  "total_deallocations", "fast_allocations", "fast_deallocations", "ref_pool_hits", "utilization_ppm",
  "allocation_errors", "guard_page_violations", "heap_fallbacks", "tier_hits", "corruptions",
  "quarantined_slabs", "retired_slabs", "heap_slabs", "heap_bytes", "waiters",
}

function of_pool.stats(_, pool)
  local status = slabby.get_stats(stats, pool)
  if status ~= 0 then return only(status) end
  local made = {
    utilization_ppm = ppm(stats.memory_utilization),
    tier_hits = stats.pcpu_cache_hits + stats.lock_free_hits + stats.shard_hits + stats.gate_hits +
      stats.guard_hits + stats.heap_fallbacks,
  }
  local members = {}
  for at, name in ipairs(PLAIN) do members[at] = count(name, made[name] or stats[name]) end
  members[#members + 1] = '"breaker_state":"' .. breaker_states[stats.breaker_state] .. '"'
  members[#members + 1] = '"degradation_state":"' .. degradation_states[stats.degradation_state] .. '"'
  members[#members + 1] = '"pool_state":"' .. pool_states[stats.pool_state] .. '"'
  for _, name in ipairs({ "awaited_slabs", "reserved_slabs" }) do
    members[#members + 1] = count(name, stats[name])
  end
  local errors = {}
  for code = 1, 63 do
    local counted = slabby.numbers_getitem(stats.errors, code)
    if counted ~= 0 then errors[slabby.status_name(-code)] = counted end
  end
  errors.InUse, errors.NotSupported = nil, nil
  members[#members + 1] = '"errors":' .. object(errors)
  return answer(0, table.unpack(members))
end

function of_pool.health(_, pool)
  local status = slabby.get_health(health, pool)
  if status ~= 0 then return only(status) end
  return answer(0, count("score_ppm", ppm(health.health_score)),
    count("error_rate_ppm", ppm(health.error_rate)),
    count("breaker_open", health.circuit_breaker_open ~= 0 and 1 or 0))
end

function of_pool.memory(_, pool)
  local status = slabby.get_memory(memory, pool)
  return answer(status, count("slab_bytes", memory.slab_bytes), count("heap_bytes", memory.heap_bytes))
end

function of_pool.stats_json(_, pool)
  local status, text = slabby.stats_json(pool)
  return answer(status, member("used", text:match('"used_slabs":(%d+)')))
end

function of_pool.health_json(_, pool)
  local status, text = slabby.health_json(pool)
  local _, keys = text:gsub('"[%w_]+":', "")
  return answer(status, count("keys", keys))
end

-- Each outstanding slab of a pool, by the cursor.
local function each_live(pool, visit)
  local cursor = 0
  while true do
    local status, found, next_cursor = slabby.live_next(live, cursor, pool)
    if status ~= 0 or found == 0 then return status end
    cursor = next_cursor
    visit(live)
  end
end

function of_pool.live(_, pool)
  local ids, distinct, slabs, pins, labels, states = {}, 0, 0, 0, 0, {}
  local status = each_live(pool, function(slab)
    if not ids[slab.id] then distinct = distinct + 1 end
    ids[slab.id] = true
    slabs, pins, labels = slabs + 1, pins + slab.pins, labels + slab.label
    states[slab.state] = (states[slab.state] or 0) + 1
  end)
  return answer(status, count("count", slabs), count("distinct", distinct),
    count("live", (states[slabby.SLABBY_SLAB_STATE_LIVE] or 0) +
      (states[slabby.SLABBY_SLAB_STATE_GRANTED] or 0)),
    count("live_fast", states[slabby.SLABBY_SLAB_STATE_LIVE_FAST] or 0),
    count("dying", states[slabby.SLABBY_SLAB_STATE_DYING] or 0),
    count("pins", pins), count("labels", labels))
end

function of_pool.verify(_, pool)
  local status, found = slabby.verify(findings, pool, CHUNK)
  local ids, damaged, other = {}, 0, 0
  for at = 0, found - 1 do
    local finding = slabby.findings_at(findings, at)
    if finding.kind ~= slabby.SLABBY_FINDING_KIND_GUARD_BYTES then
      other = other + 1
    elseif not ids[finding.id] then
      ids[finding.id] = true
      damaged = damaged + 1
    end
  end
  return answer(status, count("damaged", damaged), count("other", other))
end

function of_pool.audit(_, pool)
  local cursor, lost, foreign, tally = 0, 0, 0, {}
  while true do
    local status, found, missed, next_cursor = slabby.audit_read(records, cursor, pool, CHUNK)
    if status ~= 0 then return only(status) end
    lost, cursor = lost + missed, next_cursor
    if found == 0 then break end
    for at = 0, found - 1 do
      local record = slabby.records_at(records, at)
      local operation = operations[record.operation]
      if operation == "allocate_wait" then operation = "allocate" end
      if record.binding ~= slabby.SLABBY_BINDING_SWIG then foreign = foreign + 1 end
      if not UNPRINTED[operation] then
        local key = operation .. " " .. slabby.status_name(record.status)
        tally[key] = (tally[key] or 0) + 1
      end
    end
  end
  return answer(0, count("lost", lost), count("foreign", foreign), '"records":' .. object(tally))
end

function of_pool.events(_, pool)
  local cursor, known, codes = 0, {}, {}
  while true do
    local status, found, _, next_cursor = slabby.events_read(events, cursor, pool, CHUNK)
    if status ~= 0 then return only(status) end
    cursor = next_cursor
    if found == 0 then break end
    for at = 0, found - 1 do
      local word = event_codes[slabby.events_at(events, at).code]
      if not known[word] then codes[#codes + 1] = '"' .. word .. '"' end
      known[word] = true
    end
  end
  table.sort(codes)
  return answer(0, '"codes":[' .. table.concat(codes, ",") .. "]")
end

-- -------------------------------------------------------------------------------------- programs

local function release_everything(pool)
  local slabs = {}
  each_live(pool, function(slab)
    slabs[#slabs + 1] = { state = slab.state, id = slab.id, ref = slab.ref, pins = slab.pins }
  end)
  for _, slab in ipairs(slabs) do
    if slab.state == slabby.SLABBY_SLAB_STATE_LIVE_FAST then
      slabby.deallocate_fast(pool, slab.id)
    else
      slabby.release_deferred(pool, slab.ref)
      for _ = 1, slab.pins do slabby.unpin(pool, slab.ref) end
    end
  end
end

local function clean_up()
  for name in pairs(waits) do free.cancel(nil, name) end
  for _, view in pairs(views) do slabby.unpin(view.pool, view.ref) end
  for name, pool in pairs(pools) do
    release_everything(pool)
    if slabby.destroy(pool) ~= 0 then error("a pool could not be destroyed: " .. name) end
  end
  forget()
end

local function execute(line)
  local found, target = {}, nil
  for word in line:gmatch("%S+") do
    if word:sub(1, 1) ~= "@" or #found > 0 then found[#found + 1] = word end
  end
  if found[2] == "=" then target = table.remove(found, 1) table.remove(found, 1) end
  local name = table.remove(found, 1)
  if free[name] then return free[name](target, table.unpack(found)) end
  local pool = pools[found[1]]
  if not pool then return UNSET end
  if of_pool[name] then return of_pool[name](target, pool, table.unpack(found)) end
  local run = of_ref[name] or error("no such instruction: " .. name)
  return run(target, pool, refs[found[2]] or 0, name == "id" and found[1] or found[3])
end

forget()
for line in io.lines() do
  if line:match("^program ") then
    clean_up()
    print('{"program":' .. line:match("%d+") .. "}")
  elseif line:match("%S") and not line:match("^%s*#") then
    print(execute(line))
  end
end
clean_up()
