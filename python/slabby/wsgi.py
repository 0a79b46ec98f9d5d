# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints as a WSGI application.

    from slabby.wsgi import App

    app = App()

A stream of /events occupies a thread or worker of the server while it is open.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from slabby._endpoint_app import EndpointApp
from slabby._endpoint_events import EVENT_INTERVAL, Stream
from slabby._endpoint_tables import PATHS
from slabby._endpoints import HEADERS, Answer, Change, Request, reason_of

StartResponse = Callable[..., Any]


class App(EndpointApp):
    __doc__ = EndpointApp.__doc__

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = request_of(environ)
        found = self._endpoints.begin(request)
        if isinstance(found, Change):
            found = _read_change(found, environ)
        if isinstance(found, Stream):
            found = self._endpoints.admit(found)
        if isinstance(found, Stream):
            return _stream(found, request.method == "HEAD", start_response)
        start_response(f"{found.status} {reason_of(found.status)}", list(found.headers))
        return [] if request.method == "HEAD" else [found.body]


def _stream(stream: Stream, head: bool, start_response: StartResponse) -> Iterable[bytes]:
    body = EventBody(stream)
    try:
        start_response("200 OK", [*HEADERS, ("Content-Type", PATHS["/events"].type)])
    except BaseException:
        # A server that has no body does not close it.
        body.close()
        raise
    if head:
        body.close()
        return []
    return body


def _read_change(change: Change, environ: dict[str, Any]) -> Answer:
    try:
        return change.finish(environ["wsgi.input"].read(change.length))
    except TimeoutError:
        return change.late()


def request_of(environ: dict[str, Any]) -> Request:
    """PEP 3333: texts of the environment hold bytes as Latin-1."""
    headers = {
        key.removeprefix("HTTP_").replace("_", "-").lower(): value
        for key, value in environ.items()
        if key.startswith("HTTP_") or key in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }
    path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")
    # Bytes that are no text have to come back as they were.
    mount = environ.get("SCRIPT_NAME", "").encode("latin-1").decode(errors="surrogateescape")
    query = environ.get("QUERY_STRING", "")
    version = environ.get("SERVER_PROTOCOL", "HTTP/1.1").removeprefix("HTTP/")
    return Request(environ["REQUEST_METHOD"], path, query, headers, mount, version)


class EventBody:
    """The body of /events; the server calls close() when the client has left."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield self._stream.next()
        while self._stream.follow:
            time.sleep(EVENT_INTERVAL)
            # If there is no event, the piece is empty, and servers skip it.
            yield self._stream.next()

    def close(self) -> None:
        self._stream.end()
