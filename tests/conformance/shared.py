# SPDX-License-Identifier: GPL-3.0-or-later
"""Mode B: C, Python over CFFI, Python over SWIG and Go carry out one program on the same pools, in one process.

    shared.py < PROGRAMS      each instruction by the binding that its @BINDING names, c where there is none

References and ids of fast slabs are plain numbers that go from binding to binding. A pool is adopted by each binding
that touches it. What only one binding can hold stays with it: a view is sliced and given back, and the bytes of a fast
slab are used, by the binding that has them. `destroy` is that of the language's bindings that only close, and then
every binding drops its owners: the core must have let go of the pool, or this ends with an error.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from shared_bindings import UNSET, CBinding, Core, Binding, GoBinding, PythonBinding

FOREIGN = re.compile(r'"foreign":\d+')
SLAB = re.compile(r'"slab":\d+')
STATUS = re.compile(r'\{"status":"([^"]*)"')
# Programs between two collections of Go's, whose dropped objects know places of the core's table.
COLLECT = 200


class Process:
    """The registers that all bindings see."""

    def __init__(self) -> None:
        self.core = Core()
        self.bindings: dict[str, Binding] = {
            "c": CBinding(self.core),
            "cffi": PythonBinding(self.core, "cffi"),
            "swig": PythonBinding(self.core, "swig"),
            "go": (go := GoBinding(self.core)),
        }
        self.go = go
        self.programs = 0
        self.begin()

    def begin(self) -> None:
        self.pools: dict[str, int] = {}
        self.refs: dict[str, int] = {}
        self.fasts: dict[str, tuple[str, int]] = {}
        self.views: dict[str, str] = {}
        self.waits: dict[str, tuple[str, int]] = {}
        self.seen: dict[int, dict[int, int]] = {}
        self.makers: dict[int, str] = {}
        for binding in self.bindings.values():
            binding.new()

    def step(self, line: str) -> str:
        words = line.split()
        name = words.pop(0)[1:] if words[0][0] == "@" else "c"
        target = words[0] if len(words) > 2 and words[1] == "=" else ""
        body = words[2:] if target else words
        special = getattr(self, f"do_{body[0]}", None)
        if special is not None:
            answer: str = special(name, target, body)
            return answer
        return self._by(name, target, body)

    # ---------------------------------------------------------------- an instruction by one binding

    def _by(self, name: str, target: str, body: list[str]) -> str:
        binding = self.bindings[name]
        for word in body[1:]:
            if word[0] == "p" and word in self.pools and not binding.has(word):
                binding.join(word, self.pools[word])
            elif word[0] == "r" and word[1:].isdigit():
                binding.set_ref(word, self.refs.get(word, 0))
        line = binding.run(" ".join((target, "=", *body) if target else body))
        if line.startswith('{"status":"OK"') and target[:1] == "r":
            count = int(body[2]) if body[0] == "allocate_batch" else 1
            first = int(target[1:])
            for register in (f"r{first + at}" for at in range(count)):
                self.refs[register] = binding.ref(register)
        return line

    def do_create(self, name: str, target: str, body: list[str]) -> str:
        if target in self.pools:
            return UNSET
        line = self._by(name, target, body)
        if line.startswith('{"status":"OK"'):
            address = self.pools[target] = self.bindings[name].address(target)
            self.seen[address] = {}
            self.makers[address] = name
        return line

    def do_adopt(self, name: str, target: str, body: list[str]) -> str:
        if target in self.pools or body[1] not in self.pools:
            return UNSET
        line = self._by(name, target, body)
        if line.startswith('{"status":"OK"'):
            self.pools[target] = self.bindings[name].address(target)
        return line

    def do_destroy(self, name: str, target: str, body: list[str]) -> str:
        register = body[1]
        address = self.pools.get(register)
        if address is None:
            return UNSET
        if list(self.pools.values()).count(address) > 1:
            for binding in self.bindings.values():
                if binding.has(register):
                    binding.leave(register)
            del self.pools[register]
            return '{"status":"OK"}'
        if self.core.slabs_out(address):
            return '{"status":"InUse"}'
        self._end(address)
        return '{"status":"OK"}'

    def _end(self, address: int) -> None:
        """The pool's last register goes: no binding may keep an owner."""
        for binding in self.bindings.values():
            binding.end(address)
        for binding in self.bindings.values():
            binding.forget(address)
        if self.core.exists(address):
            raise RuntimeError("a binding kept an owner of a pool that every binding gave up")
        for register in [r for r, where in self.pools.items() if where == address]:
            del self.pools[register]

    # ------------------------------------------------------------ what one binding holds for the others

    def do_view(self, name: str, target: str, body: list[str]) -> str:
        if target in self.views:
            return UNSET
        line = self._by(name, target, body)
        if self.bindings[name].viewed(target):
            self.views[target] = name
        return line

    def do_slice(self, name: str, target: str, body: list[str]) -> str:
        owner = self.views.get(body[1])
        return UNSET if owner is None else self._by(owner, target, body)

    def do_unview(self, name: str, target: str, body: list[str]) -> str:
        owner = self.views.pop(body[1], None)
        return UNSET if owner is None else self._by(owner, target, body)

    def do_allocate_fast(self, name: str, target: str, body: list[str]) -> str:
        line = self._by(name, target, body)
        if line.startswith('{"status":"OK"'):
            self.fasts[target] = (name, self.bindings[name].fast(target))
        return line

    def do_deallocate_fast(self, name: str, target: str, body: list[str]) -> str:
        if body[2] not in self.fasts:
            return UNSET
        owner, number = self.fasts[body[2]]
        if owner != name:
            self.bindings[name].set_fast(body[2], number)
        line = self._by(name, target, body)
        match = STATUS.match(line)
        if match and match[1] in ("OK", "MemoryCorruption"):
            self.bindings[owner].set_fast(body[2], number)
        return line

    def _fast_bytes(self, name: str, target: str, body: list[str]) -> str:
        if body[2] not in self.fasts:
            return UNSET
        return self._by(self.fasts[body[2]][0], target, body)

    do_write_fast = do_digest_fast = _fast_bytes

    # ----------------------------------------------------------------------------------------- waiting

    def _await_grants(self, address: int) -> None:
        """Every grant is taken, and Go's goroutines have theirs: they run while the others take turns."""
        self.go.await_grants(
            address, sum(binding.waiting(address) for binding in self.bindings.values())
        )

    def do_wait(self, name: str, target: str, body: list[str]) -> str:
        if target in self.waits:
            return UNSET
        line = self._by(name, target, body)
        if line.startswith('{"status":"OK"'):
            self.waits[target] = (name, self.pools[body[1]])
        return line

    def _end_wait(self, target: str, body: list[str]) -> str:
        """By the binding whose wait it is."""
        if body[1] not in self.waits:
            return UNSET
        owner, address = self.waits[body[1]]
        self._await_grants(address)
        if target:
            self.bindings[owner].set_ref(target, self.refs.get(target, 0))
        line = self._by(owner, target, body)
        if body[0] == "cancel" or line != '{"status":"OK","granted":false}':
            del self.waits[body[1]]
        return line

    def do_collect(self, name: str, target: str, body: list[str]) -> str:
        return self._end_wait(target, body)

    def do_cancel(self, name: str, target: str, body: list[str]) -> str:
        return self._end_wait(target, body)

    def _settled(self, name: str, target: str, body: list[str]) -> str:
        if body[1] in self.pools:
            self._await_grants(self.pools[body[1]])
        return self._by(name, target, body)

    do_live = do_stats = _settled

    # ------------------------------------------------------------------ what the bindings see together

    def do_id(self, name: str, target: str, body: list[str]) -> str:
        """First seen by any binding."""
        line = self._by(name, target, body)
        if not SLAB.search(line):
            return line
        address = self.pools[body[1]]
        seen = self.seen[address]
        number = self.core.slab_id(address, self.refs.get(body[2], 0))
        return SLAB.sub(f'"slab":{seen.setdefault(number, len(seen))}', line)

    def do_audit(self, name: str, target: str, body: list[str]) -> str:
        """A pool's records carry the binding that made it, in each reader's language."""
        line = self._by(name, target, body)
        if self.makers.get(self.pools.get(body[1], 0)) == name:
            return line
        return FOREIGN.sub('"foreign":0', line)

    # ------------------------------------------------------------------------- the end of a program

    def clean_up(self) -> None:
        for register in list(self.waits):
            self._end_wait("", ["cancel", register])
        for register in sorted(self.views, key=lambda register: int(register[1:])):
            self._by(self.views[register], "", ["unview", register])
        self.views.clear()
        for address in set(self.pools.values()):
            self.core.release_everything(address)
            for binding in self.bindings.values():
                binding.finish()
            self._end(address)
        self.begin()
        self.programs += 1
        if self.programs % COLLECT == 0:
            for binding in self.bindings.values():
                binding.collect()


def run(process: Process, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith("program "):
            process.clean_up()
            yield f'{{"program":{int(line.split()[1])}}}'
        elif line.strip() and line[0] != "#":
            yield process.step(line)
    process.clean_up()


def main() -> int:
    process = Process()
    process.core.check_alone(process.bindings.values())
    for trace in run(process, sys.stdin):
        print(trace)
    process.core.check_alone(process.bindings.values())
    return 0


if __name__ == "__main__":
    sys.exit(main())
