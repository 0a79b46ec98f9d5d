# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a descriptor in the event loop that runs: asyncio's or trio's, also below anyio."""

from __future__ import annotations

import sys


def running_loop() -> str:
    """ "asyncio" or "trio"; RuntimeError where neither runs."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return "trio"
    import asyncio

    asyncio.get_running_loop()
    return "asyncio"


async def readable(fd: int, timeout: float | None) -> bool:
    """Waits until the descriptor is readable: true; or until the timeout in seconds is over: false."""
    if running_loop() == "trio":
        return await _readable_in_trio(fd, timeout)
    return await _readable_in_asyncio(fd, timeout)


async def _readable_in_asyncio(fd: int, timeout: float | None) -> bool:
    import asyncio

    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, wake)
    try:
        done, _ = await asyncio.wait([ready], timeout=timeout)
        return bool(done)
    finally:
        ready.cancel()
        if not loop.is_closed():
            loop.remove_reader(fd)


async def _readable_in_trio(fd: int, timeout: float | None) -> bool:
    trio = sys.modules["trio"]
    with trio.move_on_after(float("inf") if timeout is None else timeout) as scope:
        await trio.lowlevel.wait_readable(fd)
    return not scope.cancelled_caught
