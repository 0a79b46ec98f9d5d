# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests of the package suit any system: `essential.py tests` prints their files, `essential.py not` the
expression for pytest -k that leaves out what asks for Linux, starts other programs, or maps more memory than the
system commits."""

from __future__ import annotations

import sys

# Run on every system.
SMALL = ("pool", "refs", "slab_bytes", "options", "errors", "backends", "fast")
# Run where a machine of the platform is at hand.
ESSENTIAL = (*SMALL, "views", "waiting", "async")
NOT_ELSEWHERE = (
    "one_core_below_two_backends",
    "unknown_backend",
    "collected_at_the_limit",
    "no_dump",
    "huge_pages-largest",
    "heap_fallback_limit-largest",
)


def expression() -> str:
    return f"not ({' or '.join(NOT_ELSEWHERE)})"


if __name__ == "__main__":
    if sys.argv[1:] == ["tests"]:
        print(" ".join(f"tests/python/test_{name}.py" for name in SMALL))
    elif sys.argv[1:] == ["not"]:
        print(expression())
    else:
        sys.exit(__doc__)
