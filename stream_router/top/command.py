"""The command: once, as JSON, or live until `q` or Ctrl-C."""

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import NamedTuple

import orjson
from rich.console import Console
from rich.live import Live

from stream_router.errors import SettingsError
from stream_router.process import heard_by, iso, now_ms
from stream_router.settings.operators import Top
from stream_router.top.hosts import Host, Hosts
from stream_router.top.keys import Keys
from stream_router.top.screen import Looks, screen

SCHEMA = "stream-router.top/1"
EVERY_S = 2.0
"""The ports make their status at most once a second."""

LOOK_EVERY_S = 0.25
QUIT = ("q", "Q", "\x03", "\x1b")


class Wish(NamedTuple):
    """What the command line asks for."""

    once: bool
    as_json: bool
    urls: Sequence[str]


def run(settings: Top, wish: Wish) -> int:
    """Show it. Always 0: a host that does not answer is shown as that. Raises SettingsError for what is no URL.

    Where standard output is no terminal it is shown once; standard error then says so where none of them answers.
    """
    urls = wish.urls or settings.urls
    if bad := [url for url in urls if not url.startswith(("http://", "https://"))]:
        raise SettingsError(f"--url: {bad[0][:80]!r} is no URL of an admin port; give http://HOST:PORT")
    console = Console()
    if console.is_terminal and not (wish.once or wish.as_json):
        _live(_Asker(urls, settings.token), console)
        return 0
    found = asyncio.run(_asked(urls, settings.token))
    if wish.as_json:
        sys.stdout.write(_json(found) + "\n")
    else:
        console.print(screen(found, Looks(), console))
    if not any(host.program for host in found):
        sys.stdout.flush()
        ports = " or ".join(urls)
        sys.stderr.write(
            f"stream-router top: no program of ours answers at {ports}; start one, or name its admin port with --url\n"
        )
    return 0


async def _asked(urls: Sequence[str], token: str) -> list[Host]:
    async with Hosts(urls, token) as hosts:
        return await hosts.ask()


def _json(found: Sequence[Host]) -> str:
    at = iso(now_ms())
    hosts = [
        {"url": host.url, "program": host.program, "error": host.error or None, "status": host.status or None}
        for host in found
    ]
    return orjson.dumps({"schema": SCHEMA, "at": at, "hosts": hosts}).decode()


def _live(asker: "_Asker", console: Console) -> None:
    """Draw on a screen of its own, which is put back; asked on a thread, so that a host that hangs holds up no key."""
    looks = Looks(keys=True)
    with contextlib.suppress(KeyboardInterrupt), _ends_on_signals(), asker, Keys() as keys:  # noqa: SIM117
        with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                live.update(screen(found, looks, console) if (found := asker.found) else "asking…", refresh=True)
                if (key := keys.wait(LOOK_EVERY_S)) in QUIT:
                    break
                looks = looks.pressed(key)


class _Asker:
    """Asks again and again while it is entered, on a thread of its own; `found` is the newest answer."""

    def __init__(self, urls: Sequence[str], token: str) -> None:
        self._urls, self._token = urls, token
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="asker", daemon=True)
        self.found: list[Host] = []

    def __enter__(self) -> None:
        self._task = self._loop.create_task(self._ask())
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError), contextlib.closing(self._loop):
            self._loop.run_until_complete(self._task)

    async def _ask(self) -> None:
        async with Hosts(self._urls, self._token) as hosts:
            while True:
                self.found = await hosts.ask()
                await asyncio.sleep(EVERY_S)


def _ends_on_signals() -> contextlib.AbstractContextManager[None]:
    """SIGTERM, and a terminal that is closed, end it as Ctrl-C does, so that the terminal is put back.

    Ctrl-C too is heard here: what a shell starts in the background ignores it, and so do that one's own children.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    return heard_by(end, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
