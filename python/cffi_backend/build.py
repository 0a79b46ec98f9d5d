# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the C source of the CFFI backend, slabby._cffi: `build.py OUTPUT.c`."""

import sys
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent

# cffi releases the GIL around every call. The core's hot functions never block, so releasing the GIL would only
# cost time; the functions that may block release it themselves, in unlocked.h.
PREAMBLE = """
#include "refcounts.h"
#include <slabby/slabby.h>
#include "table.h"
#include "unlocked.h"

#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }

static uintptr_t slabby_table_address(void)
{
    static const struct slabby_core_table table = SLABBY_CORE_TABLE;

    return (uintptr_t)&table;
}
"""


def write(output: Path) -> None:
    ffi = FFI()
    ffi.cdef((HERE / "slabby.cdef").read_text(encoding="utf-8"))
    ffi.set_source("slabby._cffi", PREAMBLE)
    output.parent.mkdir(parents=True, exist_ok=True)
    ffi.emit_c_code(str(output))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
