# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether gevent or eventlet has put its own modules in the place of Python's."""

import sys


def is_patched(module: str) -> bool:
    """Looks at what was imported already: a program that patches has imported it."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched(module):
        return True
    eventlet = sys.modules.get("eventlet.patcher")
    return eventlet is not None and bool(eventlet.is_monkey_patched(module))
