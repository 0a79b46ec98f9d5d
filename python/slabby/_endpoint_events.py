# SPDX-License-Identifier: GPL-3.0-or-later
"""The events of pools as server-sent events."""

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

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


class Position(NamedTuple):
    """The sequence of a pool's next event, and what to know the event before it by: a pool that has the label of an
    earlier one numbers its events from 0 on too."""

    next: int
    mark: int | None

    @property
    def first(self) -> int:
        """Where to read from."""
        return self.next if self.mark is None else self.next - 1

    def __str__(self) -> str:
        return f"{self.next}" if self.mark is None else f"{self.next}.{self.mark}"


BEGIN = Position(0, None)


def _mark(time_ns: int) -> int:
    return time_ns % 1_000_000


class Stream:
    """One client's stream. Its server calls next() every EVENT_INTERVAL, and end() once."""

    def __init__(
        self,
        pools: Callable[[], list[NamedPool]],
        only: str | None,
        positions: dict[str, Position],
        follow: bool,
    ) -> None:
        self._pools = pools
        self._only = only
        self._positions = positions
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
        self._positions = {name: at for name, at in self._positions.items() if name in seen}
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
            at = self._positions.get(named.id, BEGIN)
            try:
                records, _, lost, _ = named.pool._core.slabby_events_read(
                    at.first, named.pool, CHUNK
                )
            except SlabbyError as error:
                # A new pool with this name was made: its numbers begin at 0.
                self._positions[named.id] = BEGIN
                if at.next == 0 or error.status is Status.CLOSED:
                    return
                continue
            events = [Event._of(record) for record in records]
            if at.mark is not None and not lost:
                if not events or _mark(events[0].time_ns) != at.mark:
                    self._positions[named.id] = BEGIN
                    continue
                del events[0]
            elif at.mark is not None:
                lost -= 1
            if lost:
                yield _line("event: lost\n", {"pool": named.id, "lost": lost})
            for event in events:
                self._positions[named.id] = Position(event.sequence + 1, _mark(event.time_ns))
                yield _line(f"id: {self._id()}\n", _fields(named.id, event))
            count = len(events)

    def _id(self) -> str:
        """The place in all rings: "instance;orders=17.483920;bodies=4.90210". It is no longer than parse_positions
        takes: of pools for which it has no room, a client that resumes gets the events again."""
        text = instance()
        for name, at in self._positions.items():
            if at.next:
                part = f";{name}={at}"
                if len(text) + len(part) > TARGET_LIMIT:
                    break
                text += part
        return text


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
    return Stream(pools, only, parse_positions(last_id), follow)


def parse_positions(last_id: str) -> dict[str, Position]:
    """An id of a stream. That of another run of the program starts from the beginning."""
    if len(last_id) > TARGET_LIMIT:
        text = f"Last-Event-ID has {len(last_id)} bytes; at most {TARGET_LIMIT} are taken"
        raise Problem(400, text)
    run, *parts = last_id.split(";")
    positions = {}
    for part in parts:
        name, _, numbers = part.partition("=")
        at = _position_of(numbers)
        if at is None:
            text = f'Last-Event-ID has the part "{printable(part)}", which no event carries'
            raise Problem(400, text)
        positions[name] = at
    return positions if run == instance() else {}


def _position_of(numbers: str) -> Position | None:
    """Of "17.483920", or "17" alone."""
    found = re.fullmatch(r"([0-9]+)(?:\.([0-9]+))?", numbers)
    if found is None or any(each and int(each) >= 2**63 for each in found.groups()):
        return None
    at, mark = int(found[1]), found[2]
    return Position(at, int(mark) if mark and at else None)
