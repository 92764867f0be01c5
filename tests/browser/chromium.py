"""A headless Chromium, driven by its DevTools protocol over a pipe: no driver, no port, no library.

Owns the process and the messages. What a page should look like is for the tests.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_DEADLINE_S = 120
_MOST_PIXELS = 6000
"""Height of a screenshot: of a long page its beginning."""


def executable() -> str | None:
    """The browser: `EDGE_CHROMIUM`, or what is on PATH."""
    named = os.environ.get("EDGE_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass
class Page:
    """An open page, and what it has said and asked for."""

    browser: Browser
    session: str
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings of its console, of its script and of the browser about it."""
    requests: list[str] = field(default_factory=list)
    """What it has asked for, itself left out."""

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression, as JSON has it."""
        found = self.browser.send(
            "Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True}, self.session
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def screenshot(self, file: Path) -> None:
        size = self.browser.send("Page.getLayoutMetrics", {}, self.session)["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], _MOST_PIXELS), "scale": 1}
        found = self.browser.send(
            "Page.captureScreenshot", {"format": "png", "clip": clip, "captureBeyondViewport": True}, self.session
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(found["data"]))


class Browser:
    """A running browser; made by ``started``."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._number = 0
        self._read = b""
        self._pages: dict[str, Page] = {}
        self._url: dict[str, str] = {}
        self._loaded: set[str] = set()

    @contextmanager
    def page(self, file: Path, *, width: int, dark: bool = False, phone: bool = False) -> Iterator[Page]:
        """``file``, loaded, in a window of ``width`` CSS pixels."""
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable", {}, session)
        metrics = {"width": width, "height": 844 if phone else 800, "deviceScaleFactor": 1, "mobile": phone}
        self.send("Emulation.setDeviceMetricsOverride", metrics, session)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", {"features": [scheme]}, session)
        self._url[session] = file.as_uri()
        self._loaded.discard(session)
        self.send("Page.navigate", {"url": file.as_uri()}, session)
        self._until(lambda: session in self._loaded, f"{file} to be loaded")
        yield page
        self.send("Target.closeTarget", {"targetId": target})
        del self._pages[session]

    def send(self, method: str, parameters: dict[str, Any], session: str = "") -> dict[str, Any]:
        """Call a method of the protocol, and return its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        answers: dict[int, dict[str, Any]] = {}
        self._until(lambda: self._number in answers, f"an answer to {method}", answers)
        answer = answers[self._number]
        assert "error" not in answer, f"{method}: {answer['error']}"
        found: dict[str, Any] = answer["result"]
        return found

    def _until(self, done: Any, what: str, answers: dict[int, dict[str, Any]] | None = None) -> None:
        deadline = time.monotonic() + _DEADLINE_S
        while not done():
            ready, _, _ = select.select([self._from], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"waited {_DEADLINE_S} s for {what}"
            read = os.read(self._from, 1 << 20)
            assert read, f"the browser ended before {what}"
            *messages, self._read = (self._read + read).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message and answers is not None:
                    answers[message["id"]] = message
                elif "method" in message:
                    self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        page, said = self._pages.get(message.get("sessionId", "")), message["params"]
        if page is None:
            return
        match message["method"]:
            case "Page.loadEventFired":
                self._loaded.add(page.session)
            case "Runtime.exceptionThrown":
                page.complaints.append(str(said["exceptionDetails"].get("text")))
            case "Runtime.consoleAPICalled" if said["type"] in ("error", "warning", "assert"):
                page.complaints.append(str(said["args"]))
            case "Log.entryAdded" if said["entry"]["level"] in ("error", "warning"):
                page.complaints.append(str(said["entry"]["text"]))
            case "Network.requestWillBeSent" if said["request"]["url"] != self._url.get(page.session):
                page.requests.append(str(said["request"]["url"]))


@contextmanager
def started(program: str) -> Iterator[Browser]:
    """A browser with a profile of its own, which is thrown away."""
    for_browser, to_browser = os.pipe()
    from_browser, of_browser = os.pipe()
    with tempfile.TemporaryDirectory(prefix="edge-browser-", ignore_cleanup_errors=True) as profile:
        options = ["--headless", "--remote-debugging-pipe", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        options += [f"--user-data-dir={profile}", "--disable-dev-shm-usage", "--disable-background-networking"]
        if os.geteuid() == 0:
            # Chromium has no sandbox for root.
            options.append("--no-sandbox")
        # The protocol's pipe is at descriptors 3 and 4.
        moved = f'exec "$0" "$@" 3<&{for_browser} 4>&{of_browser}'
        process = subprocess.Popen(
            ["bash", "-c", moved, program, *options, "about:blank"],
            pass_fds=(for_browser, of_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(for_browser)
        os.close(of_browser)
        browser = Browser(to_browser, from_browser)
        try:
            yield browser
        finally:
            os.close(to_browser)
            os.close(from_browser)
            process.kill()
            process.wait()
