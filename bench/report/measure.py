# SPDX-License-Identifier: GPL-3.0-or-later
"""The run: all contestants take turns within each round, in another order each time."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import contestants as who
from cases import Case
from contestants import Contestant
from figures import spread
from plan import Plan
from workers import Worker, WorkerFault

# New processes now and then: where the system puts a process's memory is luck that lasts as long as it does.
ROUNDS_PER_PROCESS = 7
TAIL_PERCENTILES = ("p50", "p99", "p999", "max")


class LeftOut:
    """Contestants that are not in the run, and why."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self.names: dict[str, str] = {}

    def add(self, contestant: Contestant, reason: str) -> None:
        if contestant in who.REQUIRED:
            raise WorkerFault(f"{contestant.name}: {reason}")
        self.reasons[contestant.key] = reason
        self.names[contestant.key] = contestant.name


class Field:
    """Processes of the contestants in cases of one kind.

    What a process did before shapes its heap. So each size has fields of its own, and what one thread
    does runs in other processes than what several do.
    """

    def __init__(self, programs: Path, left_out: LeftOut, members: list[Contestant]) -> None:
        self.programs = programs
        self.members = members
        self.workers: dict[Contestant, Worker] = {}
        self.left_out = left_out
        self.libraries: dict[str, str] = {}

    def start(self) -> None:
        for one in self.members:
            if one.key in self.left_out.reasons:
                continue
            try:
                self.workers[one] = Worker(
                    self.programs / f"pairs-{one.program}", list(one.arguments)
                )
            except WorkerFault as fault:
                self.leave_out(one, str(fault))
            else:
                self.libraries[one.key] = self.workers[one].library

    def leave_out(self, one: Contestant, reason: str) -> None:
        worker = self.workers.pop(one, None)
        if worker is not None:
            worker.kill()
        self.left_out.add(one, reason)

    def ask_all(self, command: str, members: Iterable[Contestant]) -> dict[str, dict[str, Any]]:
        """One turn for each that is here, in an order of its own."""
        present = [one for one in members if one in self.workers]
        answers = {}
        for one in random.sample(present, len(present)):
            try:
                answers[one.key] = self.workers[one].ask(command)
            except WorkerFault as fault:
                self.leave_out(one, f"{command}: {fault}")
        return answers

    def stop(self) -> None:
        for one, worker in self.workers.items():
            try:
                worker.close()
            except WorkerFault as fault:
                raise WorkerFault(f"{one.name}: {fault}") from None
        self.workers.clear()


