# SPDX-License-Identifier: GPL-3.0-or-later
"""Every function has an instruction of the conformance language, or a reason why not."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from contract import Contract

ENTRY = "tests/conformance/operations.toml"


def operations(root: Path, contract: Contract) -> Iterator[str]:
    with (root / ENTRY).open("rb") as file:
        data = tomllib.load(file)
    covered = {name for operation in data["operation"] for name in operation["functions"]}
    excused = {entry["function"] for entry in data["without"]}
    known = {function.name for function in contract.functions}
    for function in contract.functions:
        if function.name not in covered | excused:
            yield f"{ENTRY}: no instruction and no reason for {function.name}"
    for name in sorted((covered | excused) - known):
        yield f"{ENTRY}: the contract has no function {name}"
    for name in sorted(covered & excused):
        yield f"{ENTRY}: {name} has an instruction and a reason to have none"
