# SPDX-License-Identifier: GPL-3.0-or-later
"""A small server for the endpoints: a thread for each request, one request for each connection."""

import io
import re
import socket
import socketserver
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import unquote

from slabby._allocator import Allocator
from slabby._endpoint_app import checked
from slabby._endpoint_events import EVENT_INTERVAL, Stream
from slabby._endpoint_pools import shown
from slabby._endpoint_problem import Problem
from slabby._endpoint_tables import PATHS
from slabby._endpoints import BODY_TIMEOUT, HEADERS, Answer, Change, Endpoints, Request
from slabby._endpoints import reason_of, refusal
from slabby._errors import NotSupportedError

DEFAULT_ADDRESS = "127.0.0.1:7227"
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
# Connections at a time; a client that comes later is refused.
CONNECTIONS = 64
# Bytes of the request's first line and of each header, and number of headers.
LINE_BYTES = 8192
HEADER_COUNT = 64
HEADER_TIMEOUT = 5.0
WRITE_TIMEOUT = 10.0


class _Input(io.RawIOBase):
    """The input from a client, until a deadline that holds even if the client sends slowly."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.deadline = time.monotonic() + HEADER_TIMEOUT

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def setup(self) -> None:
        super().setup()
        self._input = _Input(self.connection)
        self.rfile = io.BufferedReader(self._input)

    def handle(self) -> None:
        self.close_connection = True
        # The attributes that send() needs if the first line cannot be read.
        self.command, self.request_version = "GET", self.protocol_version
        try:
            self._serve()
        except Problem as problem:
            self._send(refusal(problem))
        except TimeoutError:
            text = f"the request did not arrive within {HEADER_TIMEOUT:.0f} s"
            self._send(refusal(Problem(408, text)))
        except OSError:
            return

    def _serve(self) -> None:
        self.raw_requestline = self.rfile.readline(LINE_BYTES + 1)
        if not self.raw_requestline:
            return
        if len(self.raw_requestline) > LINE_BYTES:
            raise Problem(414, f"the first line has more than {LINE_BYTES} bytes")
        line = _first_line(self.raw_requestline)
        self.command = line.method
        headers = self._headers()
        if "host" not in headers and line.version != "1.0":
            raise Problem(400, "a request needs the header Host")
        if line.host is not None:
            headers["host"] = line.host
        request = Request(line.method, line.path, line.query, headers, version=line.version)
        found = self.server.endpoints.begin(request)
        if isinstance(found, Change):
            found = self._read_change(found)
        if isinstance(found, Stream):
            found = self.server.endpoints.admit(found)
        if isinstance(found, Stream):
            self._stream(found)
        else:
            self._send(found)

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for _ in range(HEADER_COUNT):
            line = self.rfile.readline(LINE_BYTES + 1)
            if len(line) > LINE_BYTES:
                raise Problem(431, f"a header has more than {LINE_BYTES} bytes")
            if line in (b"\r\n", b"\n"):
                return headers
            name, colon, value = line.decode("latin-1").rstrip("\r\n").partition(":")
            if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                raise Problem(400, "a header is no name with a value")
            name = name.lower()
            if name in headers and name in ("host", "content-length", "authorization"):
                raise Problem(400, f"the header {name} is given twice")
            headers.setdefault(name, value.strip(" \t"))
        raise Problem(431, f"the request has more than {HEADER_COUNT} headers")

    def _read_change(self, change: Change) -> Answer:
        self._input.deadline = time.monotonic() + BODY_TIMEOUT
        try:
            return change.finish(self.rfile.read(change.length))
        except TimeoutError:
            return change.late()

    def _start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        self.connection.settimeout(WRITE_TIMEOUT)
        lines = [f"HTTP/1.1 {status} {reason_of(status)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        lines += ["Connection: close", "", ""]
        self.connection.sendall("\r\n".join(lines).encode("latin-1"))

    def _send(self, answer: Answer) -> None:
        try:
            self._start(answer.status, answer.headers)
            if self.command != "HEAD":
                self.connection.sendall(answer.body)
            self._drain()
        except OSError:
            return

    def _drain(self) -> None:
        """Reads the rest that a client still sends: if the server closed at once, the answer might be lost."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1)
        for _ in range(16):
            if not self.connection.recv(65536):
                return

    def _stream(self, stream: Stream) -> None:
        try:
            self._start(200, [*HEADERS, ("Content-Type", PATHS["/events"].type)])
            more = self.command != "HEAD"
            while more and not self.server.ended.is_set():
                self.connection.sendall(stream.next())
                more = stream.follow and not self._left()
        finally:
            stream.end()

    def _left(self) -> bool:
        """Whether the client has closed its side; waits for the next events meanwhile."""
        self.connection.settimeout(EVENT_INTERVAL)
        try:
            return not self.connection.recv(1)
        except TimeoutError:
            return False
        finally:
            self.connection.settimeout(WRITE_TIMEOUT)


