"""`stream-router jars`: fetches the KCL daemon's jars from a repository or a folder, and verifies their SHA-256."""

import os
import ssl
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from stream_router.consumer.supervisor import jars
from stream_router.consumer.supervisor.jars import Jar
from stream_router.errors import SettingsError
from stream_router.process import write_atomically
from stream_router.settings.types import is_url

CONCURRENT_DOWNLOADS = 4
TRIES = 4
FIRST_WAIT_S, MAX_WAIT_S = 1.0, 10.0
ANSWER_TIMEOUT_S = 20.0
"""Seconds without a byte, or without a connection, after which a try fails.

A mirror that has to fetch the jar itself may take longer. It then has the jar at the next try.
"""


class FetchError(Exception):
    """A jar could not be fetched; the text is one line."""


MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
"""Default repository of Maven's own clients."""


def run(source: str | None) -> int:
    """Fetch the jars that are missing or damaged from `source`, or from Maven Central if it is None.

    Return 0, or 1 with one line on standard error if a jar cannot be fetched or written. Raises SettingsError if
    `source` is neither a repository nor a folder, or if no folder for jars is writable.
    """
    get = _open_source(source or MAVEN_CENTRAL)
    folder, cache = _find_folder(), _find_cache()
    missing = [jar for jar in jars.list_jars() if not _is_whole(folder / jar.name, jar)]
    if missing and not os.access(folder, os.W_OK | os.X_OK):
        raise _describe_unwritable(folder)
    if missing:
        _print_line(f"fetching {len(missing)} of the KCL daemon's jars ...")
    try:
        with ThreadPoolExecutor(CONCURRENT_DOWNLOADS) as pool:
            counts = Counter(pool.map(lambda jar: _complete(jar, folder, cache, get), missing))
    except (FetchError, OSError) as error:
        sys.stderr.write(f"stream-router jars: {error}\n")
        return 1
    counts["there already"] = len(jars.list_jars()) - len(missing)
    origins = ", ".join(
        f"{counts[origin]} {origin}" for origin in ("there already", "from the cache", "fetched") if counts[origin]
    )
    _print_line(f"{jars.check_jars_are_whole()} jars of the KCL daemon are whole in {folder} ({origins})")
    return 0


def _complete(jar: Jar, folder: Path, cache: Path, get: Callable[[Jar], bytes]) -> str:
    """Put a jar into `folder`, from the cache if it is there. Return its origin in words.

    `get` fetches the jar's bytes. Raises FetchError, and OSError if the folder cannot be written.
    """
    if _is_whole(kept := cache / jar.name, jar):
        write_atomically(folder / jar.name, kept.read_bytes())
        return "from the cache"
    content = get(jar)
    if not jar.is_content(content):
        raise FetchError(
            f"{jar.name} came with {len(content)} bytes that are not the listed ones (SHA-256); it was not kept: "
            "ask the mirror's administrator, or name another source (--from)"
        )
    with suppress(OSError):  # without a writable home the next installation fetches the jars again
        cache.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, content)
    write_atomically(folder / jar.name, content)
    return "fetched"


def _is_whole(path: Path, jar: Jar) -> bool:
    try:
        return jar.is_content(path.read_bytes())
    except OSError:
        return False


def _open_source(text: str) -> Callable[[Jar], bytes]:
    """Return a function that fetches a jar from the repository or the folder that `text` names.

    Raises SettingsError if it names neither.
    """
    if is_url(text):
        return lambda jar: _download(text.rstrip("/") + "/" + quote(jar.path), jar)
    folder = Path(text.removeprefix("file://"))
    if not folder.is_dir():
        raise SettingsError(
            "--from", "is neither the URL of a Maven repository nor a folder", "give one, or omit the option"
        )

    def read(jar: Jar) -> bytes:
        # A folder may hold the jars side by side, or be a copy of a repository with its subfolders.
        for path in (folder / jar.name, folder / jar.path):
            if path.is_file():
                return path.read_bytes()
        raise FetchError(f"{jar.name} is not in {folder}, nor is {jar.path}; put it there")

    return read


def _download(url: str, jar: Jar) -> bytes:
    """Return the content of a URL, through the environment's proxy and with the system's CAs.

    A time-out, a broken connection, 429 or 5xx leads to another try. User and password of the URL go to its host alone:
    httpx drops them when it is redirected to another host. Raises FetchError.
    """

    def again(state: RetryCallState) -> None:
        assert state.outcome
        _print_line(f"{jar.name}: {_describe_error(state.outcome.exception())}; trying again")

    tries = Retrying(
        retry=retry_if_exception(_is_transient),
        wait=wait_random_exponential(FIRST_WAIT_S, MAX_WAIT_S),
        stop=stop_after_attempt(TRIES),
        before_sleep=again,
        reraise=True,
    )
    get = partial(httpx.get, url, follow_redirects=True, timeout=ANSWER_TIMEOUT_S, verify=ssl.create_default_context())
    try:
        return bytes(tries(lambda: get().raise_for_status().content))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise FetchError(
            f"{jar.name} cannot be fetched from {urlsplit(url).hostname} ({_describe_error(error)}); check the network "
            "or its proxy, or name a mirror or a folder (--from), then run the same command again"
        ) from None


def _is_transient(error: BaseException) -> bool:
    """Return whether another try may succeed."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


def _describe_error(error: BaseException | None) -> str:
    if isinstance(error, httpx.HTTPStatusError):  # its text has the URL, and with it the password
        return f"HTTP {error.response.status_code}"
    return f"{type(error).__name__}: {error}"


def _print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _find_folder() -> Path:
    """Return the folder from which `consume` loads jars, even if another user owns it.

    If there is none, make the first one that this user can make. Raises SettingsError if this user can make none.
    """
    with suppress(SettingsError):  # no folder exists yet
        return jars.folder()
    for candidate in jars.folders():
        with suppress(OSError):
            candidate.mkdir(parents=True, exist_ok=True)
            return candidate
    raise _describe_unwritable(next(jars.folders()))


def _describe_unwritable(folder: Path) -> SettingsError:
    return SettingsError(
        "KCL daemon",
        f"no folder for its jars can be written to ({folder})",
        "run this as the user who installed stream_router",
    )


def _find_cache() -> Path:
    """Return the user's cache folder, which all installations share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stream_router" / "jars"
