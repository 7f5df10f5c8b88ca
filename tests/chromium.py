"""A headless Chromium driven over its own pipe (Chrome DevTools Protocol), for the tests of the page.

Debian's package `chromium`; a test that needs it skips where it is not installed. Nothing is installed from here.
"""

import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Self

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT_S = 30.0


class Chromium:
    """A browser with one page. `messages` are its console messages and uncaught errors, `asked` its requests."""

    def __init__(self, folder: Path) -> None:
        assert PROGRAM is not None
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # The protocol's pipes are file descriptors 3 and 4 of the browser.
        command = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$0" "$@"'
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"]
        quiet = ["--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync"]
        self._process = subprocess.Popen(
            ["bash", "-c", command, PROGRAM, *options, *quiet, f"--user-data-dir={folder}", "--remote-debugging-pipe"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._numbers = itertools.count(1)
        self._rest = b""
        self.messages: list[str] = []
        self.asked: list[str] = []
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        os.close(self._write)
        os.close(self._read)

    def call(self, method: str, **params: Any) -> Any:
        """A command of the protocol, and its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._heard(answer)

    def open(self, url: str, *, width: int = 1200, dark: bool = False) -> None:
        """Go to a page that has seen and said nothing, in a window of this width and in a light or dark theme."""
        self.call("Page.navigate", url="about:blank")
        self.until("location.href === 'about:blank'")
        self.messages, self.asked = [], []
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is in the page now."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until the expression is true in the page; fail where it does not come true."""
        deadline = time.monotonic() + WAIT_S
        waiting = (
            f"new Promise((is) => {{ const holds = () => {{ try {{ return {expression} }} catch {{ return false }} }};"
            "const look = () => holds() ? is(true) : setTimeout(look, 20); look(); setTimeout(() => is(false), 500) })"
        )
        while not self.value(waiting):
            assert time.monotonic() < deadline, f"never true: {expression}; the page said {self.messages}"

    def press(self, key: str) -> None:
        """A key, as a person at the keyboard presses it."""
        key_event = {"key": key, "code": key, "windowsVirtualKeyCode": {"Tab": 9, "Enter": 13}[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", text="\r" if key == "Enter" else "", **key_event)
        self.call("Input.dispatchKeyEvent", type="keyUp", **key_event)

    def write(self, text: str) -> None:
        """Text, at the place that has the focus."""
        self.call("Input.insertText", text=text)

    def _next(self) -> Any:
        deadline = time.monotonic() + WAIT_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            got = os.read(self._read, 1 << 16)
            assert got, "the browser has ended"
            self._rest += got
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _heard(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled":
                self.messages.append(" ".join(str(arg.get("value", "")) for arg in params["args"]))
            case "Runtime.exceptionThrown":
                self.messages.append(str(params["exceptionDetails"]))
            case "Log.entryAdded":
                self.messages.append(
                    f"{params['entry']['level']}: {params['entry']['text']} {params['entry'].get('url', '')}"
                )
            case "Network.requestWillBeSent":
                self.asked.append(params["request"]["url"])
