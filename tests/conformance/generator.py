# SPDX-License-Identifier: GPL-3.0-or-later
"""Random programs, each with the trace that the model expects.

Program N of a seed is always the same, whatever was generated before it. About one instruction in ten is meant to be
refused.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from model import Machine, Ref
from model_options import PRESETS
from model_pool import Pool, Slab, Undetermined

CAPACITIES = (1, 2, 3, 16, 100)
SIZES = (1, 8, 24, 64, 64, 100, 512, 4096)
# Registers that single allocations use; batches begin behind them.
SINGLES = 40
BATCHES = 64
ILLEGAL = 0.1
# How often each option is set, and to what.
OPTIONS = (
    (0.4, "per_cpu_cache=off shards=1"),
    (0.2, "shards=1 shards=4 cpu_cache_backend=portable"),
    (0.35, "secure=on"),
    (0.35, "bit_guard=on"),
    (0.05, "guard_pages=on"),
    (0.05, "guard_sample_rate=1 guard_sample_rate=3"),
    (0.2, "corruption_policy=reclaim corruption_policy=quarantine"),
    (0.3, "heap_fallback=on"),
    (0.2, "heap_fallback_limit=1 heap_fallback_limit=2 heap_fallback_limit=7"),
    (0.2, "reuse_delay=1 reuse_delay=2 reuse_delay=50"),
    (0.1, "shuffle=on"),
    (0.3, "audit=4096 audit=8192"),
    (0.3, "circuit_breaker_threshold=1 circuit_breaker_threshold=2 circuit_breaker_threshold=20"),
    (0.04, "debug=on"),
    (0.2, "latency_tracking=off latency_tracking=all"),
    (0.4, "name=orders name=frames"),
    (0.15, "degrade_at=1 degrade_at=50 degrade_at=80%"),
    (0.15, "survive_at=60 survive_at=90% survive_at=100"),
)
# A preset and what makes it determined: no budget that may be spent, no thread that ticks.
PRESET = 0.1
AFTER_PRESET = {"max_alloc_latency": "max_alloc_latency=1h", "health_checks": "health_checks=off"}
# Of the breakers, those whose timeout a program sleeps over.
SHORT_TIMEOUT = 0.4
SLEEPS_NS = (1000000, 1000000, 1)
# What is set together, where "a b" above offers a choice.
TOGETHER = frozenset({"per_cpu_cache=off shards=1"})
BAD_CREATES = (
    "0 4",
    "64 0",
    "0 0",
    "1073741825 1",
    "64 2147483648",
    "64 4 shards=0",
    "64 4 colour=red",
    "64 4 secure=perhaps",
    "64 4 latency_tracking=never",
    "64 4 guard_pages=on huge_pages=on",
    "64 4 max_capacity=3",
    "64 4 preset=none",
    "64 4 preset=gateway survive_at=80",
    "64 4 degrade_at=101",
)


@dataclass
class Program:
    """The instructions, and what each must print."""

    number: int
    lines: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def text(self) -> str:
        return "\n".join((f"program {self.number}", *self.lines, ""))

    def trace(self) -> str:
        return "\n".join((f'{{"program":{self.number}}}', *self.expected, ""))


class Generator:
    """One program."""

    def __init__(self, seed: int, number: int) -> None:
        self.random = random.Random(f"{seed}/{number}")
        self.machine = Machine()
        self.program = Program(number)
        self.makers: list[Callable[[], str | None]] = []
        weights: list[int] = []
        for weight, maker in self._legal():
            self.makers.append(maker)
            weights.append(weight)
        self.cumulative = [sum(weights[: index + 1]) for index in range(len(weights))]
        self.bad = [maker for weight, maker in self._illegal() for _ in range(weight)]

    def make(self, length: int) -> Program:
        self._try(f"p0 = create {self._shape()}")
        if self.random.random() < 0.3:
            self._try(f"p1 = create {self._shape()}")
        while len(self.program.lines) < length:
            if self.random.random() < ILLEGAL:
                maker = self.random.choice(self.bad)
            else:
                maker = self.random.choices(self.makers, cum_weights=self.cumulative)[0]
            line = maker()
            if line is not None:
                self._try(line)
        return self.program

    def _try(self, line: str) -> None:
        """What the design leaves open is no instruction; the model refuses it before it changes anything."""
        try:
            expected = self.machine.step(line)
        except Undetermined:
            return
        self.program.lines.append(line)
        self.program.expected.append(expected)

    # ------------------------------------------------------------------------------------------ choices

    def _shape(self) -> str:
        chosen: dict[str, str] = {}
        for chance, texts in OPTIONS:
            if self.random.random() >= chance:
                continue
            options = texts.split()
            if texts not in TOGETHER:
                options = [self.random.choice(options)]
            chosen.update({option.split("=")[0]: option for option in options})
        size, capacity = self.random.choice(SIZES), self.random.choice(CAPACITIES)
        if self.random.random() < 0.25:
            chosen["max_capacity"] = f"max_capacity={capacity + self.random.choice((0, 1, 5, 200))}"
        preset = self.random.choice(list(PRESETS)) if self.random.random() < PRESET else ""
        if preset:
            chosen = {"preset": f"preset={preset}", **chosen, **AFTER_PRESET}
        if "circuit_breaker_threshold" in chosen or "circuit_breaker_threshold" in PRESETS.get(
            preset, {}
        ):
            timeout = "1us" if self.random.random() < SHORT_TIMEOUT else "1h"
            chosen["circuit_breaker_timeout"] = f"circuit_breaker_timeout={timeout}"
        if "circuit_breaker_threshold" in chosen and self.random.random() < 0.3:
            chosen["circuit_breaker_probes"] = "circuit_breaker_probes=3"
        if "shuffle" in chosen:
            chosen.pop("shards", None)
        return " ".join((str(size), str(capacity), *chosen.values()))

    def _pool(self) -> str | None:
        pools = self.machine.pools
        return f"p{self.random.choice(list(pools))}" if pools else None

    def _live(self) -> tuple[str, str, Slab] | None:
        """A live reference with its pool."""
        refs = [
            (key, ref.slab)
            for key, ref in self.machine.refs.items()
            if ref.slab is not None and not ref.forged and ref.slab.state == "live"
        ]
        if not refs:
            return None
        key, slab = self.random.choice(refs)
        pool = self._pool_of(slab.pool)
        return None if pool is None else (pool, f"r{key}", slab)

    def _pool_of(self, pool: Pool) -> str | None:
        names = [key for key, found in self.machine.pools.items() if found is pool]
        return f"p{self.random.choice(names)}" if names else None

    def _target(self) -> str:
        """A register whose loss is no loss."""
        refs = self.machine.refs
        for _ in range(8):
            key = self.random.randrange(SINGLES)
            ref = refs.get(key)
            if ref is None or ref.slab is None or ref.slab.state != "live":
                break
        return f"r{key}"

    def _fast(self) -> tuple[str, str] | None:
        fasts = [(key, slab) for key, slab in self.machine.fasts.items() if slab.state == "live"]
        if not fasts:
            return None
        key, slab = self.random.choice(fasts)
        pool = self._pool_of(slab.pool)
        return None if pool is None else (pool, f"f{key}")

    # -------------------------------------------------------------------------------------------- legal

    def _on_pool(self, form: str) -> Callable[[], str | None]:
        def maker() -> str | None:
            pool = self._pool()
            return None if pool is None else form.format(p=pool)

        return maker

    def _on_ref(self, form: str) -> Callable[[], str | None]:
        def maker() -> str | None:
            found = self._live()
            if found is None:
                return None
            seed = self.random.randrange(1000)
            return form.format(p=found[0], r=found[1], seed=seed, view=self.random.randrange(8))

        return maker

    def _on_fast(self, form: str) -> Callable[[], str | None]:
        def maker() -> str | None:
            found = self._fast()
            if found is None:
                return None
            return form.format(p=found[0], f=found[1], seed=self.random.randrange(1000))

        return maker

    def _legal(self) -> list[tuple[int, Callable[[], str | None]]]:
        return [
            (150, self._allocate),
            (20, self._allocate_timeout),
            (15, self._allocate_batch),
            (40, self._allocate_fast),
            (24, self._wait),
            (24, self._on_wait("{target} = collect {w}")),
            (6, self._on_wait("cancel {w}")),
            (90, self._on_ref("release {p} {r}")),
            (20, self._on_ref("release_deferred {p} {r}")),
            (10, self._release_batch),
            (40, self._on_fast("deallocate_fast {p} {f}")),
            (60, self._on_ref("write {p} {r} {seed}")),
            (60, self._on_ref("digest {p} {r}")),
            (15, self._on_fast("write_fast {p} {f} {seed}")),
            (15, self._on_fast("digest_fast {p} {f}")),
            (25, self._on_ref("v{view} = view {p} {r}")),
            (20, self._on_view("slice {v} {offset} {count}")),
            (25, self._on_view("unview {v}")),
            (15, self._on_ref("pin {p} {r}")),
            (12, self._unpin),
            (10, self._on_ref("is_valid {p} {r}")),
            (20, self._on_ref("id {p} {r}")),
            (3, self._on_pool("size {p}")),
            (6, self._on_ref("ref_text {p} {r}")),
            (4, self._on_ref("stack {p} {r}")),
            (4, self._on_ref("explain {p} {r} UseAfterFree")),
            (10, self._on_ref("set_label {p} {r} {seed}")),
            (10, self._on_ref("get_label {p} {r}")),
            (6, self._copy),
            (12, self._set_option),
            (6, self._get_option),
            (8, self._breaker),
            (8, self._resize),
            (6, self._sleep),
            (3, self._on_pool("trim {p}")),
            (8, self._on_pool("reclaim {p}")),
            (3, self._on_pool("health_tick {p}")),
            (20, self._on_pool("stats {p}")),
            (10, self._on_pool("health {p}")),
            (3, self._on_pool("memory {p}")),
            (2, self._on_pool("stats_json {p}")),
            (2, self._on_pool("health_json {p}")),
            (10, self._on_pool("live {p}")),
            (4, self._on_pool("verify {p}")),
            (5, self._on_pool("audit {p}")),
            (3, self._on_pool("events {p}")),
            (4, self._on_pool("reset {p}")),
            (1, self._on_pool("close {p}")),
            (3, self._on_pool("destroy {p}")),
            (4, self._create),
            (3, self._adopt),
            (1, lambda: "library"),
        ]

    def _allocate(self) -> str | None:
        pool = self._pool()
        return None if pool is None else f"{self._target()} = allocate {pool}"

    def _allocate_timeout(self) -> str | None:
        pool = self._pool()
        wait = self.random.choice((0, 1, 1000, 20000))
        return None if pool is None else f"{self._target()} = allocate_timeout {pool} {wait}"

    def _allocate_batch(self) -> str | None:
        pool = self._pool()
        if pool is None:
            return None
        found = self.machine.pools[int(pool[1:])]
        most = min(found.capacity + found.heap_limit, 120)
        count = self.random.randint(1, max(1, most if self.random.random() < 0.1 else min(most, 8)))
        return f"r{BATCHES + 8 * self.random.randrange(4)} = allocate_batch {pool} {count}"

    def _allocate_fast(self) -> str | None:
        pool = self._pool()
        fasts = self.machine.fasts
        key = self.random.randrange(16)
        if pool is None or (key in fasts and fasts[key].state == "live"):
            return None
        return f"f{key} = allocate_fast {pool}"

    def _wait(self) -> str | None:
        """Mostly for a pool that has nothing."""
        pools = self.machine.pools
        empty = [f"p{key}" for key, pool in pools.items() if pool.free() == 0]
        pool = self.random.choice(empty) if empty and self.random.random() < 0.8 else self._pool()
        return None if pool is None else f"w{self.random.randrange(16)} = wait {pool}"

    def _on_wait(self, form: str) -> Callable[[], str | None]:
        def maker() -> str | None:
            waits = list(self.machine.waits)
            if not waits:
                return None
            return form.format(target=self._target(), w=f"w{self.random.choice(waits)}")

        return maker

    def _release_batch(self) -> str | None:
        found = self._live()
        if found is None:
            return None
        pool = found[2].pool
        refs = [
            f"r{key}"
            for key, ref in self.machine.refs.items()
            if ref.slab is not None and ref.slab.pool is pool and not ref.forged
        ]
        return f"release_batch {found[0]} " + " ".join(refs[-self.random.randint(1, 100) :])

    def _on_view(self, form: str) -> Callable[[], str | None]:
        def maker() -> str | None:
            if not self.machine.views:
                return None
            view = f"v{self.random.choice(list(self.machine.views))}"
            offset, count = self.random.choice((0, 0, 1, 7, 63, 5000)), self.random.randrange(100)
            return form.format(v=view, offset=offset, count=count)

        return maker

    def _unpin(self) -> str | None:
        """Also of a slab that waits for it."""
        refs = [
            (key, ref.slab)
            for key, ref in self.machine.refs.items()
            if ref.slab is not None and not ref.forged and ref.slab.pins
        ]
        if not refs:
            return None
        key, slab = self.random.choice(refs)
        pool = self._pool_of(slab.pool)
        return None if pool is None else f"unpin {pool} r{key}"

    def _copy(self) -> str | None:
        found = self._live()
        return None if found is None else f"{self._target()} = copy {found[1]}"

    def _set_option(self) -> str | None:
        pool = self._pool()
        change = self.random.choice(
            (
                "secure 1",
                "secure 0",
                "heap_fallback 1",
                "heap_fallback 0",
                "corruption_policy 1",
                "corruption_policy 0",
                "circuit_breaker_threshold 2",
                "circuit_breaker_threshold 0",
                "latency_tracking 2",
                "latency_tracking 1",
                "degrade_at 50",
                "degrade_at 0",
                "survive_at 90",
                "survive_at 0",
            )
        )
        return None if pool is None else f"set_option {pool} {change}"

    def _get_option(self) -> str | None:
        pool = self._pool()
        name = self.random.choice(
            (
                "secure",
                "heap_fallback",
                "heap_fallback_limit",
                "circuit_breaker_threshold",
                "bit_guard",
                "degrade_at",
                "survive_at",
                "max_alloc_latency",
            )
        )
        return None if pool is None else f"get_option {pool} {name}"

    def _breaker(self) -> str | None:
        pool = self._pool()
        return None if pool is None else f"breaker {pool} {self.random.choice((0, 0, 0, 1, 2, 3))}"

    def _resize(self) -> str | None:
        """Mostly within what the pool can do; 0 and one too many as well."""
        pool = self._pool()
        if pool is None:
            return None
        found = self.machine.pools[int(pool[1:])]
        capacity = self.random.choice(
            (
                self.random.randint(0, found.reserved + 1),
                found.reserved,
                found.capacity,
                max(1, found.used),
                max(1, found.capacity // 2),
            )
        )
        return f"resize {pool} {capacity}"

    def _sleep(self) -> str | None:
        """Where a breaker waits for it, and rarely for nothing."""
        waiting = any(
            pool.breaker.open and not pool.breaker.expired for pool in self.machine.pools.values()
        )
        if not waiting and self.random.random() < 0.9:
            return None
        return f"sleep {self.random.choice(SLEEPS_NS)}"

    def _create(self) -> str | None:
        key = self.random.randrange(3)
        return None if key in self.machine.pools else f"p{key} = create {self._shape()}"

    def _adopt(self) -> str | None:
        pool = self._pool()
        return None if pool is None else f"p{self.random.randrange(3, 5)} = adopt {pool}"

    # ------------------------------------------------------------------------------------------ illegal

    def _illegal(self) -> list[tuple[int, Callable[[], str | None]]]:
        operations = (
            "release {p} {r}",
            "release_deferred {p} {r}",
            "digest {p} {r}",
            "pin {p} {r}",
            "unpin {p} {r}",
            "v{view} = view {p} {r}",
            "get_label {p} {r}",
            "write {p} {r} 1",
            "is_valid {p} {r}",
            "id {p} {r}",
            "ref_text {p} {r}",
            "set_label {p} {r} 1",
            "release_batch {p} {r} {r}",
            "stack {p} {r}",
        )
        return [
            *((2, self._on_any(form)) for form in operations),
            (6, self._on_any("release {p} {r}")),
            (6, self._forge),
            (4, self._damage),
            (3, self._bad_batch),
            (3, self._bad_option),
            (2, self._on_pool("breaker {p} 9")),
            (3, self._stale_fast),
            (2, self._bad_create),
            (1, lambda: f"stats p{self.random.randrange(8)}"),
            (1, lambda: f"release p{self.random.randrange(8)} r{self.random.randrange(99)}"),
            (1, lambda: "unview v60"),
            (1, lambda: "slice v61 0 1"),
            (1, lambda: "cancel w60"),
            (1, lambda: "r0 = collect w61"),
        ]

    def _on_any(self, form: str) -> Callable[[], str | None]:
        """Any reference at any pool: stale, forged, foreign, unset, or even good."""

        def maker() -> str | None:
            pool = self._pool()
            refs: list[tuple[int, Ref]] = list(self.machine.refs.items())
            closed = [
                (key, ref) for key, ref in refs if ref.slab is None or ref.slab.state != "live"
            ]
            refs = closed if closed and self.random.random() < 0.7 else refs
            if pool is None:
                return None
            key, ref = self.random.choice(refs) if refs else (self.random.randrange(99), None)
            if ref is not None and ref.slab is not None and self.random.random() < 0.8:
                pool = self._pool_of(ref.slab.pool) or pool
            return form.format(p=pool, r=f"r{key}", view=self.random.randrange(8))

        return maker

    def _forge(self) -> str | None:
        found = self._live()
        if found is None:
            return None
        kind = self.random.choice(("zero", "ones", "tag", "generation", "generation"))
        return f"r{self.random.randrange(SINGLES, BATCHES)} = forge {found[1]} {kind}"

    def _damage(self) -> str | None:
        found = self._live()
        if found is None:
            return None
        size = found[2].pool.size
        offset = self.random.choice((size, size + 7, -1, 0, size - 1))
        return f"flip {found[0]} {found[1]} {offset}"

    def _bad_batch(self) -> str | None:
        pool = self._pool()
        return (
            None
            if pool is None
            else f"r{BATCHES} = allocate_batch {pool} {self.random.choice((0, 250))}"
        )

    def _bad_option(self) -> str | None:
        pool = self._pool()
        change = self.random.choice(
            (
                "shards 4",
                "#99 1",
                "secure 2",
                "latency_tracking 9",
                "bit_guard 1",
                "corruption_policy -1",
            )
        )
        return None if pool is None else f"set_option {pool} {change}"

    def _stale_fast(self) -> str | None:
        fasts = [(key, slab) for key, slab in self.machine.fasts.items() if slab.state != "live"]
        if not fasts:
            return None
        key, slab = self.random.choice(fasts)
        pool = self._pool_of(slab.pool)
        return None if pool is None else f"deallocate_fast {pool} f{key}"

    def _bad_create(self) -> str:
        return f"p{self.random.randrange(5, 8)} = create {self.random.choice(BAD_CREATES)}"
