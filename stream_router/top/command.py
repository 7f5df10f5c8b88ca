"""Command `stream-router top`: shows the status of the admin ports once, as JSON, or live until `q` or Ctrl-C.

All ports are asked at once, so a host that hangs delays no other. An unreachable host is shown as a line, and is no
error.
"""

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import httpx
import orjson
from rich.console import Console
from rich.live import Live

from stream_router.errors import SettingsError
from stream_router.process import iso, now_ms
from stream_router.settings.operators import Top
from stream_router.top.view import Host, screen, verdict_of

SCHEMA = "stream-router.top/1"
UPDATE_INTERVAL_S = 2.0
"""Seconds between two updates of the live view. The ports make their status at most once a second."""

VERDICT = ("code", "state", "level", "since", "reason", "meaning", "cure")
"""Fields of the worst verdict, as in `/status`."""

ANSWER_TIMEOUT_S = 3.0
"""Seconds within which the whole answer of a port must arrive."""

QUIT_KEYS = ("q", "Q", "\x03", "\x1b", "")
"""Keys that end the live view: q, Ctrl-C, Escape, and the "" that `_on_key` makes of a closed terminal."""

STATUS = "stream-router.status"
"""Name of the status schema without its version. Later versions add fields, and a missing field shows as unknown."""


class TopOptions(NamedTuple):
    """Options of the command line."""

    once: bool
    as_json: bool
    urls: Sequence[str]


def run(settings: Top, options: TopOptions) -> int:
    """Show the view once or live, and return 0. A host that does not answer is shown with that state.

    Raise SettingsError for an invalid URL. If standard output is not a terminal, show the view once. If then no host
    answers, also write that to standard error.
    """
    urls = options.urls or settings.urls
    if bad := [url for url in urls if not url.startswith(("http://", "https://"))]:
        raise SettingsError("--url", f"{bad[0][:80]!r} is not the URL of an admin port", "give http://HOST:PORT")
    console = Console()
    if console.is_terminal and not (options.once or options.as_json):
        asyncio.run(_live(urls, settings.token, console))
        return 0
    hosts = asyncio.run(fetch_statuses(urls, settings.token))
    if options.as_json:
        sys.stdout.write(_json(hosts) + "\n")
    else:
        console.print(screen(hosts, console))
    if not any(host.program for host in hosts):
        sys.stdout.flush()
        ports = " or ".join(urls)
        sys.stderr.write(
            f"stream-router top: no program of ours answers at {ports}; start one, or name its admin port with --url\n"
        )
    return 0


async def fetch_statuses(
    urls: Sequence[str], token: str, transport: httpx.AsyncBaseTransport | None = None
) -> list[Host]:
    """Return a Host for each URL, in the same order, within ANSWER_TIMEOUT_S.

    A port that gives no status of ours has the reason in `Host.error`. Raises nothing for it.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # The environment's proxy is ignored, since admin ports are on this machine or in this network.
    async with httpx.AsyncClient(
        headers=headers, timeout=ANSWER_TIMEOUT_S, trust_env=False, transport=transport
    ) as client:
        return await asyncio.gather(*(_fetch_status(client, url.rstrip("/").removesuffix("/status")) for url in urls))


async def _fetch_status(client: httpx.AsyncClient, url: str) -> Host:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            answer = await client.get(f"{url}/status")
    except (httpx.TimeoutException, TimeoutError):
        return Host(url, None, {}, f"no answer within {ANSWER_TIMEOUT_S:.0f} s")
    except (httpx.TransportError, httpx.InvalidURL, UnicodeError) as error:
        return Host(url, None, {}, f"does not answer ({_short_reason(error)})")
    if answer.status_code == 401:
        return Host(url, None, {}, "asks for another token: set STREAM_ROUTER_ADMIN_TOKEN as it is set there")
    if answer.status_code == 421:
        return Host(
            url, None, {}, "does not know this host: ask by address, or name it in STREAM_ROUTER_ADMIN_HOSTS there"
        )
    try:
        status: dict[str, Any] = answer.json()
        is_ours = str(status["schema"]).partition("/")[0] == STATUS and status["program"] in ("consume", "receive")
    except (ValueError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        return Host(url, None, {}, f"answers {answer.status_code}, but is not an admin port of ours; check the URL")
    return Host(url, status["program"], status, "")


def _short_reason(error: BaseException) -> str:
    """Return why a connection failed, in lower case: the system's own message, else httpx's, else the error's class.

    httpx wraps the system's error, so the chain of causes is searched for it.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            # Errors of name resolution have negative numbers, for which `os.strerror` has no text.
            return (os.strerror(cause.errno) if cause.errno > 0 else cause.strerror).lower()
        cause = cause.__cause__ or cause.__context__
    return str(error).rstrip(".").lower() or type(error).__name__


def _json(hosts: Sequence[Host]) -> str:
    rows = [
        {"url": host.url, "program": host.program, "error": host.error or None, "status": host.status or None}
        for host in hosts
    ]
    worst = verdict_of(hosts)
    verdict = {name: worst.verdict.get(name) for name in VERDICT} | {"url": worst.url}
    return orjson.dumps({"schema": SCHEMA, "at": iso(now_ms()), "verdict": verdict, "hosts": rows}).decode()


async def _live(urls: Sequence[str], token: str, console: Console) -> None:
    """Draw the view on the terminal's alternate screen, until a key of QUIT_KEYS or a signal ends it.

    It ends at once, even if a host hangs.
    """
    loop, quit_requested = asyncio.get_running_loop(), asyncio.Event()
    # SIGINT needs a handler too: a shell starts background processes with SIGINT ignored. SIGHUP means that the
    # terminal was closed.
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signal_number, quit_requested.set)
    live = Live("asking…", console=console, screen=True, auto_refresh=False, vertical_overflow="crop")
    with live, _unbuffered_keys():
        if sys.stdin.isatty():
            loop.add_reader(sys.stdin, _on_key, quit_requested)
        updates = asyncio.create_task(_update_repeatedly(urls, token, live))
        await asyncio.wait((updates, asyncio.create_task(quit_requested.wait())), return_when=asyncio.FIRST_COMPLETED)
        updates.cancel()


def _on_key(quit_requested: asyncio.Event) -> None:
    try:
        key = os.read(sys.stdin.fileno(), 1).decode("ascii", "replace")
    except OSError:  # the terminal was closed
        key = ""
    if key in QUIT_KEYS:
        quit_requested.set()


async def _update_repeatedly(urls: Sequence[str], token: str, live: Live) -> None:
    while True:
        live.update(screen(await fetch_statuses(urls, token), live.console, live=True), refresh=True)
        await asyncio.sleep(UPDATE_INTERVAL_S)


@contextlib.contextmanager
def _unbuffered_keys() -> Iterator[None]:
    """Make the terminal deliver keys at once and without echo. Restore it at the end."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
