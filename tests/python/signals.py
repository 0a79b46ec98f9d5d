# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals as the system may deliver them: to any thread of a process that does not block them."""

import ctypes
from pathlib import Path


def signal_a_worker(process, number):
    """Sends a signal to a thread that is not the main one, as happens by itself now and then while threads begin."""
    tgkill = getattr(ctypes.CDLL(None), "tgkill", None)
    for task in Path(f"/proc/{process.pid}/task").glob("*"):
        is_worker = tgkill is not None and task.name != str(process.pid) and listens(task)
        if is_worker and tgkill(process.pid, int(task.name), number) == 0:
            return
    process.send_signal(number)


def listens(task):
    """Whether a thread blocks no signal. One that has ended does not listen."""
    try:
        status = (task / "status").read_text()
    except OSError:
        return False
    blocked = next(line for line in status.splitlines() if line.startswith("SigBlk:"))
    return int(blocked.split()[1], 16) == 0
