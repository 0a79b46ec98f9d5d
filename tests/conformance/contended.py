# SPDX-License-Identifier: GPL-3.0-or-later
"""All bindings at once: each drives one pool from a thread of its own, and the laws are checked whenever they meet.

    contended.py [--seed S] [--rounds N] [--length L]

In a round every binding carries out random instructions on slabs that it holds, all at the same time. A binding never holds
more than its share of the pool, so that OutOfMemory is a fault (law 1); what it wrote it must read again, so that a
slab in two hands shows (law 3); each reference is released once with OK and then refused (law 2). Between rounds the
bindings stand still: the core verifies itself, the counters must agree with what the bindings hold (law 6), no two slabs
share an id, and the references change hands.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
import zlib
from dataclasses import dataclass, field

from shared_bindings import CBinding, Core, Binding, GoBinding, PythonBinding

import slabby

SIZE = 256
SHARE = 24
FAST = 4
PERIOD = bytes(range(251)) * 3
OK = '{"status":"OK"}'
OPTIONS = "audit=1024 bit_guard=on", "per_cpu_cache=off", "secure=on", "cpu_cache_backend=portable"


class Broken(Exception):
    """A law that does not hold."""


@dataclass
class Held:
    """A reference in a binding's hands: the seed of what was written, or None; its pins."""

    ref: int
    seed: int | None = None
    pins: int = 0


@dataclass
class Member:
    """A binding, its registers and its own dice."""

    name: str
    binding: Binding
    dice: random.Random
    held: dict[str, Held] = field(default_factory=dict)
    fasts: set[str] = field(default_factory=set)
    allocated: int = 0
    fault: BaseException | None = None

    def expect(self, line: str, wanted: str) -> None:
        printed = self.binding.run(line)
        if printed != wanted:
            raise Broken(f"{self.name}: {line}: printed {printed}, wanted {wanted}")

    def free_register(self, kind: str, taken: object, limit: int) -> str | None:
        names = [name for name in (f"{kind}{at}" for at in range(limit)) if name not in taken]  # type: ignore[operator]
        return self.dice.choice(names) if names else None

    def allocate(self) -> None:
        register = self.free_register("r", self.held, SHARE)
        if register is None:
            return
        wait = self.dice.random() < 0.1
        line = (
            f"{register} = allocate_timeout p0 60000000000" if wait else f"{register} = allocate p0"
        )
        self.expect(line, OK)
        self.held[register] = Held(self.binding.ref(register))
        self.allocated += 1

    def release(self, register: str) -> None:
        held = self.held[register]
        if held.pins:
            self.expect(f"release p0 {register}", '{"status":"Pinned"}')
            return
        call = "release_deferred" if self.dice.random() < 0.3 else "release"
        self.expect(f"{call} p0 {register}", OK)
        self.expect(f"release p0 {register}", '{"status":"DoubleDeallocation"}')
        self.expect(f"digest p0 {register}", '{"status":"UseAfterFree"}')
        del self.held[register]

    def touch(self, register: str) -> None:
        """Reads what was written, writes anew, pins or unpins."""
        held = self.held[register]
        if held.seed is not None:
            crc = zlib.crc32(PERIOD[held.seed : held.seed + SIZE])
            self.expect(f"digest p0 {register}", f'{{"status":"OK","crc":{crc}}}')
        held.seed = self.dice.randrange(251)
        self.expect(f"write p0 {register} {held.seed}", OK)
        if held.pins and self.dice.random() < 0.7:
            self.expect(f"unpin p0 {register}", OK)
            held.pins -= 1
        elif self.dice.random() < 0.3:
            self.expect(f"pin p0 {register}", OK)
            held.pins += 1

    def fast(self) -> None:
        register = self.free_register("f", self.fasts, FAST)
        if register is not None:
            self.expect(f"{register} = allocate_fast p0", OK)
            self.expect(f"write_fast p0 {register} 5", OK)
            self.fasts.add(register)
            self.allocated += 1
        else:
            self.fasts_down(1)

    def fasts_down(self, count: int) -> None:
        for register in sorted(self.fasts)[:count]:
            crc = zlib.crc32(PERIOD[5 : 5 + SIZE])
            self.expect(f"digest_fast p0 {register}", f'{{"status":"OK","crc":{crc}}}')
            self.expect(f"deallocate_fast p0 {register}", OK)
            self.fasts.discard(register)

    def round(self, length: int) -> None:
        try:
            for _ in range(length):
                at = self.dice.random()
                register = self.dice.choice(sorted(self.held)) if self.held else None
                if at < 0.4 or register is None:
                    self.allocate()
                elif at < 0.6:
                    self.release(register)
                elif at < 0.9:
                    self.touch(register)
                else:
                    self.fast()
        except BaseException as fault:
            self.fault = fault

    def leave(self) -> None:
        self.fasts_down(FAST)
        for register, held in list(self.held.items()):
            while held.pins:
                self.expect(f"unpin p0 {register}", OK)
                held.pins -= 1
            self.release(register)