class Run:
    def __init__(self, programs: Path, plan: Plan, brevity: int) -> None:
        self.programs, self.plan, self.brevity = programs, plan, brevity
        self.left_out = LeftOut()
        self.fields = {
            kind: Field(programs, self.left_out, members)
            for kind, members in members_by_kind(plan).items()
        }
        self.times: dict[str, dict[str, list[float]]] = {case.key: {} for case in plan.cases}
        self.tails: dict[str, dict[str, list[dict[str, Any]]]] = {"calm": {}, "storm": {}}
        self.late: dict[str, int] = {}

    def renew(self) -> None:
        """New processes for all, with every pattern run once so that their memory is there."""
        for field in self.fields.values():
            field.stop()
            field.start()
        for case, members in self.plan.cases.items():
            self.fields[kind_of(case)].ask_all(f"pair {case.pattern.word} {case.size} 1", members)

    def measure_pairs(self) -> None:
        for case in random.sample(list(self.plan.cases), len(self.plan.cases)):
            length = max(2, case.pattern.milliseconds // self.brevity)
            command = f"pair {case.pattern.word} {case.size} {length}"
            answers = self.fields[kind_of(case)].ask_all(command, self.plan.cases[case])
            for key, answer in answers.items():
                self.times[case.key].setdefault(key, []).append(answer["ns"])
                self.late[key] = self.late.get(key, 0) + answer["late"]

    def measure_tails(self) -> None:
        for kind, by_key in self.tails.items():
            command = f"tail 4096 {200000 // self.brevity} {kind}"
            for key, answer in self.large().ask_all(command, (who.OURS, *who.PEERS)).items():
                by_key.setdefault(key, []).append(answer)

    def large(self) -> Field:
        return self.fields[4096, False]

    def stop(self) -> None:
        for field in self.fields.values():
            field.stop()

    def forget_left_out(self) -> None:
        """What a peer that failed on the way had measured before cannot be paired by round."""
        figures: list[dict[str, Any]] = [*self.times.values(), *self.tails.values()]
        for by_key in figures:
            for key in self.left_out.reasons:
                by_key.pop(key, None)


def run(programs: Path, plan: Plan, rounds: int, brevity: int, note: Callable[[str], None]) -> Any:
    """All figures of the plan, as they are written to JSON but for what is derived from them."""
    this = Run(programs, plan, brevity)
    result: dict[str, Any] = {}
    for number in range(rounds if plan.cases else 0):
        note(f"round {number + 1} of {rounds}")
        if number % ROUNDS_PER_PROCESS == 0:
            this.renew()
        this.measure_pairs()
        if plan.has("single"):
            this.measure_tails()
    if plan.has("edges"):
        result["creation"] = measure_creation(this.large())
    this.stop()
    this.forget_left_out()
    if plan.has("edges"):
        note("edges")
        result["edges"] = ask_program(programs / "edges", str(rounds))
    if plan.has("instructions"):
        note("instructions")
        result["instructions"] = count_instructions(programs)
    libraries: dict[str, str] = {}
    for field in this.fields.values():
        libraries |= field.libraries
    return result | {
        "left_out": {
            this.left_out.names[key]: reason for key, reason in this.left_out.reasons.items()
        }
        | (who.NOT_TO_BE_HAD if plan.has("safety") else {}),
        "libraries": libraries,
        "late": {key: count for key, count in this.late.items() if count},
        "times": this.times,
        "tails": {kind: summarise_tails(by_key) for kind, by_key in this.tails.items() if by_key},
    }


def kind_of(case: Case) -> tuple[int, bool]:
    """Size, and whether several threads are at it: the field a case runs in."""
    return case.size, case.pattern.is_threaded


def members_by_kind(plan: Plan) -> dict[tuple[int, bool], list[Contestant]]:
    members: dict[tuple[int, bool], list[Contestant]] = {}
    for case, with_whom in plan.cases.items():
        here = members.setdefault(kind_of(case), [])
        here.extend(one for one in with_whom if one not in here)
    return members


def summarise_tails(by_key: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians over the rounds of each round's percentile; the largest of all as max."""
    summary: dict[str, Any] = {}
    for key, rounds in by_key.items():
        summary[key] = {
            "floor": min(answer["floor"] for answer in rounds),
            "storms": sum(answer["storms"] for answer in rounds),
        }
        for kind in ("take", "give", "refused"):
            heard = [answer[kind] for answer in rounds if answer[kind]["count"] > 0]
            summary[key][kind] = {"count": sum(answer["count"] for answer in heard)}
            for percentile in TAIL_PERCENTILES if heard else ():
                values = [answer[percentile] for answer in heard]
                joined = max(values) if percentile == "max" else statistics.median(values)
                summary[key][kind][percentile] = joined
    return summary


def measure_creation(field: Field) -> dict[str, Any]:
    """100,000 objects of 4 KiB, for those whose number of objects is fixed."""
    bounded = [
        one for one in (who.OURS, *who.PEERS) if one in field.workers and field.workers[one].bounded
    ]
    heard: dict[str, list[dict[str, Any]]] = {}
    for _ in range(5):
        for key, answer in field.ask_all("create 4096 100000", bounded).items():
            heard.setdefault(key, []).append(answer)
    return {
        key: {
            "us": spread([answer["ns"] / 1e3 for answer in answers]),
            "resident": max(answer["resident"] for answer in answers),
        }
        for key, answers in heard.items()
    }


def ask_program(program: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [str(program), *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"error: the program {program.name} ended with status {done.returncode}")
    return json.loads(done.stdout)


def count_instructions(programs: Path) -> dict[str, Any]:
    """By how the library is linked, then by pool."""
    kinds = {"shared library": "instructions", "static with LTO": "instructions_lto"}
    return {
        name: ask_program(programs / program)
        for name, program in kinds.items()
        if (programs / program).is_file()
    }