class _Line(NamedTuple):
    """The first line of a request. `path` is decoded; `host` is that of the target, which precedes the header."""

    method: str
    path: str
    query: str
    version: str
    host: str | None


def _first_line(line: bytes) -> _Line:
    words = line.decode("latin-1").rstrip("\r\n").split(" ")
    if len(words) != 3 or not re.fullmatch(r"[A-Z]{1,32}", words[0]):
        raise Problem(400, "the first line is no METHOD TARGET HTTP/1.1")
    method, target, version = words
    if not re.fullmatch(r"HTTP/1\.[01]", version):
        status = 505 if re.fullmatch(r"HTTP/[0-9]\.[0-9]", version) else 400
        raise Problem(status, "this server speaks HTTP/1.1")
    host = None
    if whole := re.match("http://([^/?]*)", target):
        host, target = whole[1], target[whole.end() :]
    path, _, query = target.partition("?")
    is_written = path.startswith("/") and re.fullmatch(r"[!-~]*", target)
    if not is_written or re.search(r"%(?![0-9A-Fa-f]{2})", path):
        raise Problem(400, "the target is no path")
    name = unquote(path, errors="replace")
    return _Line(method, name, query, version.removeprefix("HTTP/"), host)


class Server(ThreadingHTTPServer):
    """Serves endpoints on an address until close()."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = CONNECTIONS
    address_family: int

    def __init__(self, host: str, port: int, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self.ended: threading.Event = threading.Event()
        self._connections = threading.BoundedSemaphore(CONNECTIONS)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        name = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{name}:{port}/"

    def server_bind(self) -> None:
        """Does not ask a resolver for this machine's name, as HTTPServer's method does."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except Exception:
            # There is no thread that would do it, since the system refused one.
            self._connections.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that closed the connection is no error of this server."""

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends serve_forever(), and streams with it. May be called again."""
        self.ended.set()
        self.shutdown()
        self.server_close()


def split_address(address: str) -> tuple[str, int]:
    """HOST:PORT. Without a host: loopback, so that other machines reach the server only if the address allows it."""
    if not isinstance(address, str):
        raise TypeError(f"address takes the text HOST:PORT or :PORT, not {address!r}")
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"the address is {address!r} and must be HOST:PORT or :PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def serve(
    pools: Iterable[Allocator] | None = None,
    address: str = DEFAULT_ADDRESS,
    *,
    token: str = "",
    exhaustion: bool = False,
    hosts: Iterable[str] | None = None,
) -> Server:
    """A server for these pools, or for every open pool of the process, in a thread of its own until
    close() or the end of its `with` block. On loopback it answers only to names of loopback, unless `hosts` says
    otherwise."""
    host, port = split_address(address)
    names = checked(token, hosts)
    if names is None and (host in LOOPBACK_HOSTS or host.startswith("127.")):
        names = LOOPBACK_HOSTS
    server = Server(host, port, Endpoints(shown(pools), token, exhaustion, names))
    try:
        threading.Thread(target=server.serve_forever, name="slabby-serve", daemon=True).start()
    except BaseException as error:
        server.server_close()
        if isinstance(error, RuntimeError) and "interpreter" in str(error):
            raise NotSupportedError(
                "serve() needs daemon threads, which this subinterpreter does not allow; start the server "
                "in the main interpreter, which shows the pools of all, or use slabby.asgi or slabby.wsgi"
            ) from error
        raise
    return server
