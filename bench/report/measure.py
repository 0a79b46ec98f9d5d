# SPDX-License-Identifier: GPL-3.0-or-later
"""The run: all contestants take turns within each round, in another order each time."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from figures import (
    CASES,
    OPTIONS,
    OURS,
    PEERS,
    SIZES,
    Case,
    spread,
    summarise_pairs,
    two_thread_gain,
)
from workers import Worker, WorkerFault

# New processes now and then: where the system puts a process's memory is luck that lasts as long as it does.
ROUNDS_PER_PROCESS = 7
TAIL_PERCENTILES = ("p50", "p99", "p999", "max")


class Field:
    """The contestants that are in the run, and why others are not.

    What a process did before shapes its heap. So each size has fields of its own, and what one thread
    does runs in other processes than what several do.
    """

    def __init__(self, programs: Path, left_out: dict[str, str]) -> None:
        self.programs = programs
        self.workers: dict[str, Worker] = {}
        self.left_out = left_out
        self.libraries: dict[str, str] = {}

    def start(self) -> None:
        for name in [OURS, *PEERS, *OPTIONS]:
            if name in self.left_out:
                continue
            is_option = name in OPTIONS
            program = self.programs / f"pairs-{OURS if is_option else name}"
            try:
                self.workers[name] = Worker(program, [name] if is_option else [])
            except WorkerFault as fault:
                self.leave_out(name, str(fault))
            else:
                self.libraries[name] = self.workers[name].library

    def leave_out(self, name: str, reason: str) -> None:
        """A peer may be missing, and an option that the system refuses; ours may not."""
        worker = self.workers.pop(name, None)
        if worker is not None:
            worker.kill()
        if name == OURS:
            raise WorkerFault(f"{name}: {reason}")
        self.left_out[name] = reason

    def ask_all(self, command: str, names: list[str]) -> dict[str, dict[str, Any]]:
        """One turn for each, in an order of its own."""
        answers = {}
        for name in random.sample(names, len(names)):
            try:
                answers[name] = self.workers[name].ask(command)
            except WorkerFault as fault:
                self.leave_out(name, f"{command}: {fault}")
        return answers

    def stop(self) -> None:
        for name, worker in self.workers.items():
            try:
                worker.close()
            except WorkerFault as fault:
                raise WorkerFault(f"{name}: {fault}") from None
        self.workers.clear()


def run(programs: Path, rounds: int, brevity: int, note: Callable[[str], None]) -> dict[str, Any]:
    left_out: dict[str, str] = {}
    fields = {kind: Field(programs, left_out) for kind in {kind_of(case) for case in CASES}}
    large = fields[4096, True]
    times: dict[str, dict[str, list[float]]] = {case.key: {} for case in CASES}
    tails: dict[str, dict[str, list[dict[str, Any]]]] = {"calm": {}, "storm": {}}
    for number in range(rounds):
        note(f"round {number + 1} of {rounds}")
        if number % ROUNDS_PER_PROCESS == 0:
            renew(fields)
            cpus = large.workers[OURS].cpus
        measure_pairs(fields, times, brevity)
        measure_tails(large, tails, brevity)
    creation = measure_creation(large)
    for field in fields.values():
        field.stop()
    note("edges")
    forget(times, left_out)
    forget(tails, left_out)
    return {
        "cpus": cpus,
        "libraries": large.libraries,
        "left_out": left_out,
        "pairs": summarise_pairs(times),
        "two_threads": {str(size): two_thread_gain(times, size) for size in SIZES},
        "tails": {kind: summarise_tails(by_name) for kind, by_name in tails.items()},
        "creation": creation,
        "edges": edges(programs, rounds),
    }


def kind_of(case: Case) -> tuple[int, bool]:
    """Size, and whether several threads are at it: the field a case runs in."""
    return case.size, case.pattern.word in ("two", "ring", "eight")


def renew(fields: dict[tuple[int, bool], Field]) -> None:
    """New processes for all, with every pattern run once so that their memory is there."""
    for field in fields.values():
        field.stop()
        field.start()
    for case in CASES:
        field = fields[kind_of(case)]
        field.ask_all(f"pair {case.pattern.word} {case.size} 1", list(field.workers))


def forget(results: dict[str, dict[str, Any]], left_out: dict[str, str]) -> None:
    """What a peer that failed on the way had measured before cannot be paired by round."""
    for by_name in results.values():
        for name in left_out:
            by_name.pop(name, None)


def measure_pairs(
    fields: dict[tuple[int, bool], Field], times: dict[str, dict[str, list[float]]], brevity: int
) -> None:
    for case in random.sample(CASES, len(CASES)):
        field = fields[kind_of(case)]
        length = max(2, case.pattern.milliseconds // brevity)
        command = f"pair {case.pattern.word} {case.size} {length}"
        for name, answer in field.ask_all(command, list(field.workers)).items():
            times[case.key].setdefault(name, []).append(answer["ns"])


def measure_tails(
    field: Field, tails: dict[str, dict[str, list[dict[str, Any]]]], brevity: int
) -> None:
    for kind, by_name in tails.items():
        names = [name for name in field.workers if name not in OPTIONS]
        for name, answer in field.ask_all(f"tail 4096 {200000 // brevity} {kind}", names).items():
            by_name.setdefault(name, []).append(answer)


def summarise_tails(by_name: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians over the rounds of each round's percentile; the largest of all as max."""
    summary: dict[str, Any] = {}
    for name, rounds in by_name.items():
        summary[name] = {
            "floor": min(answer["floor"] for answer in rounds),
            "storms": sum(answer["storms"] for answer in rounds),
        }
        for kind in ("take", "give", "refused"):
            heard = [answer[kind] for answer in rounds if answer[kind]["count"] > 0]
            summary[name][kind] = {"count": sum(answer["count"] for answer in heard)}
            for percentile in TAIL_PERCENTILES if heard else ():
                values = [answer[percentile] for answer in heard]
                joined = max(values) if percentile == "max" else statistics.median(values)
                summary[name][kind][percentile] = joined
    return summary


def measure_creation(field: Field) -> dict[str, Any]:
    """100,000 objects of 4 KiB, for those whose number of objects is fixed."""
    bounded = [
        name for name, worker in field.workers.items() if worker.bounded and name not in OPTIONS
    ]
    heard: dict[str, list[dict[str, Any]]] = {}
    for _ in range(5):
        for name, answer in field.ask_all("create 4096 100000", bounded).items():
            heard.setdefault(name, []).append(answer)
        bounded = [name for name in bounded if name in field.workers]
    return {
        name: {
            "us": spread([answer["ns"] / 1e3 for answer in answers]),
            "resident": max(answer["resident"] for answer in answers),
        }
        for name, answers in heard.items()
    }


def edges(programs: Path, rounds: int) -> dict[str, Any]:
    done = subprocess.run(
        [str(programs / "edges"), str(rounds)], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"error: the program edges ended with status {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result
