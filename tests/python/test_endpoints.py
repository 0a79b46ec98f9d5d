# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints over real connections: malformed, oversized and slow requests, streams, many clients. tests/samepool
compares their answers with Go's."""

import http.client
import io
import json
import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest
import slabby
from hypothesis import given, settings
from hypothesis import strategies as st
from slabby import asgi, wsgi
from slabby import server as serving
from wsgi_client import answer_of

PUT = (
    "PUT /pools/orders/options/secure HTTP/1.1\r\nHost: localhost\r\n"
    "Authorization: Bearer t\r\nContent-Type: text/plain\r\n"
)
GET = "GET /livez HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def pool():
    with slabby.Allocator(64, 8, name="orders") as pool:
        yield pool


@pytest.fixture
def server(pool):
    server = serving.serve([pool], "127.0.0.1:0", token="t")
    yield server
    server.close()


def connect(server):
    return socket.create_connection(server.server_address[:2], timeout=60)


def raw(server, text):
    """Status and body of the answer to these bytes."""
    with connect(server) as connection:
        connection.sendall(text if isinstance(text, bytes) else text.encode("latin-1"))
        with http.client.HTTPResponse(connection) as answer:
            answer.begin()
            return answer.status, answer.getheader("content-type"), answer.read()


RAW = [
    (GET + "\r\n", 200),
    ("GET http://localhost/livez HTTP/1.0\r\nHost: localhost\r\n\r\n", 200),
    # A health check of HTTP/1.0, which no browser is. Host is another matter if it comes.
    ("GET /livez HTTP/1.0\r\n\r\n", 200),
    ("GET http://localhost/livez HTTP/1.0\r\n\r\n", 200),
    ("GET /livez HTTP/1.0\r\nHost: evil.example\r\n\r\n", 421),
    ("GET /livez HTTP/1.0\r\nHost:\r\n\r\n", 421),
    ("GET http://evil.example/livez HTTP/1.0\r\n\r\n", 421),
    ("GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
    ("GET http://localhost/livez HTTP/1.1\r\n\r\n", 400),
    ("GET /%6Civez HTTP/1.1\nHost: localhost\n\n", 200),
    ("GET /livez HTTP/1.1\r\n\r\n", 400),
    ("nonsense\r\n\r\n", 400),
    ("GET /livez\r\n\r\n", 400),
    ("GET livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET /% HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET /\xe4 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("get /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", 400),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (GET + "no colon\r\n\r\n", 400),
    (GET + "a b: c\r\n\r\n", 400),
    (GET + "Host: localhost\r\n\r\n", 400),
    ("GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    ("GET /" + "x" * 3000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    ("GET /" + "x" * 100_000, 414),
    (GET + "X: " + "x" * 100_000, 431),
    (GET + "X: y\r\n" * 1000 + "\r\n", 431),
    ("TRACE /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    (PUT + "Transfer-Encoding: chunked\r\n\r\n2\r\non\r\n0\r\n\r\n", 411),
    (PUT + "Content-Length: 99999999999999\r\n\r\n", 413),
    (PUT + "Content-Length: -1\r\n\r\n", 400),
    (PUT + "Content-Length: 2\r\nContent-Length: 3\r\n\r\non", 400),
    (PUT + "\r\n", 422),
]


@pytest.fixture(scope="module")
def shared():
    with slabby.Allocator(64, 8, name="shared") as pool:
        server = serving.serve([pool], "127.0.0.1:0", token="t")
        yield server, pool
        server.close()


@pytest.mark.parametrize(("text", "status"), RAW, ids=lambda each: repr(each)[:50])
def test_malformed_requests_get_a_problem(shared, text, status):
    server, pool = shared
    if isinstance(text, str):
        text = text.replace("/pools/orders/", "/pools/shared/")
    found, kind, body = raw(server, text)
    assert found == status
    if status >= 400:
        assert kind == "application/problem+json"
        assert json.loads(body)["status"] == status
    assert pool.get_option("secure") is False
    assert raw(server, GET + "\r\n")[0] == 200


@pytest.mark.parametrize("start", ["", "GET /livez HT", GET, PUT + "Content-Length: 2\r\n\r\no"])
def test_slow_clients_are_cut_off_and_hold_up_no_other(monkeypatch, server, pool, start):
    monkeypatch.setattr(serving, "HEADER_TIMEOUT", 0.5)
    monkeypatch.setattr(serving, "BODY_TIMEOUT", 0.5)
    with connect(server) as slow:
        slow.sendall(start.encode())
        # On a busy machine half a second may be too little for an honest client, too.
        assert any(raw(server, GET + "\r\n")[0] == 200 for _ in range(100))
        with http.client.HTTPResponse(slow) as answer:
            answer.begin()
            assert answer.status == 408
            assert json.loads(answer.read())["title"] == "Request Timeout"
    assert pool.get_option("secure") is False


def test_a_trickle_is_too_slow_too(monkeypatch, server):
    monkeypatch.setattr(serving, "HEADER_TIMEOUT", 0.5)
    with connect(server) as slow:
        answered = threading.Event()

        def trickle():
            while not answered.wait(0.05):
                try:
                    slow.sendall(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            with http.client.HTTPResponse(slow) as answer:
                answer.begin()
                assert answer.status == 408
        finally:
            answered.set()
            thread.join()


def test_more_clients_than_the_server_takes(monkeypatch, pool):
    monkeypatch.setattr(serving, "CONNECTIONS", 4)
    monkeypatch.setattr(serving, "HEADER_TIMEOUT", 600)
    server = serving.serve([pool], "127.0.0.1:0")
    idle = [connect(server) for _ in range(4)]
    try:
        with pytest.raises(OSError):
            for _ in range(100):  # the server takes connections in its own time
                raw(server, GET + "\r\n")
    finally:
        for connection in idle:
            connection.close()
        server.close()


def test_a_with_block_ends_the_server_and_its_thread(pool):
    before = set(threading.enumerate())
    with serving.serve([pool], "127.0.0.1:0") as server:
        assert raw(server, GET + "\r\n")[0] == 200
        (thread,) = (t for t in set(threading.enumerate()) - before if t.name == "slabby-serve")
    # It would poll the closed socket for ever, and use a processor.
    thread.join(20)
    assert not thread.is_alive()
    server.close()


def refuse_threads(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_a_server_that_got_no_thread_closes_its_socket(monkeypatch, pool):
    made = []
    bind = serving.Server.server_bind
    monkeypatch.setattr(serving.Server, "server_bind", lambda self: (bind(self), made.append(self)))
    refuse_threads(monkeypatch)
    with pytest.raises(RuntimeError, match="can't start"):
        serving.serve([pool], "127.0.0.1:0")
    assert made[0].fileno() == -1


def test_the_server_answers_again_when_there_are_threads_again(monkeypatch, pool):
    monkeypatch.setattr(serving, "CONNECTIONS", 2)
    with serving.serve([pool], "127.0.0.1:0") as server:
        with monkeypatch.context() as without:
            refuse_threads(without)
            for _ in range(4):
                with pytest.raises((OSError, http.client.HTTPException)):
                    raw(server, GET + "\r\n")
        assert raw(server, GET + "\r\n")[0] == 200


# ------------------------------------------------------------------------------------------------ answers


def test_only_the_token_changes_options(pool):
    app = wsgi.App([pool], token="right")
    path = "/pools/orders/options/secure"
    for sent in ("Bearer wrong", "Bearer ", "Bearer right x", "Basic right", "right", ""):
        assert answer_of(app, "PUT", path, b"on", HTTP_AUTHORIZATION=sent)[0] == 401
        assert pool.get_option("secure") is False
    assert answer_of(app, "PUT", path, b"on", HTTP_AUTHORIZATION="bearer right")[0] == 200
    assert pool.get_option("secure") is True
    assert answer_of(wsgi.App([pool]), "PUT", path, b"off", HTTP_AUTHORIZATION="Bearer ")[0] == 403


@pytest.mark.parametrize("token", ["schlüssel", "voilà", "鍵", "b64-._~+/="])
def test_a_token_of_any_text_authorises(pool, token):
    path = "/pools/orders/options/secure"
    sent = f"Bearer {token}".encode()
    app = wsgi.App([pool], token=token)
    given = {"HTTP_AUTHORIZATION": sent.decode("latin-1")}
    assert answer_of(app, "PUT", path, b"on", **given)[0] == 200
    assert answer_of(app, "PUT", path, b"off", HTTP_AUTHORIZATION="Bearer schl?ssel")[0] == 401
    with serving.serve([pool], "127.0.0.1:0", token=token) as server:
        head = PUT.encode().replace(b"Bearer t", sent) + b"Content-Length: 3\r\n\r\noff"
        assert raw(server, head)[0] == 200
    assert pool.get_option("secure") is False


@pytest.mark.parametrize("token", [" t", "t ", "t\n", "a\0b", "\udc80"])
def test_a_token_that_no_header_can_carry_is_refused(token):
    for make in (wsgi.App, asgi.App):
        with pytest.raises(ValueError, match="no header can carry"):
            make([], token=token)


def test_nearly_full_above_nine_tenths():
    with slabby.Allocator(64, 100, name="filling") as pool:
        app = wsgi.App([pool])
        held = []
        for live, expected in ((90, []), (91, ["nearly_full"]), (100, ["exhausted"])):
            held += pool.allocate_batch(live - len(held))
            (shown,) = json.loads(answer_of(app, "GET", "/stats")[1])["pools"]
            assert [each["reason"] for each in shown["reasons"]] == expected
        for ref in held:
            ref.release()


def test_metrics_of_two_pools_have_each_head_once(pool):
    with slabby.Allocator(64, 8, name="other") as other:
        lines = answer_of(wsgi.App([pool, other]), "GET", "/metrics")[1].decode().splitlines()
    heads = [line for line in lines if line.startswith("# ")]
    assert len(heads) == len(set(heads)) and heads[-1] == "# EOF"
    at = lines.index("# TYPE slabby_waiters gauge")
    assert lines[at + 2 : at + 4] == [
        'slabby_waiters{pool="orders"} 0',
        'slabby_waiters{pool="other"} 0',
    ]


# ------------------------------------------------------------------------------------------------ streams


@contextmanager
def stream(server, target="/events"):
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=60)
    connection.request("GET", target)
    answer = connection.getresponse()
    try:
        yield answer
    finally:
        answer.close()
        connection.close()


def await_line(answer, part):
    for line in iter(answer.readline, b""):
        if part in line:
            return line
    raise AssertionError(f"the stream ended without {part!r}")


def test_events_arrive_as_they_happen(server, pool):
    with stream(server) as answer:
        assert answer.getheader("content-type") == "text/event-stream"
        await_line(answer, b'"code":"opened"')
        pool.set_option("secure", True)
        await_line(answer, b'"code":"option_changed"')


def streamed(app, last_id=""):
    """What /events has at the moment for a client with that id."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/events", "wsgi.input": io.BytesIO()}
    environ |= {"QUERY_STRING": "follow=0", "HTTP_HOST": "localhost"}
    if last_id:
        environ["HTTP_LAST_EVENT_ID"] = last_id
    return b"".join(app(environ, lambda *_: None)).decode()


def last_id_of(text):
    return text.rpartition("id: ")[2].partition("\n")[0]


def test_an_id_is_taken_back_and_misses_nothing():
    pools = [slabby.Allocator(64, 1, name="n" * 45 + f"{at:02}") for at in range(60)]
    app = wsgi.App(pools)
    last_id = last_id_of(streamed(app))
    pools[59].set_option("secure", True)
    rest = streamed(app, last_id)
    assert '"option_changed"' in rest
    assert 'n00"' not in rest
    assert len(last_id) <= 2048


def test_a_renewed_pool_is_another():
    app = wsgi.App()
    first = slabby.Allocator(64, 1, name="renewed")
    last_id = last_id_of(streamed(app))
    first.close()
    second = slabby.Allocator(64, 1, name="renewed")
    rest = streamed(app, last_id)
    assert '"pool":"renewed","sequence":0,' in rest
    assert '"pool":"renewed"' not in streamed(app, last_id_of(rest))
    second.set_option("secure", True)
    assert streamed(app, last_id_of(rest)).count('"pool":"renewed"') == 1


def test_streams_are_limited_and_given_back(server):
    with ExitStack() as stack:
        for _ in range(16):
            await_line(stack.enter_context(stream(server)), b"opened")
        with stream(server) as refused:
            assert refused.status == 503
            assert refused.getheader("retry-after") == "5"
        assert raw(server, "GET /events?follow=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200
    # Until the server has noticed that its clients are gone; a minute is never.
    status, never = 503, time.monotonic() + 60
    while status == 503 and time.monotonic() < never:
        with stream(server) as again:
            status = again.status
    assert status == 200


def test_the_end_of_the_server_ends_streams(pool):
    server = serving.serve([pool], "127.0.0.1:0")
    with stream(server) as answer:
        await_line(answer, b"opened")
        server.close()
        while answer.readline():
            pass


# ---------------------------------------------------------------------------------------------- addresses


def test_addresses():
    assert serving.split_address(":80") == ("127.0.0.1", 80)
    assert serving.split_address("[::1]:80") == ("::1", 80)
    assert serving.split_address("0.0.0.0:0") == ("0.0.0.0", 0)
    for wrong in ("80", "host", "host:", "host:70000", "host:-1", ""):
        with pytest.raises(ValueError, match="HOST:PORT"):
            serving.split_address(wrong)


# ------------------------------------------------------------------------------------------------- random

SHARED = slabby.Allocator(64, 8, name="random")
APP = wsgi.App([SHARED], token="right")
PATHS = (
    st.sampled_from(["/stats", "/events", "/health", "/pools/random/options/secure"]) | st.text()
)
METHODS = st.sampled_from(["GET", "HEAD", "PUT", "POST"]) | st.text(max_size=8)
TEXTS = st.text(st.characters(max_codepoint=255), max_size=40)


@settings(deadline=None, max_examples=60)
@given(METHODS, PATHS, TEXTS, TEXTS, TEXTS, TEXTS, st.binary(max_size=300))
def test_random_requests_get_an_answer(method, path, query, token, kind, last, body):
    before = SHARED.get_option("secure")
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path.encode(errors="replace").decode("latin-1"),
        "QUERY_STRING": query,
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "HTTP_LAST_EVENT_ID": last,
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    started = []
    parts = APP(environ, lambda status, headers: started.extend((status, dict(headers))))
    status = int(started[0].split()[0])
    if path != "/events" or status != 200:
        text = b"".join(parts)
        assert status < 500 or json.loads(text)
        if status >= 400 and method != "HEAD":
            assert started[1]["Content-Type"] == "application/problem+json"
            assert json.loads(text)["status"] == status
    if hasattr(parts, "close"):
        parts.close()
    assert SHARED.get_option("secure") is before or token.strip() == "right"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"token": 5}, "token takes text, not 5"),
        ({"token": b"t"}, "token takes text, not b't'"),
        ({"hosts": "abc"}, r"hosts takes several names, not 'abc'; write \['abc'\]"),
        ({"hosts": 5}, "hosts takes several names, not 5"),
        ({"hosts": ["a", 5]}, "hosts takes names as text, not 5"),
    ],
)
def test_what_is_no_token_and_no_host_is_refused_everywhere(wrong, says):
    for make in (serving.serve, asgi.App, wsgi.App):
        with pytest.raises(TypeError, match=says):
            make([], **wrong)


def test_an_address_is_text():
    with pytest.raises(TypeError, match="address takes the text HOST:PORT or :PORT, not 9465"):
        serving.serve([], 9465)
