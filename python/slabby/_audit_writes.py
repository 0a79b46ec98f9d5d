# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocator.audit_write().

The core waits while a pipe is full, and no signal ends that. So in the main thread, where Python handles signals, a
thread of its own waits inside the core. After Ctrl-C that thread goes on: a line that was begun must be completed.

One call at a time writes, from the place that the last one has stored: the core itself refuses a second one only until
the first has left the core, which is before it has stored its place."""

from __future__ import annotations

import os
import stat
import threading

from slabby._base_error import SlabbyError
from slabby._monkey import is_patched
from slabby._raise import make_error
from slabby._status import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from slabby._allocator import Allocator

# The system may deliver a signal to another thread; Python then handles it after this time at the latest.
SLICE_S = 0.1


def _may_wait(fd: int) -> bool:
    """Whether the core may wait where a signal should end that. It says itself what is wrong with a descriptor."""
    if threading.current_thread() is not threading.main_thread() or is_patched("threading"):
        return False
    try:
        return not stat.S_ISREG(os.fstat(fd).st_mode)
    except (OSError, OverflowError):
        return False


def _write(pool: Allocator, fd: int) -> int:
    lock, process = pool._audit_turn
    if process != os.getpid():  # a child made by fork does not wait for a thread of its parent
        pool._audit_turn = lock, process = threading.Lock(), os.getpid()
    if not lock.acquire(blocking=False):
        raise make_error(Status.BUSY, "another audit_write() of this pool has not ended yet")
    try:
        count, pool._audit_written = pool._core.slabby_audit_write(pool._audit_written, pool, fd)
    finally:
        lock.release()
    return count


class _Writer(threading.Thread):
    """Writes to a descriptor of its own: the caller may close his meanwhile, and the system use the number again."""

    def __init__(self, pool: Allocator, fd: int) -> None:
        super().__init__(name="slabby-audit", daemon=True)
        self._pool = pool
        self._given = fd
        self._fd = os.dup(fd)
        self.count = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.count = _write(self._pool, self._fd)
        except SlabbyError as error:
            error.args = (str(error).replace(f" {self._fd} ", f" {self._given} ", 1),)
            self.error = error
        except BaseException as error:
            self.error = error
        finally:
            self.close()

    def close(self) -> None:
        os.close(self._fd)


def write_audit(pool: Allocator, fd: int) -> int:
    """How many records were written."""
    if not _may_wait(fd):
        return _write(pool, fd)
    try:
        writer = _Writer(pool, fd)
    except OSError:  # no descriptor is left
        return _write(pool, fd)
    try:
        writer.start()
    except RuntimeError:  # the system, or this interpreter, refuses a thread
        writer.close()
        return _write(pool, fd)
    while writer.is_alive():
        writer.join(SLICE_S)
    if writer.error is not None:
        raise writer.error
    return writer.count
