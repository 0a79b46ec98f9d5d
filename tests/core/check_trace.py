# SPDX-License-Identifier: GPL-3.0-or-later
"""The library has each trace point that os/trace.h lists, with three arguments:
check_trace.py READELF TRACE_H LIBRARY."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def main(readelf: str, header: str, library: str) -> int:
    listed = set(re.findall(r"^ \*   slabby:(\w+)", Path(header).read_text(), re.MULTILINE))
    notes = subprocess.run(
        [readelf, "-n", library], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    found = re.findall(r"Provider: slabby\n\s+Name: (\w+)\n.*\n\s+Arguments: (.*)", notes)
    wrong = [f"{name}: {text}" for name, text in found if len(text.split()) != 3]
    missing, unlisted = listed - dict(found).keys(), dict(found).keys() - listed
    print(f"{len(found)} trace points; missing {missing}, not listed {unlisted}, wrong {wrong}")
    return 1 if missing or unlisted or wrong or len(listed) < 5 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
