# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints of Go and Python over the same pools: each server behind one call."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import slabby
from bindings import golib
from slabby import asgi, wsgi
from slabby.server import serve

TOKEN = "token"
# What clients depend on, beside the length.
HEADERS = (
    "allow",
    "cache-control",
    "content-security-policy",
    "content-type",
    "location",
    "referrer-policy",
    "retry-after",
    "www-authenticate",
    "x-content-type-options",
)
# Values that differ from one moment to the next.
MOMENTARY = ("time", "time_ns", "oldest_ns")


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: Any


Server = Callable[[Request], Reply]


def steady(value: Any) -> Any:
    """Without what differs from one moment to the next: times, and latencies, which move with what
    is known of the clock."""
    if isinstance(value, dict):
        return {
            key: steady(each)
            for key, each in value.items()
            if key not in MOMENTARY and "latency" not in key and "alloc_time" not in key
        }
    return [steady(each) for each in value] if isinstance(value, list) else value


def reply(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Reply:
    known = {name.lower(): value for name, value in headers if name.lower() in HEADERS}
    is_json = known.get("content-type", "").endswith("json")
    return Reply(status, known, steady(json.loads(body)) if is_json and body else body)


def over_http(port: int, prefix: str = "") -> Server:
    def ask(request: Request) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            target = prefix + request.target
            connection.request(request.method, target, request.body, dict(request.headers))
            answer = connection.getresponse()
            return reply(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    return ask


def _headers_of(request: Request) -> list[tuple[str, str]]:
    headers = [("host", "127.0.0.1:80"), *request.headers]
    length = [("content-length", str(len(request.body)))] if request.body is not None else []
    named = {name.lower() for name, _ in headers}
    return headers + [pair for pair in length if pair[0] not in named]


def over_wsgi(app: wsgi.App) -> Server:
    def ask(request: Request) -> Reply:
        path, _, query = request.target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "/mount",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "wsgi.input": io.BytesIO(request.body or b""),
        }
        for name, value in _headers_of(request):
            key = name.upper().replace("-", "_")
            environ[key if key.startswith("CONTENT_") else "HTTP_" + key] = value
        started: list[Any] = []
        parts = app(environ, lambda status, headers: started.extend((status, headers)))
        body = b"".join(parts)
        if hasattr(parts, "close"):
            parts.close()
        return reply(int(started[0].split()[0]), started[1], body)

    return ask


def over_asgi(app: asgi.App) -> Server:
    async def run(request: Request) -> Reply:
        path, _, query = request.target.partition("?")
        scope = {
            "type": "http",
            "method": request.method,
            "path": "/mount" + unquote(path, errors="replace"),
            "root_path": "/mount",
            "query_string": query.encode(),
            "headers": [(n.lower().encode(), v.encode()) for n, v in _headers_of(request)],
        }
        waiting = [{"type": "http.request", "body": request.body or b"", "more_body": False}]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if waiting:
                return waiting.pop()
            await asyncio.sleep(3600)
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope, receive, send)
        headers = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return reply(sent[0]["status"], headers, body)

    return lambda request: asyncio.run(run(request))


def join(pools: Iterable[slabby.Allocator]) -> int:
    """Hands the pools to Go; the index of the first there."""
    indexes = [golib().golib_join(*pool.handle()) for pool in pools]
    assert min(indexes) >= 0
    return int(indexes[0])


def all_servers(pools: list[slabby.Allocator]) -> dict[str, Server]:
    first = join(pools)
    return {
        "go": over_http(golib().golib_serve(first)),
        "python": over_http(serve(pools, "127.0.0.1:0", token=TOKEN).server_address[1]),
        "wsgi": over_wsgi(wsgi.App(pools, token=TOKEN)),
        "asgi": over_asgi(asgi.App(pools, token=TOKEN)),
    }


def mounted_servers(pools: list[slabby.Allocator]) -> dict[str, Server]:
    first = join(pools)
    return {
        "go": over_http(golib().golib_serve_mounted(first), "/mount"),
        "wsgi": over_wsgi(wsgi.App(pools, exhaustion=True)),
        "asgi": over_asgi(asgi.App(pools, exhaustion=True)),
    }


def servers_of_all() -> dict[str, Server]:
    """Every open pool of the process, in whichever language."""
    return {
        "go": over_http(golib().golib_serve_all()),
        "python": over_http(serve(address="127.0.0.1:0").server_address[1]),
        "wsgi": over_wsgi(wsgi.App()),
    }
