# SPDX-License-Identifier: GPL-3.0-or-later
"""slabby._enums for those that need it seldom: making the enumerations takes as long as all the rest of the package."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

_complete: ModuleType | None = None


def enumerations() -> ModuleType:
    """The module slabby._enums, loaded with the first call.

    What runs in the middle of that import, in the same thread, gets the whole module, too: a destructor, the collector
    or the handler of a signal that looks at a pool."""
    global _complete
    if _complete is None:
        from slabby import _enums

        if getattr(_enums.__spec__, "_initializing", False):
            # The import that was interrupted returns what it finds here at its end.
            del sys.modules["slabby._enums"]
            from slabby import _enums
        _complete = _enums
    return _complete
