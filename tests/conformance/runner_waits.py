# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python runner's instructions about waiting. While a wait is not over, its pool register has one listener."""

from __future__ import annotations

from typing import Any

import slabby
from runner_inspect import UNSET, show

OK = '{"status":"OK"}'
CLOSED = '{"status":"Closed"}'
# Fewer than a program's waits, so that several calls are needed.
TAKEN_AT_ONCE = 2


class Wait:
    """A ticket, and its slab once the grant was taken."""

    def __init__(self, pool: str, ticket: int) -> None:
        self.pool = pool
        self.ticket = ticket
        self.slab: Any = None


class Waits:
    """One method an instruction."""

    pools: dict[str, Any]
    refs: dict[str, Any]

    def __init__(self) -> None:
        self.waits: dict[str, Wait] = {}
        self.listeners: dict[str, Any] = {}
        self.over: set[str] = set()

    def do_wait(self, target: str, name: str) -> str:
        pool = self.pools.get(name)
        if pool is None or target in self.waits:
            return UNSET
        if name not in self.listeners:
            self.listeners[name] = pool.listener()
        try:
            ticket = self.listeners[name].begin(int(target[1:]))
            self.waits[target] = Wait(name, ticket)
        finally:
            self._leave(name)
        return OK

    def _leave(self, name: str) -> None:
        if all(wait.pool != name for wait in self.waits.values()):
            self.listeners.pop(name).close()
            self.over.discard(name)

    def _take(self, name: str) -> None:
        """Takes what was granted; closed and nothing more to come: the register is in `over`."""
        try:
            while grants := self.listeners[name].take_grants(TAKEN_AT_ONCE):
                for ticket, slab, index in grants:
                    slab.detach()
                    wait = self.waits[f"w{index}"]
                    if wait.ticket != ticket or wait.pool != name:
                        raise RuntimeError("a grant of a ticket that nobody waits for")
                    wait.slab = slab
        except slabby.ClosedError:
            self.over.add(name)

    def do_collect(self, target: str, key: str) -> str:
        wait = self.waits.get(key)
        if wait is None:
            return UNSET
        self._take(wait.pool)
        over = wait.pool in self.over
        if wait.slab is None and not over:
            return show("OK", granted=False)
        del self.waits[key]
        self._leave(wait.pool)
        if wait.slab is None:
            return CLOSED
        self.refs[target] = wait.slab
        return show("OK", granted=True)

    def do_cancel(self, key: str) -> str:
        wait = self.waits.get(key)
        if wait is None:
            return UNSET
        slab = wait.slab or self.listeners[wait.pool].cancel(wait.ticket)
        if slab is not None:
            slab.release()
        del self.waits[key]
        self._leave(wait.pool)
        return show("OK", granted=slab is not None)

    def end_waits(self) -> None:
        for key in list(self.waits):
            self.do_cancel(key)

    def count_waiting(self, address: int) -> int:
        """Takes what was granted; how many wait still for a slab of a pool."""
        names = [name for name in self.listeners if self.pools[name].handle()[0] == address]
        for name in names:
            self._take(name)
        return sum(
            wait.pool in names and wait.slab is None and wait.pool not in self.over
            for wait in self.waits.values()
        )
