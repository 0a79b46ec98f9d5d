# SPDX-License-Identifier: GPL-3.0-or-later
"""A headless Chromium, driven over the WebDriver protocol by the standard library alone."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

START_LIMIT_S = 60
WAIT_LIMIT_S = 60


class Browser:
    """One window. `profile` is a directory of its own."""

    def __init__(self, profile: Path, *, dark: bool = False, phone: bool = False) -> None:
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._driver.stdout is not None
        for line in self._driver.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                self._base = f"http://127.0.0.1:{found[1]}"
                break
        width, height = (390, 844) if phone else (1280, 900)
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
        ]
        options: dict[str, Any] = {"args": arguments}
        if phone:
            metrics = {"width": width, "height": height, "pixelRatio": 2.0, "touch": True}
            options["mobileEmulation"] = {"deviceMetrics": metrics}
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{answer['sessionId']}"
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._devtools("Emulation.setEmulatedMedia", features=scheme)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=START_LIMIT_S) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def _devtools(self, command: str, **parameters: object) -> Any:
        body = {"cmd": command, "params": parameters}
        return self._ask("POST", self._session + "/goog/cdp/execute", body)

    def open(self, url: str) -> None:
        self._ask("POST", self._session + "/url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """What a script returns."""
        body = {"script": script, "args": list(arguments)}
        return self._ask("POST", self._session + "/execute/sync", body)

    def run_async(self, script: str) -> Any:
        """What a script hands to its last argument, a function."""
        body = {"script": script, "args": []}
        return self._ask("POST", self._session + "/execute/async", body)

    def wait(self, script: str) -> Any:
        """The first true value that a script returns."""
        end = time.monotonic() + WAIT_LIMIT_S
        while not (found := self.run(script)):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.1)
        return found

    def press(self, keys: str) -> None:
        """Types into whatever has the focus."""
        steps = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        action = {"type": "key", "id": "keyboard", "actions": steps}
        self._ask("POST", self._session + "/actions", {"actions": [action]})

    def problems(self) -> list[str]:
        """What the console complained of since the last call."""
        body = {"type": "browser"}
        entries = self._ask("POST", self._session + "/se/log", body)
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def picture(self, file: Path, *, whole: bool = False) -> None:
        image = self._devtools("Page.captureScreenshot", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(image["data"]))

    def close(self) -> None:
        try:
            self._ask("DELETE", self._session)
        finally:
            self._driver.terminate()
            self._driver.wait()
