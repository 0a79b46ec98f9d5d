# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP endpoints without a server: slabby.asgi and slabby.wsgi bring requests to them.

Paths, codes and bodies are those of go/slabbyhttp; docs/endpoints.md describes them.
"""

import hashlib
import hmac
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.resources import files
from urllib.parse import quote, unquote

from slabby._allocator import Allocator
from slabby._base_error import SlabbyError
from slabby._endpoint_events import Stream, open_stream
from slabby._endpoint_pools import NamedPool, health, metrics, observe, ready, statistics
from slabby._endpoint_problem import Problem, no_pool, printable, refused_by_core
from slabby._endpoint_tables import PATHS, STREAMS_LIMIT, TARGET_LIMIT, TITLES, VALUE_LIMIT
from slabby._options import OPTIONS

HEADERS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
)
# How long the value of an option may take to arrive, in seconds.
BODY_TIMEOUT = 5

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """The data of a request from a server; header names are in lower case. `path` is decoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    # The last part of the path that the application is mounted under.
    mount: str = ""
    # Of HTTP.
    version: str = "1.1"


@dataclass(frozen=True)
class Answer:
    status: int
    type: str
    body: bytes
    extra: Headers = ()

    @property
    def headers(self) -> Headers:
        length = ("Content-Length", str(len(self.body)))
        return (*HEADERS, ("Content-Type", self.type), length, *self.extra)


@dataclass(frozen=True)
class Change:
    """A change of an option, whose value is yet to be read: `length` bytes."""

    pool: NamedPool
    option: str
    length: int

    def finish(self, body: bytes) -> Answer:
        """The answer to the value that the client sent."""
        return _answered(lambda: self._finish(body))

    def late(self) -> Answer:
        """The answer if the body did not come in time."""
        text = f"the value did not arrive within {BODY_TIMEOUT} s"
        return refusal(Problem(408, text))

    def _finish(self, body: bytes) -> Answer:
        if len(body) < self.length:
            raise Problem(400, "the value is shorter than its Content-Length")
        _set_option(self.pool.pool, self.option, body)
        return _option_answer(self.pool, self.option)


def reason_of(status: int) -> str:
    """The words of a status, as HTTP/1.1 sends them."""
    return TITLES.get(status) or HTTPStatus(status).phrase


