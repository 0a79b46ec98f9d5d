# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the exports of a python3.dll that hands the stable ABI on: forward_python3.py PYTHON3X.DLL OUTPUT.def"""

from __future__ import annotations

import sys
from pathlib import Path

import pefile  # type: ignore[import-not-found, import-untyped, unused-ignore]
from abi3info import DATAS, FUNCTIONS  # type: ignore[import-not-found, import-untyped, unused-ignore]

library, output = Path(sys.argv[1]), Path(sys.argv[2])
image = pefile.PE(str(library), fast_load=True)
image.parse_data_directories()
exported = {entry.name.decode() for entry in image.DIRECTORY_ENTRY_EXPORT.symbols if entry.name}
stable = sorted({symbol.name for symbol in [*FUNCTIONS, *DATAS]} & exported)
lines = [f"  {name}={library.stem}.{name}" for name in stable]
output.write_text("\n".join(["LIBRARY python3.dll", "EXPORTS", *lines, ""]))