class Contended:
    """Four bindings on one pool."""

    def __init__(self, seed: int, core: Core, bindings: dict[str, Binding]) -> None:
        self.dice = random.Random(seed)
        self.core = core
        self.members = [
            Member(name, binding, random.Random(f"{seed}/{name}")) for name, binding in bindings.items()
        ]
        options = self.dice.choice(OPTIONS)
        capacity = len(self.members) * (SHARE + FAST)
        maker = self.dice.choice(self.members).binding
        for member in self.members:
            member.binding.new()
        if maker.run(f"p0 = create {SIZE} {capacity} {options}") != OK:
            raise Broken("no pool")
        self.address = maker.address("p0")
        for member in self.members:
            if not member.binding.has("p0"):
                member.binding.join("p0", self.address)
        self.pool = slabby.Allocator.adopt(self.address, core.instance)

    def round(self, length: int) -> None:
        threads = [threading.Thread(target=member.round, args=(length,)) for member in self.members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for member in self.members:
            if member.fault is not None:
                raise member.fault
        self.check()
        self.exchange()

    def check(self) -> None:
        """Nobody is inside a call."""
        held = [each.ref for member in self.members for each in member.held.values()]
        fasts = sum(len(member.fasts) for member in self.members)
        stats = self.pool.stats()
        live = list(self.pool.live())
        allocated = sum(member.allocated for member in self.members)
        facts = {
            "findings": (self.pool.verify(), []),
            "used slabs": (stats.used_slabs, len(held) + fasts),
            "free slabs": (stats.available_slabs, stats.total_slabs - len(held) - fasts),
            "allocations": (stats.total_allocations, allocated),
            "releases": (stats.total_deallocations, allocated - len(held) - fasts),
            "failures": (stats.allocation_errors, 0),
            "references": (sorted(slab.ref for slab in live if slab.ref), sorted(held)),
            "ids": (len({slab.id for slab in live}), len(held) + fasts),
        }
        for what, (found, wanted) in facts.items():
            if found != wanted:
                raise Broken(f"{what}: found {found}, wanted {wanted}")

    def exchange(self) -> None:
        """Each binding gets as many references as it had, but others."""
        everything = [each for member in self.members for each in member.held.values()]
        self.dice.shuffle(everything)
        for member in self.members:
            for register in member.held:
                member.held[register] = everything.pop()
                member.binding.set_ref(register, member.held[register].ref)

    def end(self) -> None:
        for member in self.members:
            member.leave()
        self.check()
        self.pool.close()
        del self.pool
        for member in self.members:
            member.binding.end(self.address)
        for member in self.members:
            member.binding.forget(self.address)
        if self.core.exists(self.address):
            raise Broken("a binding kept an owner of the pool")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pools", type=int, default=4, help="pools, one after the other")
    parser.add_argument("--rounds", type=int, default=5, help="meetings of a pool")
    parser.add_argument("--length", type=int, default=500, help="instructions of a binding in a round")
    arguments = parser.parse_args()
    core = Core()
    bindings: dict[str, Binding] = {
        "c": CBinding(core),
        "cffi": PythonBinding(core, "cffi"),
        "swig": PythonBinding(core, "swig"),
        "go": GoBinding(core),
    }
    core.check_alone(bindings.values())
    started = time.monotonic()
    for number in range(arguments.pools):
        seed = arguments.seed + number
        contended = Contended(seed, core, bindings)
        try:
            for _ in range(arguments.rounds):
                contended.round(arguments.length)
            contended.end()
        except Broken as broken:
            print(f"seed {seed}: {broken}")
            return 1
    instructions = arguments.pools * arguments.rounds * arguments.length
    print(
        f"seed {arguments.seed}: {arguments.pools} pools, {instructions} steps of each binding at once, "
        f"{', '.join(bindings)}: every law held ({time.monotonic() - started:.0f} s)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
