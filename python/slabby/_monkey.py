# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether gevent or eventlet has replaced Python's modules by its own."""

import sys


def is_patched(module: str) -> bool:
    """Checks only modules that are imported already: a program that patches has imported gevent or eventlet."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched(module):
        return True
    eventlet = sys.modules.get("eventlet.patcher")
    return eventlet is not None and bool(eventlet.is_monkey_patched(module))
