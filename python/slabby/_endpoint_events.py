# SPDX-License-Identifier: GPL-3.0-or-later
"""The events of pools as server-sent events."""

import json
import re
import time
from collections.abc import Callable, Iterator

from slabby._base_error import SlabbyError
from slabby._endpoint_pools import NamedPool, instance
from slabby._endpoint_problem import Problem, printable
from slabby._endpoint_tables import TARGET_LIMIT
from slabby._enums import EventCode, EventLevel, Status
from slabby._records import Event

# How often the rings of events are read, and how often a quiet stream says that it is alive.
EVENT_INTERVAL = 0.25
HEARTBEAT_INTERVAL = 10.0
# Events read in one crossing.
CHUNK = 64


class Stream:
    """One client's stream. Its server calls next() every EVENT_INTERVAL, and end() once."""

    def __init__(
        self,
        pools: Callable[[], list[NamedPool]],
        only: str | None,
        cursors: dict[str, int],
        follow: bool,
    ) -> None:
        self._pools = pools
        self._only = only
        self._cursors = cursors
        self._last = time.monotonic()
        self._begun = False
        self.follow = follow
        self.at_end: Callable[[Stream], None] = lambda stream: None

    def next(self) -> bytes:
        """The events since the last call."""
        text = "" if self._begun else "retry: 2000\n\n"
        self._begun = True
        seen = set()
        for named in self._pools():
            if self._only is None or named.id == self._only:
                seen.add(named.id)
                text += "".join(self._read(named))
        # Nothing is stored about a pool that no longer exists.
        self._cursors = {name: at for name, at in self._cursors.items() if name in seen}
        now = time.monotonic()
        if not text and now - self._last > HEARTBEAT_INTERVAL:
            text = ": no event\n\n"
        if text:
            self._last = now
        return text.encode()

    def end(self) -> None:
        self.at_end(self)

    def _read(self, named: NamedPool) -> Iterator[str]:
        count = 1
        while count:
            cursor = self._cursors.get(named.id, 0)
            try:
                records, count, lost, _ = named.pool._core.slabby_events_read(
                    cursor, named.pool, CHUNK
                )
            except SlabbyError as error:
                # A new pool with this name was made: its numbers begin at 0.
                self._cursors[named.id] = 0
                if cursor == 0 or error.status is Status.CLOSED:
                    return
                continue
            if lost:
                yield _line("event: lost\n", {"pool": named.id, "lost": lost})
            for record in records:
                event = Event._of(record)
                self._cursors[named.id] = event.sequence + 1
                yield _line(f"id: {self._id()}\n", _fields(named.id, event))

    def _id(self) -> str:
        """The place in all rings: "instance;orders=17;bodies=4"."""
        known = (f"{name}={cursor}" for name, cursor in self._cursors.items() if cursor)
        return ";".join([instance(), *known])


def _fields(pool: str, event: Event) -> dict[str, object]:
    """Ref is text: browsers round large numbers."""
    return {
        "pool": pool,
        "sequence": event.sequence,
        "time_ns": event.time_ns,
        "level": EventLevel(event.level).name.lower(),
        "code": EventCode(event.code).name.lower(),
        "ref": str(event.ref),
        "value": event.value,
        "suppressed": event.suppressed,
        "text": event.text,
    }


def _line(head: str, fields: dict[str, object]) -> str:
    return f"{head}data: {json.dumps(fields, ensure_ascii=False, separators=(',', ':'))}\n\n"


def open_stream(
    pools: Callable[[], list[NamedPool]], only: str | None, last_id: str, follow: bool
) -> Stream:
    return Stream(pools, only, parse_cursors(last_id), follow)


def parse_cursors(last_id: str) -> dict[str, int]:
    """An id of a stream. That of another run of the program starts from the beginning."""
    if len(last_id) > TARGET_LIMIT:
        text = f"Last-Event-ID has {len(last_id)} bytes; at most {TARGET_LIMIT} are taken"
        raise Problem(400, text)
    run, *parts = last_id.split(";")
    cursors = {}
    for part in parts:
        name, found, digits = part.partition("=")
        if not found or not re.fullmatch(r"[0-9]+", digits) or int(digits) >= 2**63:
            text = f'Last-Event-ID has the part "{printable(part)}", which no event carries'
            raise Problem(400, text)
        cursors[name] = int(digits)
    return cursors if run == instance() else {}
