# SPDX-License-Identifier: GPL-3.0-or-later
"""The example examples/python/gateway.py as a user starts it."""

import hashlib
import http.client
import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import slabby
from signals import signal_a_worker

EXAMPLE = Path(__file__).parents[2] / "examples/python/gateway.py"
pytestmark = pytest.mark.skipif(slabby.backend() != "cffi", reason="once is enough")


@pytest.fixture
def gateway():
    process = subprocess.Popen(
        [sys.executable, EXAMPLE, "--address", "127.0.0.1:0", "--admin", ":0", "--load", "4"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    bodies = process.stdout.readline().split()[-1]
    page = process.stdout.readline().split()[-1]
    yield bodies, page
    signal_a_worker(process, signal.SIGINT)
    _, complaints = process.communicate(timeout=600)
    assert process.returncode == 0 and not complaints


def stats(page):
    with urllib.request.urlopen(page + "stats?pool=bodies", timeout=20) as reply:
        return json.load(reply)["pools"][0]["stats"]


def post(bodies, body, **headers):
    address = urlsplit(bodies)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    connection.request("POST", address.path, body, headers)
    reply = connection.getresponse()
    text = reply.read().decode().strip()
    connection.close()
    return reply.status, text


def test_bodies_live_in_slabs(gateway):
    bodies, page = gateway
    for body in (b"", b"x", bytes(65536)):
        assert post(bodies, body) == (200, hashlib.sha256(body).hexdigest())
    assert post(bodies, bytes(65537))[0] == 413
    assert post(bodies + "x", b"")[0] == 404
    end = time.monotonic() + 30
    while stats(page)["total_allocations"] < 20:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert b"Slabby" in urllib.request.urlopen(page, timeout=20).read()


def test_help_ends_with_its_sentence():
    text = subprocess.run(
        [sys.executable, EXAMPLE, "--help"], capture_output=True, text=True, check=True
    ).stdout
    (description,) = [part for part in text.split("\n\n") if part.startswith("Takes")]
    assert " ".join(description.split()).endswith("are on an address of their own.")
