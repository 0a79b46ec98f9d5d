# SPDX-License-Identifier: GPL-3.0-or-later
"""The model: reads the same programs as the runners and says what they must print (LANGUAGE.md).

model.py < PROGRAMS      prints the expected traces; `slab` numbers in the order of their first use
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable

from model_options import PLAIN_OPTIONS, PRESETS, defaults, named, parsed, refusal
from model_pool import Pool, Slab, Undetermined
from model_refs import ZERO, View
from model_refs import Ref as Ref
from model_waits import Ticket
from enums import CONTRACT, OPTIONS, STATUSES

PERIOD = 251
ROUND = bytes(range(PERIOD))
HEALTH_FIELDS = len(CONTRACT["snapshots"]["health"]["field"])
UNSET = '{"status":"-"}'
OK = '{"status":"OK"}'
LINES = {name: f'{{"status":"{name}"}}' for name in STATUSES}


def show(status: str, **fields: object) -> str:
    return json.dumps({"status": status, **fields}, separators=(",", ":"))


def pattern(seed: int, size: int) -> bytes:
    start = seed % PERIOD
    return (ROUND * ((size + start) // PERIOD + 1))[start : start + size]


class Machine:
    """The registers, and one method an instruction."""

    def __init__(self) -> None:
        self.pools: dict[int, Pool] = {}
        self.refs: dict[int, Ref] = {}
        self.fasts: dict[int, Slab] = {}
        self.views: dict[int, View] = {}
        self.waits: dict[int, Ticket] = {}
        self.observed: str | None = None

    def step(self, line: str, observed: str | None = None) -> str:
        """What one instruction prints. `observed` is what a binding printed, for what the design leaves open."""
        tokens = line.split()
        if tokens[0][0] == "@":
            del tokens[0]
        target = ""
        if len(tokens) > 2 and tokens[1] == "=":
            target = tokens[0]
            del tokens[:2]
        self.observed = observed
        operation: Callable[..., str] = getattr(self, f"do_{tokens[0]}")
        return operation(target, *tokens[1:])

    def _live(self, pool: Pool, ref: Ref, stale: str) -> Slab | str:
        """The live slab a reference names in a pool, or why it names none."""
        slab = self._issued(pool, ref)
        if slab is None:
            return "InvalidReference"
        return slab if slab.state == "live" else stale

    @staticmethod
    def _issued(pool: Pool, ref: Ref) -> Slab | None:
        """The allocation that a reference was issued for by this pool."""
        slab = ref.slab
        if slab is None:
            if ref.tag and not ref.ones:
                raise Undetermined("a number that may carry the pool's tag")
            return None
        if slab.pool is not pool:
            if not slab.pool.exists or ref.tag:
                raise Undetermined("a reference of a destroyed pool")
            return None
        return None if ref.forged else slab

    def _both(self, pool: str, ref: str) -> tuple[Pool, Ref] | None:
        found = self.pools.get(int(pool[1:]))
        return None if found is None else (found, self.refs.get(int(ref[1:]), ZERO))

    # --------------------------------------------------------------------------------- a pool's life

    def do_library(self, target: str) -> str:
        library = CONTRACT["library"]
        return show("OK", version=library["version"], abi=library["abi_version"])

    def do_create(self, target: str, size: str, capacity: str, *options: str) -> str:
        key = int(target[1:])
        if key in self.pools:
            return UNSET
        values = defaults()
        pool_name = ""
        for option in options:
            name, text = option.split("=", 1)
            if name == "name":
                pool_name = text
                continue
            if name == "preset":
                preset = PRESETS.get(text)
                if preset is None:
                    return LINES["InvalidOption"]
                if not preset:
                    values, pool_name = defaults(), ""
                values |= preset
                continue
            value = parsed(name, text)
            if value is None:
                return LINES["InvalidOption"]
            values[name] = value
        status = refusal(int(size), int(capacity), values)
        if status is None:
            self.pools[key] = Pool(int(size), int(capacity), values, pool_name)
        return LINES[status or "OK"]

    def do_adopt(self, target: str, source: str) -> str:
        pool = self.pools.get(int(source[1:]))
        if pool is None or int(target[1:]) in self.pools:
            return UNSET
        pool.owners += 1
        self.pools[int(target[1:])] = pool
        return OK

    def do_close(self, target: str, pool: str) -> str:
        found = self.pools.get(int(pool[1:]))
        return UNSET if found is None else LINES[found.close()]

    def do_destroy(self, target: str, pool: str) -> str:
        key = int(pool[1:])
        found = self.pools.get(key)
        if found is None:
            return UNSET
        status = found.destroy()
        if status == "OK":
            del self.pools[key]
        return LINES[status]

    def do_reset(self, target: str, pool: str) -> str:
        found = self.pools.get(int(pool[1:]))
        return UNSET if found is None else LINES[found.reset()]

    # -------------------------------------------------------------------------- allocate and release

    def _allocate(self, target: str, pool: str, operation: str, count: int, timeout: bool) -> str:
        found = self.pools.get(int(pool[1:]))
        if found is None:
            return UNSET
        slabs = found.allocate(operation, count, timeout)
        if isinstance(slabs, str):
            return LINES[slabs]
        for key, slab in enumerate(slabs, int(target[1:])):
            if target[0] == "f":
                self.fasts[key] = slab
            else:
                self.refs[key] = Ref(slab)
        return OK

    def do_allocate(self, target: str, pool: str) -> str:
        return self._allocate(target, pool, "allocate", 1, False)

    def do_allocate_timeout(self, target: str, pool: str, timeout: str) -> str:
        return self._allocate(target, pool, "allocate", 1, int(timeout) > 0)

    def do_allocate_batch(self, target: str, pool: str, count: str) -> str:
        return self._allocate(target, pool, "allocate_batch", int(count), False)

    def do_allocate_fast(self, target: str, pool: str) -> str:
        return self._allocate(target, pool, "allocate_fast", 1, False)

    def do_deallocate_fast(self, target: str, pool: str, fast: str) -> str:
        found, slab = self.pools.get(int(pool[1:])), self.fasts.get(int(fast[1:]))
        if found is None or slab is None:
            return UNSET
        if slab.pool is not found:
            raise Undetermined("a fast id of another pool")
        return LINES[found.deallocate_fast(slab)]

    def do_release(self, target: str, pool: str, ref: str) -> str:
        both = self._both(pool, ref)
        if both is None:
            return UNSET
        return LINES[both[0].release(self._live(*both, "DoubleDeallocation"))]

    def do_release_deferred(self, target: str, pool: str, ref: str) -> str:
        both = self._both(pool, ref)
        if both is None:
            return UNSET
        return LINES[both[0].release_deferred(self._live(*both, "DoubleDeallocation"))]

    def do_release_batch(self, target: str, pool: str, *refs: str) -> str:
        found = self.pools.get(int(pool[1:]))
        if found is None:
            return UNSET
        found.check_resize()
        values = [self.refs.get(int(ref[1:]), ZERO) for ref in refs]
        for value in values:
            self._issued(found, value)  # what is undetermined is refused before anything happens
        statuses = [found.release(self._live(found, ref, "DoubleDeallocation")) for ref in values]
        first = next((status for status in statuses if status != "OK"), "OK")
        return show(first, released=statuses.count("OK"))

    # --------------------------------------------------------------------------------------- waiting

    def do_wait(self, target: str, pool: str) -> str:
        found, key = self.pools.get(int(pool[1:])), int(target[1:])
        if found is None or key in self.waits:
            return UNSET
        ticket = found.wait()
        if isinstance(ticket, str):
            return LINES[ticket]
        self.waits[key] = ticket
        return OK

    def do_collect(self, target: str, wait: str) -> str:
        ticket = self.waits.get(int(wait[1:]))
        if ticket is None:
            return UNSET
        slab = ticket.pool.collect(ticket)
        if slab is None:
            return show("OK", granted=False)
        del self.waits[int(wait[1:])]
        if isinstance(slab, str):
            return LINES[slab]
        self.refs[int(target[1:])] = Ref(slab)
        return show("OK", granted=True)

    def do_cancel(self, target: str, wait: str) -> str:
        ticket = self.waits.get(int(wait[1:]))
        if ticket is None:
            return UNSET
        granted = ticket.pool.cancel(ticket)
        del self.waits[int(wait[1:])]
        return show("OK", granted=granted)

    # ----------------------------------------------------------------------------------------- bytes

    def _reach(self, pool: str, ref: str) -> Slab | str:
        """The slab behind a successful look at its bytes, or the line of the refusal."""
        both = self._both(pool, ref)
        if both is None:
            return UNSET
        slab = self._live(*both, "UseAfterFree")
        return LINES[both[0].reported("access", slab)] if isinstance(slab, str) else slab

    def do_write(self, target: str, pool: str, ref: str, seed: str) -> str:
        slab = self._reach(pool, ref)
        if isinstance(slab, str):
            return slab
        slab.content = pattern(int(seed), slab.pool.size)
        return OK

    def do_digest(self, target: str, pool: str, ref: str) -> str:
        slab = self._reach(pool, ref)
        return slab if isinstance(slab, str) else f'{{"status":"OK","crc":{crc(slab)}}}'

    def do_flip(self, target: str, pool: str, ref: str, offset: str) -> str:
        slab = self._reach(pool, ref)
        if isinstance(slab, str):
            return slab
        at, size, values = int(offset), slab.pool.size, slab.pool.values
        if 0 <= at < size:
            if slab.content is None:
                raise Undetermined("bytes that nobody wrote")
            changed = bytearray(slab.content)
            changed[at] ^= 90
            slab.content = bytes(changed)
            return OK
        if not values["bit_guard"] or values["guard_pages"] or values["guard_sample_rate"]:
            raise Undetermined("bytes beside the slab without a pattern there")
        if not -8 <= at < size + 8:
            raise Undetermined("bytes beyond the pattern")
        if slab.damage.pop(at, None) is None:
            slab.damage[at] = 90
        return OK

    def _fast(self, pool: str, fast: str) -> Slab | None:
        found, slab = self.pools.get(int(pool[1:])), self.fasts.get(int(fast[1:]))
        if found is None or slab is None:
            return None
        if slab.state != "live" or slab.pool is not found:
            raise Undetermined("bytes of a fast slab that was given back")
        return slab

    def do_write_fast(self, target: str, pool: str, fast: str, seed: str) -> str:
        slab = self._fast(pool, fast)
        if slab is None:
            return UNSET
        slab.content = pattern(int(seed), slab.pool.size)
        return OK

    def do_digest_fast(self, target: str, pool: str, fast: str) -> str:
        slab = self._fast(pool, fast)
        return UNSET if slab is None else f'{{"status":"OK","crc":{crc(slab)}}}'

    # ----------------------------------------------------------------------------------------- views

    def do_view(self, target: str, pool: str, ref: str) -> str:
        both = self._both(pool, ref)
        if both is None or int(target[1:]) in self.views:
            return UNSET
        slab = self._live(*both, "UseAfterFree")
        status = both[0].pin(slab)
        if isinstance(slab, str):
            return LINES[status]
        self.views[int(target[1:])] = View(both[1], slab)
        return f'{{"status":"OK","size":{slab.pool.size}}}'

    def do_slice(self, target: str, view: str, offset: str, count: str) -> str:
        found = self.views.get(int(view[1:]))
        if found is None:
            return UNSET
        if found.slab.state == "gone" or found.slab.content is None:
            raise Undetermined("bytes that nobody wrote, or that are somebody else's")
        part = found.slab.content[int(offset) : int(offset) + int(count)]
        return f'{{"status":"OK","size":{len(part)},"crc":{zlib.crc32(part)}}}'

    def _unpin(self, pool: Pool, ref: Ref) -> str:
        slab = self._issued(pool, ref)
        if slab is None:
            return LINES[pool.unpin("InvalidReference")]
        return LINES[pool.unpin("UseAfterFree" if slab.state == "gone" else slab)]

    def do_unview(self, target: str, view: str) -> str:
        found = self.views.get(int(view[1:]))
        if found is None:
            return UNSET
        if not found.slab.pool.exists:
            raise Undetermined("a view of a destroyed pool")
        line = self._unpin(found.slab.pool, found.ref)
        del self.views[int(view[1:])]
        return line

    def do_pin(self, target: str, pool: str, ref: str) -> str:
        both = self._both(pool, ref)
        return UNSET if both is None else LINES[both[0].pin(self._live(*both, "UseAfterFree"))]

    def do_unpin(self, target: str, pool: str, ref: str) -> str:
        both = self._both(pool, ref)
        return UNSET if both is None else self._unpin(*both)

    # ------------------------------------------------------------------------- what a reference says

    def do_is_valid(self, target: str, pool: str, ref: str) -> str:
        both = self._both(pool, ref)
        if both is None:
            return UNSET
        valid = not isinstance(self._live(*both, ""), str)
        return show("OK", valid=valid)

    def do_id(self, target: str, pool: str, ref: str) -> str:
        both = self._both(pool, ref)
        if both is None:
            return UNSET
        found, value = both
        slab = self._issued(found, value)
        if slab is None:
            return LINES[found.reported("access", "InvalidReference")]
        if not found.numbered:
            raise Undetermined("which slab it is")
        return show("OK", slab=self._number(found, slab))

    def _number(self, pool: Pool, slab: Slab) -> object:
        """The number a binding printed, if the laws allow it; what they want instead."""
        if slab.number is not None:
            return slab.number
        seen = None if self.observed is None else json.loads(self.observed).get("slab")
        number = pool.numbers if seen is None else seen
        if not isinstance(number, int) or not 0 <= number <= pool.numbers:
            return f"a number from 0 to {pool.numbers}"
        if slab.state != "gone" and any(other.number == number for other in pool.slabs.values()):
            return "a slab that is nobody else's"
        pool.numbers = max(pool.numbers, number + 1)
        slab.number = number
        return number

    def do_size(self, target: str, pool: str) -> str:
        found = self.pools.get(int(pool[1:]))
        return UNSET if found is None else show("OK", size=found.size)

    def do_ref_text(self, target: str, pool: str, ref: str) -> str:
        both = self._both(pool, ref)
        if both is None:
            return UNSET
        found, value = both
        if self._issued(found, value) is None:
            return LINES[found.reported("access", "InvalidReference")]
        if not found.name:
            raise Undetermined("the name of a pool that was given none")
        return show("OK", name=found.name)

    def do_stack(self, target: str, pool: str, ref: str) -> str:
        both = self._both(pool, ref)
        if both is None:
            return UNSET
        found, value = both
        slab = self._issued(found, value)
        if slab is None:
            return LINES[found.reported("access", "InvalidReference")]
        if found.values["guard_sample_rate"]:
            raise Undetermined("a sampled allocation keeps its stack")
        if found.debug_ever and found.degradation.thins:
            raise Undetermined("whether a stack was left out")
        if found.debug_ever and not (slab.state == "live" and slab.stack and found.debug):
            raise Undetermined("whether a stack was kept")
        return show("OK", empty=not found.debug_ever)

    def do_explain(self, target: str, pool: str, ref: str, status: str) -> str:
        return UNSET if self._both(pool, ref) is None else show("OK", empty=False)

    def do_set_label(self, target: str, pool: str, ref: str, label: str) -> str:
        slab = self._reach(pool, ref)
        if isinstance(slab, str):
            return slab
        slab.label = int(label)
        return OK

    def do_get_label(self, target: str, pool: str, ref: str) -> str:
        slab = self._reach(pool, ref)
        return slab if isinstance(slab, str) else show("OK", label=slab.label)

    def do_copy(self, target: str, ref: str) -> str:
        self.refs[int(target[1:])] = self.refs.get(int(ref[1:]), ZERO)
        return OK

    def do_forge(self, target: str, ref: str, kind: str) -> str:
        value = self.refs.get(int(ref[1:]), ZERO)
        self.refs[int(target[1:])] = {
            "zero": ZERO,
            "ones": Ref(None, ones=True),
            "tag": value._replace(tag=not value.tag),
            "generation": value._replace(generation=value.generation + 1),
        }[kind]
        return OK

    # --------------------------------------------------------------------------- the pool as a whole

    def do_set_option(self, target: str, pool: str, option: str, value: str) -> str:
        found = self.pools.get(int(pool[1:]))
        return UNSET if found is None else LINES[found.set_option(named(option), int(value))]

    def do_get_option(self, target: str, pool: str, option: str) -> str:
        found = self.pools.get(int(pool[1:]))
        if found is None:
            return UNSET
        name = named(option)
        if name not in OPTIONS:
            found.errors["InvalidOption"] += 1
            return LINES["InvalidOption"]
        if name == "latency_tracking" and found.degradation.thins:
            raise Undetermined("whether latencies are measured while degraded")
        if name not in PLAIN_OPTIONS:
            raise Undetermined(f"the value in effect of {name}")
        return show(
            "OK", value=found.heap_limit if name == "heap_fallback_limit" else found.values[name]
        )

    def do_breaker(self, target: str, pool: str, mode: str) -> str:
        found = self.pools.get(int(pool[1:]))
        return UNSET if found is None else LINES[found.force_breaker(int(mode))]

    def do_resize(self, target: str, pool: str, capacity: str) -> str:
        found = self.pools.get(int(pool[1:]))
        if found is None:
            return UNSET
        status = found.resize(int(capacity))
        return show("OK", awaited=found.awaited()) if status == "OK" else LINES[status]

    def do_sleep(self, target: str, duration: str) -> str:
        for pool in self.pools.values():
            pool.breaker.slept(int(duration))
        return OK

    def do_trim(self, target: str, pool: str) -> str:
        found = self.pools.get(int(pool[1:]))
        return UNSET if found is None else LINES[found.reported("trim", "OK")]

    def do_reclaim(self, target: str, pool: str) -> str:
        found = self.pools.get(int(pool[1:]))
        return UNSET if found is None else show("OK", count=found.reclaim())

    def do_health_tick(self, target: str, pool: str) -> str:
        found = self.pools.get(int(pool[1:]))
        if found is None:
            return UNSET
        found.tick()
        return OK

    def do_stats(self, target: str, pool: str) -> str:
        found = self.pools.get(int(pool[1:]))
        return UNSET if found is None else show("OK", **dict(found.stats()))

    def do_health(self, target: str, pool: str) -> str:
        found = self.pools.get(int(pool[1:]))
        return UNSET if found is None else show("OK", **dict(found.health()))

    def do_memory(self, target: str, pool: str) -> str:
        found = self.pools.get(int(pool[1:]))
        if found is None:
            return UNSET
        return show(
            "OK", slab_bytes=found.capacity * found.size, heap_bytes=found.heap_live * found.size
        )

    def do_stats_json(self, target: str, pool: str) -> str:
        found = self.pools.get(int(pool[1:]))
        return UNSET if found is None else show("OK", used=found.used)

    def do_health_json(self, target: str, pool: str) -> str:
        return UNSET if int(pool[1:]) not in self.pools else show("OK", keys=HEALTH_FIELDS)

    # ------------------------------------------------------------------------------- looking inside

    def do_live(self, target: str, pool: str) -> str:
        found = self.pools.get(int(pool[1:]))
        if found is None:
            return UNSET
        slabs = list(found.slabs.values())
        fast = sum(slab.fast for slab in slabs)
        dying = sum(slab.state == "dying" for slab in slabs)
        return show(
            "OK",
            count=len(slabs),
            distinct=len(slabs),
            live=len(slabs) - fast - dying,
            live_fast=fast,
            dying=dying,
            pins=sum(slab.pins for slab in slabs),
            labels=sum(slab.label for slab in slabs) % 2**64,
        )

    def do_verify(self, target: str, pool: str) -> str:
        found = self.pools.get(int(pool[1:]))
        if found is None:
            return UNSET
        damaged = sum(1 for slab in found.slabs.values() if slab.damage)
        return show("OK", damaged=damaged, other=0)

    def do_audit(self, target: str, pool: str) -> str:
        found = self.pools.get(int(pool[1:]))
        if found is None:
            return UNSET
        stored = found.values["audit"]
        if stored == 0:
            return LINES["NotSupported"]
        found.queue.must_be_collected("which records there are")
        found.queue.must_be_counted("which records there are")
        if found.degradation.thins:
            raise Undetermined("records that may have been left out")
        if found.records.total() + 16 > stored:
            raise Undetermined("records that may have been overwritten")
        return show("OK", lost=0, foreign=0, records=dict(sorted(found.records.items())))

    def do_events(self, target: str, pool: str) -> str:
        found = self.pools.get(int(pool[1:]))
        if found is None:
            return UNSET
        if found.degradation.perhaps and not found.degradation.stepped:
            raise Undetermined("whether a step was taken")
        steps = {"degradation"} if found.degradation.stepped else set()
        return show("OK", codes=sorted(found.codes | steps))


def crc(slab: Slab) -> int:
    if slab.content is None:
        raise Undetermined("bytes that nobody wrote")
    return zlib.crc32(slab.content)


def main() -> int:
    machine = Machine()
    for line in sys.stdin:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line.startswith("program "):
            machine = Machine()
            print(f'{{"program":{int(line.split()[1])}}}')
        else:
            print(machine.step(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
