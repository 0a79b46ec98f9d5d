# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints "PASSED FAILED SKIPPED" of test reports: `count_tests.py junit|go FILE...`."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable


# The messages of ctest for a test that it did not start; some have no element for the reason.
NOT_RUN = ("disabled", "notrun")


def junit(path: str) -> Counter[str]:
    """Counts the test cases of a JUnit XML file, as pytest and ctest write it."""
    counts: Counter[str] = Counter()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            counts["failed"] += 1
        elif "skipped" in outcomes or case.get("status") in NOT_RUN:
            counts["skipped"] += 1
        else:
            counts["passed"] += 1
    return counts


def go(path: str) -> Counter[str]:
    """Counts the tests of `go test -json`; a package that failed without a test counts as one."""
    names = {"pass": "passed", "fail": "failed", "skip": "skipped"}
    counts: Counter[str] = Counter()
    failed_in: set[str] = set()
    failed_packages: set[str] = set()
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not line.startswith("{"):
                continue
            event = json.loads(line)
            action, package = event.get("Action"), event.get("Package", "")
            if action not in names:
                continue
            if "Test" in event:
                counts[names[action]] += 1
                if action == "fail":
                    failed_in.add(package)
            elif action == "fail":
                failed_packages.add(package)
    counts["failed"] += len(failed_packages - failed_in)
    return counts


def main(arguments: list[str]) -> int:
    readers: dict[str, Callable[[str], Counter[str]]] = {"junit": junit, "go": go}
    if len(arguments) < 2 or arguments[0] not in readers:
        print("usage: count_tests.py junit|go FILE...", file=sys.stderr)
        return 2
    total: Counter[str] = Counter()
    for path in arguments[1:]:
        total += readers[arguments[0]](path)
    print(total["passed"], total["failed"], total["skipped"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
