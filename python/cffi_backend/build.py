# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the C source of the CFFI backend, slabby._cffi: `build.py OUTPUT.c`."""

import sys
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent

# cffi releases the GIL around every call. The core's hot functions never block, so that handing the GIL over
# would only cost; the functions that may block release it themselves, in unlocked.h. Besides, the cell of a
# pool is read under the same hold of the GIL under which it was written.
PREAMBLE = """
#include <slabby/slabby.h>
#include "table.h"
#include "unlocked.h"

#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }

static int32_t slabby_cell_allocate(slabby_cell *cell)
{
    return slabby_allocate(&cell->ref, &cell->data, cell->allocator);
}

static int32_t slabby_cell_allocate_fast(slabby_cell *cell)
{
    return slabby_allocate_fast(&cell->data, &cell->id, cell->allocator);
}

static uintptr_t slabby_table_address(void)
{
    static struct slabby_core_table table = SLABBY_CORE_TABLE;

    table.instance_id = slabby_instance_id();
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
