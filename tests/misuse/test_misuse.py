# SPDX-License-Identifier: GPL-3.0-or-later
"""Each mistake of mistakes.toml, made by a process of its own in each language: the exact status, signal and text.

`./dev test misuse` builds the programs and says where they are: MISUSE_C, MISUSE_GO; the Python package is the one of
the interpreter that runs this.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from slabby._errors import ERRORS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TIMEOUT_S = 600


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


MISTAKES = {mistake["name"]: mistake for mistake in read(HERE / "mistakes.toml")["mistake"]}
CONTRACT = read(ROOT / "bindings" / "contract.toml")
MESSAGES = {status["name"]: status["message"] for status in CONTRACT["status"]}
# What Python says to do about each status.
ADVICE = {
    status["name"]: ERRORS[status["code"]].hint for status in CONTRACT["status"] if status["code"]
}
# A program of Windows: of the status by which an access violation ends a process wine hands on the last byte.
ACCESS_VIOLATION = 0xC0000005 & 0xFF
NUMBERS = {"byte": "[0-9a-f]{2}", "expected_byte": "[0-9a-f]{2}", "age": r"[0-9]+ (ns|us|ms|s) ago"}


@dataclass(frozen=True)
class Binding:
    """A language, and how its programs are started."""

    name: str
    command: tuple[str, ...]
    backend: str = ""

    def run(self, argument: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "SLABBY_BACKEND": self.backend}
        environment.pop("SLABBY_GUARD_SAMPLE_RATE", None)
        return subprocess.run(
            [*self.command, argument],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
            env=environment,
        )

    def status_of(self, signal_name: str | None) -> int:
        """What a process ends with that the signal of this name ends."""
        if signal_name is None:
            return 0
        is_windows = self.command[-1].endswith(".exe")
        return ACCESS_VIOLATION if is_windows else -getattr(signal, signal_name)

    def plain(self, status: str, text: str) -> str:
        """The text without what Python adds: the refused number before it, and what to do behind it."""
        if not self.backend or not text:
            return text
        return re.sub(r"^id is [0-9]+: ", "", text.removesuffix(f"; {ADVICE.get(status)}"))

    def expectation(self, mistake: dict[str, Any]) -> dict[str, Any]:
        language = "python" if self.backend else self.name
        chosen: dict[str, Any] = mistake.get(language, mistake)
        return chosen


def bindings() -> Iterator[Binding]:
    script = str(HERE / "python" / "misuse.py")
    yield Binding("c", tuple(shlex.split(os.environ.get("MISUSE_C", ""))))
    yield Binding("cffi", (sys.executable, script), "cffi")
    yield Binding("swig", (sys.executable, script), "swig")
    yield Binding("go", tuple(shlex.split(os.environ.get("MISUSE_GO", ""))))


CHOSEN = os.environ.get("MISUSE_BINDINGS", "c cffi swig go").split()
BINDINGS = [binding for binding in bindings() if binding.name in CHOSEN]


@pytest.fixture(params=BINDINGS, ids=lambda binding: binding.name)
def binding(request: pytest.FixtureRequest) -> Binding:
    chosen: Binding = request.param
    if not chosen.command:
        pytest.skip(f"MISUSE_{chosen.name.upper()} is not set; run ./dev test misuse")
    return chosen


def matched(template: str, text: str, known: dict[str, str], beginning: bool = False) -> None:
    """Insists that the text is what the template says; see the head of mistakes.toml."""
    pattern, names = "", set()
    for literal, name in re.findall(r"([^{}]*)(?:\{(\w+)\})?", template):
        pattern += re.escape(literal)
        if name in known:
            pattern += re.escape(known[name])
        elif name in names:
            pattern += f"(?P={name})"
        elif name:
            names.add(name)
            pattern += f"(?P<{name}>{NUMBERS.get(name, '[0-9]+')})"
    found = re.match(pattern + ("" if beginning else r"\Z"), text)
    assert found, f"expected: {template}\nfound:    {text}"
    numbers = found.groupdict()
    if "next" in numbers:
        assert int(numbers["next"]) == int(numbers["allocation"]) + 1, text
    for one, other in (("byte", "expected_byte"), ("tag", "own_tag")):
        assert one not in numbers or numbers[one] != numbers[other], text
    if "forged_allocation" in numbers:
        assert int(numbers["forged_allocation"]) > int(numbers["allocation"]), text


def check_answers(binding: Binding, expected: list[dict[str, str]], lines: list[list[str]]) -> None:
    assert [line[1] for line in lines] == [answer["status"] for answer in expected]
    for answer, (_, status, slab, ref, text) in zip(expected, lines, strict=True):
        known = {
            "message": MESSAGES.get(status, ""),
            "pool": "pool misuse (4 slabs of 64 bytes)",
            "slab": slab,
            "ref": ref,
        }
        matched(answer["text"], binding.plain(status, text), known)


def check_counts(expected: dict[str, Any], lines: list[list[str]]) -> None:
    found = {name: int(number) for _, name, number in lines}
    tried = {name: found.get(name, 0) for name in ("races", "forged")}
    for name, number in expected.items():
        assert found[name] == (tried[number] if isinstance(number, str) else number), found
        assert not isinstance(number, str) or tried[number] >= 20_000, found


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(binding: Binding, name: str) -> None:
    expected = binding.expectation(MISTAKES[name])
    ended = binding.run(name)
    status = binding.status_of(expected.get("signal"))
    assert ended.returncode == status, ended.stdout + ended.stderr
    lines = [line.split("\t") for line in ended.stdout.splitlines()]
    check_answers(
        binding, expected.get("answers", []), [line for line in lines if line[0] == "answer"]
    )
    check_counts(expected.get("counts", {}), [line for line in lines if line[0] == "count"])
    if "says" in expected:
        matched(expected["says"], ended.stderr, {}, beginning=True)


def test_every_language_has_every_mistake(binding: Binding) -> None:
    listed = binding.run("--list").stdout.split()
    assert sorted(listed) == sorted(MISTAKES)
