# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the pictures of docs/: the demo's pools on a wide and a narrow screen, in light and dark.

pictures.py FOLDER [--seconds N], with the slabby package installed; Chromium and its driver must be there.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from browser import Browser
from slabby._demo import Demo
from slabby.server import serve

STATE = """return document.getElementById("name").textContent === "{}" &&
    document.getElementById("pool").className === "{}\""""
# File, pool, its state, dark, narrow.
PICTURES = (
    ("page-light.png", "orders", "exhausted", False, False),
    ("page-phone.png", "orders", "exhausted", False, True),
    ("page-dark.png", "bodies", "", True, False),
    ("page-phone-dark.png", "orders", "nearly-full", True, True),
)


def take(folder: Path, seconds: float) -> None:
    demo = Demo()
    server = serve(demo.pools, "127.0.0.1:0")
    with tempfile.TemporaryDirectory() as profiles:
        browsers = []
        for file, pool, state, dark, narrow in PICTURES:
            browser = Browser(Path(profiles) / file, dark=dark, phone=narrow)
            browser.open(f"{server.url}#{pool}")
            browsers.append((browser, folder / file, STATE.format(pool, state)))
        time.sleep(seconds)  # for charts with something in them
        for browser, target, wanted in browsers:
            browser.wait(wanted)
            browser.picture(target)
            browser.close()
    server.close()
    demo.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Takes the pictures of docs/.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=200.0)
    arguments = parser.parse_args()
    take(arguments.folder, arguments.seconds)


if __name__ == "__main__":
    main()
