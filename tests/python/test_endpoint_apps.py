# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints as applications, without a server: what WSGI and ASGI ask of them, and streams that are given up."""

import asyncio
import io
import threading
from wsgiref.util import is_hop_by_hop, setup_testing_defaults
from wsgiref.validate import validator

import pytest
import slabby
from slabby import asgi, wsgi
from wsgi_client import answer_of


@pytest.fixture
def pool():
    with slabby.Allocator(64, 8, name="orders") as pool:
        yield pool


def test_wsgi_answers_pass_the_check_of_wsgiref(pool):
    """Without headers that belong to the connection, and with the words of each status."""

    class Late(io.BytesIO):
        def read(self, *_):
            raise TimeoutError

    app = validator(wsgi.App([pool], token="t"))
    found = []

    def start(status, headers, error=None):
        assert not [name for name, _ in headers if is_hop_by_hop(name)]
        found.append(status)
        return lambda data: None

    common = {"SCRIPT_NAME": "/x", "QUERY_STRING": "", "HTTP_AUTHORIZATION": "Bearer t"}
    common |= {"CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "2"}
    change = "/pools/orders/options/secure"
    for method, path in (("PUT", change), ("GET", ""), ("GET", "/livez")):
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": Late(), **common}
        setup_testing_defaults(environ)
        parts = app(environ, start)
        list(parts)
        parts.close()
    assert found == ["408 Request Timeout", "308 Permanent Redirect", "200 OK"]


@pytest.mark.parametrize(
    ("mount", "location"),
    [
        ("/a/größe".encode(), "gr%C3%B6%C3%9Fe/"),
        (b"/\xff", "%FF/"),
        (b"/a:b", "./a:b/"),
        (b"", "./"),
    ],
)
def test_below_a_prefix_of_any_bytes_the_redirect_stays_there(pool, mount, location):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "", "SCRIPT_NAME": mount.decode("latin-1")}
    found = []
    wsgi.App([pool])(environ, lambda status, headers: found.append(dict(headers)["Location"]))
    assert found == [location]


@pytest.mark.parametrize(
    ("version", "host", "status"),
    [
        ("1.0", None, 200),
        ("1.0", "evil.example", 421),
        ("1.0", "", 421),
        ("1.1", None, 421),
        ("1.1", "localhost", 200),
        ("2", None, 421),
    ],
)
def test_only_http_1_0_may_omit_host(version, host, status):
    given = {} if host is None else {"HTTP_HOST": host}
    app = wsgi.App([], hosts=["localhost"])
    assert answer_of(app, "GET", "/livez", SERVER_PROTOCOL=f"HTTP/{version}", **given)[0] == status

    async def main():
        sent = []

        async def send(message):
            sent.append(message)

        headers = [] if host is None else [(b"host", host.encode())]
        scope = {"type": "http", "method": "GET", "path": "/livez", "headers": headers}
        scope["http_version"] = version
        await asgi.App([], hosts=["localhost"])(scope, None, send)
        return sent[0]["status"]

    assert asyncio.run(main()) == status


def test_wsgi_streams_end_with_their_client(pool):
    app = wsgi.App([pool])
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/events", "wsgi.input": io.BytesIO()}
    body = app(environ, lambda status, headers: None)
    parts = iter(body)
    assert b"opened" in next(parts)
    pool.set_option("secure", True)
    assert b"option_changed" in next(parts)
    assert len(app._endpoints.streams) == 1
    body.close()
    assert not app._endpoints.streams


def test_wsgi_streams_end_with_a_server_that_cannot_start_them(pool):
    app = wsgi.App([pool])
    for method in ("GET", "HEAD"):
        environ = {"REQUEST_METHOD": method, "PATH_INFO": "/events", "wsgi.input": io.BytesIO()}

        def start(status, headers):
            raise BrokenPipeError

        with pytest.raises(BrokenPipeError):
            app(environ, start)
        assert not app._endpoints.streams


def test_asgi_streams_that_are_cancelled_count_no_longer(monkeypatch, pool):
    """Wherever the cancellation comes: before the thread, while it works, after it, in the stream."""
    app = asgi.App([pool])
    begun, go_on = threading.Event(), threading.Event()
    begin = app._endpoints.begin

    def slow(request):
        found = begin(request)
        begun.set()
        assert go_on.wait(60)
        return found

    monkeypatch.setattr(app._endpoints, "begin", slow)

    async def main():
        async def never():
            await asyncio.sleep(3600)

        async def send(message):
            pass

        scope = {"type": "http", "method": "GET", "path": "/events", "headers": []}
        task = asyncio.create_task(app(scope, never, send))
        assert await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        go_on.set()
        for rounds in range(200):
            task = asyncio.create_task(app(scope, never, send))
            await asyncio.sleep(rounds * 1e-5)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert not app._endpoints.streams


async def drive(app, target, until, change):
    """Asks an ASGI application, changes something, and leaves when `until` has come."""
    left = asyncio.Event()
    sent = []
    begun = []

    async def receive():
        if not begun:
            begun.append(True)
            return {"type": "http.request", "body": b"", "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)
        if b"opened" in message.get("body", b""):
            change()
        if until in message.get("body", b""):
            left.set()

    scope = {"type": "http", "method": "GET", "path": target, "query_string": b"", "headers": []}
    await asyncio.wait_for(app(scope, receive, send), 60)
    return sent


def test_asgi_streams_end_with_their_client(pool):
    app = asgi.App([pool])
    change = lambda: pool.set_option("secure", True)  # noqa: E731
    sent = asyncio.run(drive(app, "/events", b"option_changed", change))
    assert sent[0]["status"] == 200
    assert not app._endpoints.streams


def test_asgi_answers_for_its_life_and_refuses_websockets(pool):
    async def talk(kind, messages):
        waiting, sent = list(messages), []

        async def receive():
            return {"type": waiting.pop(0)}

        async def send(message):
            sent.append(message["type"])

        await asgi.App([pool])({"type": kind}, receive, send)
        return sent

    life = asyncio.run(talk("lifespan", ["lifespan.startup", "lifespan.shutdown"]))
    assert life == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert asyncio.run(talk("websocket", [])) == ["websocket.close"]


def test_an_asgi_body_that_does_not_come_is_late(monkeypatch, pool):
    monkeypatch.setattr(asgi, "BODY_TIMEOUT", 0.1)

    async def never():
        await asyncio.sleep(60)

    async def ask():
        sent = []

        async def send(message):
            sent.append(message)

        headers = [(b"authorization", b"Bearer t"), (b"content-type", b"text/plain")]
        headers.append((b"content-length", b"2"))
        path = "/pools/orders/options/secure"
        scope = {"type": "http", "method": "PUT", "path": path, "headers": headers}
        await asgi.App([pool], token="t")(scope, never, send)
        return sent[0]["status"]

    assert asyncio.run(ask()) == 408
    assert pool.get_option("secure") is False
