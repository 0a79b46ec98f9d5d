# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the files of package managers for one source archive: fill.py ARCHIVE OUTPUT

The archive is slabby-src-VERSION.tar.gz. OUTPUT gets the Homebrew formula, the meson wrap and the vcpkg port.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    archive, output = Path(sys.argv[1]), Path(sys.argv[2])
    named = re.fullmatch(r"slabby-src-(\d+\.\d+\.\d+)\.tar\.gz", archive.name)
    if named is None:
        print(f"error: {archive.name} is not called slabby-src-VERSION.tar.gz", file=sys.stderr)
        return 2
    content = archive.read_bytes()
    values = {
        "@VERSION@": named[1],
        "@SHA256@": hashlib.sha256(content).hexdigest(),
        "@SHA512@": hashlib.sha512(content).hexdigest(),
    }
    templates = [
        path for folder in ("homebrew", "meson", "vcpkg") for path in (HERE / folder).rglob("*.in")
    ]
    for template in templates:
        text = template.read_text(encoding="utf-8")
        for name, value in values.items():
            text = text.replace(name, value)
        target = output / template.relative_to(HERE).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(target.relative_to(output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
