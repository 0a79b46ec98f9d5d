# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the contract as a C header, for the C runner: enums.py > enums.h"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

with (ROOT / "bindings" / "contract.toml").open("rb") as file:
    CONTRACT = tomllib.load(file)

OPTIONS = {option["name"]: option for option in CONTRACT["option"]}
STATUSES = {status["name"]: status["code"] for status in CONTRACT["status"]}


def words(enum: str) -> dict[int, str]:
    return {value: word for word, value in CONTRACT["enums"][enum]["values"].items()}


def _array(name: str, values: dict[int, str]) -> str:
    items = "".join(f'    [{value}] = "{word}",\n' for value, word in sorted(values.items()))
    return f"static const char *const {name}[] = {{\n{items}}};\n"


def header() -> str:
    options = {option["id"]: option["name"] for option in CONTRACT["option"]}
    return "\n".join(
        (
            "/* Written by tests/conformance/enums.py from bindings/contract.toml. */",
            _array("audit_operation_names", words("audit_operation")),
            _array("breaker_state_names", words("breaker_state")),
            _array("degradation_state_names", words("degradation_state")),
            _array("pool_state_names", words("pool_state")),
            _array("event_code_names", words("event_code")),
            _array("option_names", options),
        )
    )


if __name__ == "__main__":
    print(header())
