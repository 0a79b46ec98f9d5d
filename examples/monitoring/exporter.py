# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves the metrics of this program's pools to Prometheus, on loopback, by prometheus_client: `exporter.py [PORT]`,
9465 by default, 0 for any that is free. It prints the address. Each line of input makes it release a slab twice, which
the alert SlabbyMisuse reports; it ends when its input ends."""

import sys

import prometheus_client
import slabby
import slabby.prometheus


def release_twice(ref: slabby.SlabRef) -> None:
    ref.release()
    try:
        ref.release()
    except slabby.DoubleDeallocationError as error:
        print(error, file=sys.stderr)


def make_pool() -> tuple[slabby.Allocator, list[slabby.SlabRef]]:
    """A pool to see: full once, with one refusal and one mistake, and 40 of 100 slabs live in the end."""
    pool = slabby.Allocator(4096, 100, name="orders", latency_tracking="all")
    refs = [pool.allocate() for _ in range(100)]
    try:
        pool.allocate()
    except slabby.OutOfMemoryError:
        pass
    for ref in refs[1:60]:
        ref.release()
    release_twice(refs[0])
    return pool, refs[60:]


def main(arguments: list[str]) -> None:
    port = int(arguments[0]) if arguments else 9465
    pool, _live = make_pool()
    slabby.prometheus.register()  # the one line that a program needs
    server, thread = prometheus_client.start_http_server(port, addr="127.0.0.1")
    print(f"http://127.0.0.1:{server.server_port}/metrics", flush=True)
    for _ in sys.stdin:
        release_twice(pool.allocate())
    server.shutdown()
    thread.join()


if __name__ == "__main__":
    main(sys.argv[1:])
