# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints as an ASGI application, for servers that run on asyncio.

    from slabby.asgi import App

    app = App()

It shows every open pool of the process, or only the given pools.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from slabby._endpoint_app import EndpointApp
from slabby._endpoint_events import EVENT_INTERVAL, Stream
from slabby._endpoint_tables import PATHS
from slabby._endpoints import BODY_TIMEOUT, HEADERS, Answer, Change, Request

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Answered without a thread, even if all threads of the loop are busy.
AT_ONCE = ("/", "/livez")


class App(EndpointApp):
    __doc__ = EndpointApp.__doc__

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        request = request_of(scope)
        if request.path in AT_ONCE:
            found = self._endpoints.begin(request)
        else:
            # Statistics of large pools, and some options, take longer than a loop can wait.
            found = await asyncio.to_thread(self._endpoints.begin, request)
        if isinstance(found, Change):
            found = await _read_change(found, receive)
        if isinstance(found, Stream):
            # From here to its end() no cancellation can come between.
            found = self._endpoints.admit(found)
        if isinstance(found, Stream):
            await _stream(found, request.method == "HEAD", receive, send)
            return
        await send(_start(found.status, found.headers))
        body = b"" if request.method == "HEAD" else found.body
        await send({"type": "http.response.body", "body": body})


def _start(status: int, headers: Iterable[tuple[str, str]]) -> Message:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": pairs}


def request_of(scope: Message) -> Request:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    mount = scope.get("root_path", "")
    path = scope["path"]
    # Some servers leave the mount in the path, as the specification requires; others do not.
    if mount and (path == mount or path.startswith(mount + "/")):
        path = path[len(mount) :]
    query = scope.get("query_string", b"").decode("latin-1")
    version = scope.get("http_version", "1.1")
    return Request(scope["method"], path, query, headers, mount, version)


async def _read_change(change: Change, receive: Receive) -> Answer:
    body, more = b"", change.length > 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            while more and len(body) < change.length:
                message = await receive()
                body += message.get("body", b"")
                more = message["type"] == "http.request" and message.get("more_body", False)
    except TimeoutError:
        return change.late()
    return await asyncio.to_thread(change.finish, body[: change.length])


async def _stream(stream: Stream, head: bool, receive: Receive, send: Send) -> None:
    left = asyncio.ensure_future(_disconnected(receive))
    try:
        await send(_start(200, [*HEADERS, ("Content-Type", PATHS["/events"].type)]))
        more = not head
        while more and not left.done():
            text = await asyncio.to_thread(stream.next)
            more = stream.follow
            if text:
                await send({"type": "http.response.body", "body": text, "more_body": True})
            if more:
                await asyncio.wait([left], timeout=EVENT_INTERVAL)
        if not left.done():
            await send({"type": "http.response.body", "body": b""})
    finally:
        left.cancel()
        stream.end()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
