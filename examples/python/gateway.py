# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes request bodies over HTTP into the slabs of one pool and answers with their digest, as a proxy or an upload
service does. Its endpoints and live page are on an address of their own. With --load it is its own clients, on
loopback:

    python gateway.py --load 8
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import math
import os
import random
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import slabby
from slabby.server import DEFAULT_ADDRESS, serve, split_address

BODY_BYTES = 64 << 10
CAPACITY = 64
# How long a request waits for a slab before it is sent away, and what the service behind the gateway would take.
WAIT_S = 0.05
WORK_S = 0.02
# One rise and fall of the load.
PERIOD_S = 60.0


def make_pool() -> slabby.Allocator:
    return slabby.Allocator(
        BODY_BYTES,
        CAPACITY,
        name="bodies",
        preset="gateway",  # zeroes, verifies, sheds load step by step
        heap_fallback=False,  # full is full here: the client is told to come back
        debug=True,  # so that the page can say who holds slabs
    )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    server: Gateway

    def do_POST(self) -> None:
        """Reads one body into a slab, works on it there, and gives the slab back."""
        length = self.headers.get("Content-Length", "")
        if self.path != "/bodies":
            self.answer(404, "POST a body to /bodies")
        elif not length.isdigit() or int(length) > BODY_BYTES:
            self.answer(413, f"a body has a Content-Length of at most {BODY_BYTES} bytes")
        else:
            self.take(int(length))

    def take(self, length: int) -> None:
        try:
            ref = self.server.pool.allocate(timeout=WAIT_S)
        except slabby.SlabbyError as error:
            self.answer(503, f"no slab for the body: {error}", {"Retry-After": "1"})
            return
        with ref, memoryview(ref)[:length] as body:
            if self.rfile.readinto(body) < length:
                self.answer(400, "the body ended early")
                return
            digest = hashlib.sha256(body).hexdigest()
            time.sleep(WORK_S)
        self.answer(200, digest)

    def answer(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        # Where the body was not read, the next request is not to be found behind it.
        self.close_connection = self.close_connection or status != 200
        body = f"{text}\n".encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet: the live page shows more."""


class Gateway(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: str, pool: slabby.Allocator) -> None:
        self.pool = pool
        super().__init__(split_address(address), Handler)


def send(address: tuple[str, int], size: int) -> int:
    """Posts a body, checks the answer, and returns its status. 503 is to be sent away."""
    body = bytes([size % 256]) * size
    connection = http.client.HTTPConnection(*address, timeout=10)
    try:
        connection.request("POST", "/bodies", body)
        reply = connection.getresponse()
        text = reply.read().decode().strip()
    finally:
        connection.close()
    if reply.status not in (200, 503) or (
        reply.status == 200 and text != hashlib.sha256(body).hexdigest()
    ):
        raise ValueError(f"status {reply.status}, {text[:80]!r} for {size} bytes")
    return reply.status


def load(address: tuple[str, int], ended: threading.Event) -> None:
    """One client, whose pauses follow the time of the day."""
    while not ended.is_set():
        try:
            send(address, random.randint(0, BODY_BYTES))
        except (OSError, ValueError) as error:
            if not ended.is_set():
                print(f"gateway: load: {error}", file=sys.stderr)
        busy = (1 - math.cos(time.time() / PERIOD_S * 2 * math.pi)) / 2
        ended.wait(0.2 * (1 - busy))


def sleep(seconds: float) -> None:
    """In short steps: the system may deliver Ctrl-C to any thread, and the main thread, where Python answers it, then
    sleeps on."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.5))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(" With --load")[0])
    parser.add_argument("--address", default="127.0.0.1:7228", help="where bodies are taken")
    parser.add_argument("--admin", default=DEFAULT_ADDRESS, help="endpoints and live page")
    parser.add_argument("--load", type=int, default=0, help="clients of its own, on loopback")
    parser.add_argument("--seconds", type=float, default=math.inf, help="end after so long")
    arguments = parser.parse_args()

    # A script's background programs ignore SIGINT unless they say otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ended = threading.Event()
    pool = make_pool()
    gateway = Gateway(arguments.address, pool)
    threading.Thread(target=gateway.serve_forever, daemon=True).start()
    admin = serve(address=arguments.admin, token=os.environ.get("SLABBY_TOKEN", ""))
    host, port = gateway.server_address[:2]
    address = (str(host), int(port))
    print(f"gateway on http://{host!s}:{port}/bodies\nlive page on {admin.url}", flush=True)
    clients = [threading.Thread(target=load, args=(address, ended)) for _ in range(arguments.load)]
    try:
        for client in clients:
            client.start()
        sleep(arguments.seconds)
    except KeyboardInterrupt:
        pass
    ended.set()
    for client in filter(threading.Thread.is_alive, clients):
        client.join()
    gateway.shutdown()
    gateway.server_close()
    admin.close()
    pool.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