def json_body(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def refusal(problem: Problem) -> Answer:
    """The answer to a refused request."""
    extra = tuple(problem.headers.items())
    return Answer(problem.status, "application/problem+json", json_body(problem.fields()), extra)


def _answered(work: Callable[[], Answer]) -> Answer:
    try:
        return work()
    except Problem as problem:
        return refusal(problem)


@dataclass
class Endpoints:
    """The pools that are shown and the changes that are allowed, for any number of requests at the same time."""

    pools: Callable[[], list[NamedPool]]
    token: str = ""
    exhaustion: bool = False
    hosts: tuple[str, ...] | None = None
    streams: set[Stream] = field(default_factory=set)
    admission: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, request: Request) -> Answer | Change | Stream:
        """The answer, a Change that still needs the body, or a Stream for admit()."""
        try:
            return self._begin(request)
        except Problem as problem:
            return refusal(problem)

    def _begin(self, request: Request) -> Answer | Change | Stream:
        # Every browser sends Host. What sends none is a program, such as a health check that speaks HTTP/1.0.
        host = request.headers.get("host", None if request.version == "1.0" else "")
        if self.hosts is not None and host is not None and not _is_host(host, self.hosts):
            text = "this server does not answer to the name in Host; use an address of the machine itself"
            raise Problem(421, text)
        length = len(request.path.encode()) + len(request.query) + bool(request.query)
        if length > TARGET_LIMIT:
            raise Problem(414, f"the target has {length} bytes; at most {TARGET_LIMIT} are taken")
        if request.path == "":
            # The application is mounted without a final slash, where the page's relative links would not work.
            return Answer(
                308, "text/plain; charset=utf-8", b"", (("Location", _with_slash(request)),)
            )
        if request.path not in PATHS:
            return self._option(request)
        _allow(request, "GET", "HEAD")
        info = PATHS[request.path]
        query = parse_query(request.query, info.query)
        if request.path == "/events":
            return self._events(request, query)
        status, body = self._answer(request.path, query)
        return Answer(status, info.type, body)

    def _answer(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        if path == "/":
            return 200, files("slabby").joinpath("_page.html").read_bytes()
        if path == "/livez":
            return 200, b"ok\n"
        if path == "/readyz":
            exhaustion = flag(query, "exhaustion", self.exhaustion)
            status, value = ready(observe(self.pools(), None), exhaustion)
            return status, json_body(value)
        if path == "/metrics":
            return 200, metrics(self.pools(), query.get("pool")).encode()
        stacks = flag(query, "stacks", False)
        pools = observe(self.pools(), query.get("pool"))
        if path == "/health":
            status, value = health(pools)
            return status, json_body(value)
        return 200, json_body(statistics(pools, bool(self.token), stacks))

    def _find(self, name: str) -> NamedPool:
        for pool in self.pools():
            if pool.id == name:
                return pool
        raise no_pool(name)

    def _events(self, request: Request, query: dict[str, str]) -> Stream:
        follow = flag(query, "follow", True)
        if "pool" in query:
            self._find(query["pool"])
        header = request.headers.get("last-event-id", "")
        return open_stream(self.pools, query.get("pool"), header, follow)

    def admit(self, stream: Stream) -> Answer | Stream:
        """Counts a stream that begin() returned, until its end(), or refuses it. Not in begin() itself: that may run
        in a thread whose result is dropped when the request is cancelled."""
        if not stream.follow:
            return stream
        with self.admission:
            if len(self.streams) >= STREAMS_LIMIT:
                text = (
                    f"{STREAMS_LIMIT} streams of events are open; close one, or ask with follow=0"
                )
                return refusal(Problem(503, text, {"Retry-After": "5"}))
            self.streams.add(stream)
        stream.at_end = self.streams.discard
        return stream

    def _option(self, request: Request) -> Answer | Change:
        parts = request.path.split("/")
        if len(parts) != 5 or (parts[0], parts[1], parts[3]) != ("", "pools", "options"):
            listed = (
                "/, /livez, /readyz, /health, /stats, /metrics, /events, /pools/NAME/options/OPTION"
            )
            raise Problem(404, f"no such resource; there are: {listed}")
        _allow(request, "GET", "HEAD", "PUT")
        parse_query(request.query, ())
        if request.method == "PUT":
            self._authorize(request)
        pool, option = self._find(parts[2]), parts[4]
        if option not in OPTIONS:
            text = f'no option "{printable(option)}"; /stats lists the options of each pool'
            raise Problem(404, text)
        if request.method == "PUT":
            return Change(pool, option, _value_length(request))
        return _option_answer(pool, option)

    def _authorize(self, request: Request) -> None:
        if not self.token:
            raise Problem(403, "this server is read-only; give it a token to allow changes")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        # Headers are bytes, which servers hand on as Latin-1. No other blank is stripped: its byte may be part of a
        # character. Digests have one length: the comparison takes the same time for every token.
        sent = token.strip(" \t").encode("latin-1", errors="replace")
        given = hashlib.sha256(sent).digest()
        wanted = hashlib.sha256(self.token.encode()).digest()
        if scheme.lower() == "bearer" and hmac.compare_digest(given, wanted):
            return
        text = "a change needs the header Authorization: Bearer TOKEN with the server's token"
        raise Problem(401, text, {"WWW-Authenticate": 'Bearer realm="slabby"'})


def _is_host(host: str, allowed: tuple[str, ...]) -> bool:
    name = re.sub(r":\d*$", "", host).strip("[]") if host.count(":") == 1 or "]" in host else host
    return name.strip("[]").lower() in {each.lower() for each in allowed}


def _allow(request: Request, *methods: str) -> None:
    if request.method not in methods:
        allowed = ", ".join(methods)
        raise Problem(405, f"this resource takes {allowed}", {"Allow": allowed})


def parse_query(raw: str, names: tuple[str, ...]) -> dict[str, str]:
    """name=value pairs. A parameter that the path does not take is an error, so that a typing
    mistake does not pass for the default."""
    values: dict[str, str] = {}
    for part in filter(None, raw.split("&")):
        name, _, text = part.partition("=")
        if name not in names:
            listed = ", ".join(names) or "none"
            raise Problem(400, f'no parameter "{printable(name)}" here; there are: {listed}')
        if name in values:
            raise Problem(400, f'parameter "{name}" is given twice')
        if re.search(r"%(?![0-9A-Fa-f]{2})", text):
            detail = f'the value of "{name}" has a % without two hexadecimal digits'
            raise Problem(400, detail)
        values[name] = unquote(text, errors="replace")
    return values


def flag(query: Mapping[str, str], name: str, default: bool) -> bool:
    """A parameter that is 0 or 1."""
    value = query.get(name)
    if value is None:
        return default
    if value not in ("0", "1"):
        raise Problem(400, f'parameter "{name}" is "{printable(value)}" and must be 0 or 1')
    return value == "1"


def _value_length(request: Request) -> int:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/plain":
        text = "send the value as text, with the header Content-Type: text/plain"
        raise Problem(415, text)
    if "transfer-encoding" in request.headers:
        raise Problem(411, "send the value with its Content-Length")
    length = request.headers.get("content-length") or "0"
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise Problem(400, "the Content-Length is no number")
    if int(length) > VALUE_LIMIT:
        raise Problem(413, f"the value has {int(length)} bytes; at most {VALUE_LIMIT} are taken")
    return int(length)


def _set_option(pool: Allocator, option: str, body: bytes) -> None:
    try:
        value = body.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        value = "\0"
    if re.search(r"[\x00-\x1f\x7f]", value):
        text = (
            "the value has bytes that no option is written with; send text such as 250us, 80% or on"
        )
        raise Problem(400, text)
    try:
        pool._core.slabby_set_option_text(pool, option, value)
    except SlabbyError as error:
        raise refused_by_core(error) from None


def _option_answer(pool: NamedPool, option: str) -> Answer:
    try:
        value = pool.pool._core.slabby_get_option_text(pool.pool, option)
    except SlabbyError as error:
        raise refused_by_core(error) from None
    fields = {"pool": pool.id, "option": option, "value": value}
    return Answer(200, "application/json", json_body(fields))


def _with_slash(request: Request) -> str:
    """The request's own path with a final slash, and its query behind it, relative to the last element.

    "./" in front keeps an element with a colon from being read as a scheme, and an empty one as another host.
    """
    mount = request.mount.encode(errors="surrogateescape")
    element = quote(mount.rpartition(b"/")[2], safe="~!$&'()*+,;=:@")
    ahead = "./" if not element or ":" in element else ""
    query = f"?{request.query}" if request.query else ""
    return f"{ahead}{element}{'/' if element else ''}{query}"
