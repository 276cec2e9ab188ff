"""A real headless Chromium, driven by its DevTools protocol over two pipes, so that no library is needed.

`--remote-debugging-pipe` makes the browser read messages from file descriptor 3 and write them to 4, each JSON
ended by a zero byte.
"""

import json
import os
import shutil
import subprocess
from itertools import count
from pathlib import Path
from select import select
from types import TracebackType
from typing import Any

import pytest

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --hide-scrollbars --remote-debugging-pipe""".split()
_PATIENCE_S = 60
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """The browser's command; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"NOT TESTED IN A BROWSER: none of {', '.join(NAMES)} is installed")
    return found


class Browser:
    """A browser with one tab; `events` has everything that it reported."""

    def __init__(self, profile: Path) -> None:
        read_end, self._commands = os.pipe()
        self._answers, write_end = os.pipe()
        shell = f'exec "$0" "$@" 3<&{read_end} 4>&{write_end}'
        words = ["bash", "-c", shell, chromium(), *FLAGS, f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(words, pass_fds=(read_end, write_end), stderr=subprocess.DEVNULL)
        os.close(read_end)
        os.close(write_end)
        self._numbers, self._pending, self._session = count(1), b"", ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(self, page: Path, *, width: int, height: int = 900) -> None:
        """Show a file in a window of that size, and wait until it is loaded."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while "Page.loadEventFired" not in self.methods():
            self.events.append(self._receive())

    def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to, as JSON."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"]["value"]

    def methods(self) -> set[str]:
        """The names of the events so far."""
        return {event["method"] for event in self.events}

    def requested(self) -> list[str]:
        """The kinds of address that were asked for, `file`, `data` or another."""
        sent = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return sorted({event["params"]["request"]["url"].partition(":")[0] for event in sent})

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        number = next(self._numbers)
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": number, "method": method, "params": params, **session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            assert select([self._answers], [], [], _PATIENCE_S)[0], f"the browser was silent for {_PATIENCE_S} s"
            data = os.read(self._answers, 1 << 16)
            assert data, "the browser has ended"
            self._pending += data
        message, _, self._pending = self._pending.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def __enter__(self) -> "Browser":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        os.close(self._commands)
        os.close(self._answers)
