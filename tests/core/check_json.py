# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one test of test_snapshots and checks its line that starts with JSON against the contract's stats.

Usage: check_json.py CONTRACT PROGRAM
"""

import json
import subprocess
import sys
import tomllib


def problems(document: dict, contract: dict) -> list[str]:
    fields = contract["snapshots"]["stats"]["field"]
    found = []
    names = [field["name"] for field in fields]
    missing = [name for name in names if name not in document]
    if missing:
        found.append(f"missing keys: {missing}")
    unknown = [key for key in document if key not in names]
    if unknown:
        found.append(f"keys that the contract does not list: {unknown}")
    for field in fields:
        value = document.get(field["name"])
        if field["type"] in ("u64", "i64") and not isinstance(value, int):
            found.append(f"{field['name']} should be a whole number, is {value!r}")
        if field["type"] == "f64" and not isinstance(value, (int, float)):
            found.append(f"{field['name']} should be a number, is {value!r}")
        if field["type"].startswith("text") and not isinstance(value, str):
            found.append(f"{field['name']} should be text, is {value!r}")
    expected = {
        "total_slabs": 10,
        "slab_size": 64,
        "used_slabs": 0,
        "total_allocations": 1,
        "total_deallocations": 1,
        "version": contract["library"]["version"],
    }
    found += [
        f"{name} should be {value}, is {document.get(name)!r}"
        for name, value in expected.items()
        if document.get(name) != value
    ]
    return found


def main() -> int:
    with open(sys.argv[1], "rb") as source:
        contract = tomllib.load(source)
    run = subprocess.run(
        [sys.argv[2], "stats_json_has_its_length"], capture_output=True, check=False
    )
    lines = [line[5:] for line in run.stdout.splitlines() if line.startswith(b"JSON ")]
    if run.returncode or len(lines) != 1:
        print(f"{sys.argv[2]} ended with {run.returncode} and printed {len(lines)} JSON lines")
        return 1
    found = problems(json.loads(lines[0].decode("utf-8")), contract)
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
