"""An admin port: health, status, metrics, on threads of its own. Nothing waits for an asker.

A browser on this host, or behind its firewall, can be sent here by a stranger's page whose name leads to this address
(DNS rebinding), and would hand that page what is answered. So a name is answered only if it is known.
"""

import base64
import contextlib
import functools
import hashlib
import hmac
import ipaddress
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socketserver import TCPServer
from typing import Any, NamedTuple

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from stream_router.errors import SettingsError
from stream_router.settings.types import split_host_port

log = logging.getLogger(__name__)

IDLE_S = 5.0
"""Longest silence of an asker, while it sends or while it takes its answer."""

CONNECTIONS_MAX = 32
"""Served at once; a further one has the place of the oldest, so that nobody who trickles keeps the probes out."""

FREE = frozenset({"/healthz", "/readyz", "/"})
"""No token is asked for there: of the platform's probes, and of the web page's file, which holds no data."""

TEXT, JSON = "text/plain; charset=utf-8", "application/json"


class Page(NamedTuple):
    """An answer."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    """Beside those that every answer has."""


class ProbeAnswer(NamedTuple):
    """The answer to a probe: whether all is as it should be, and a word."""

    good: bool
    word: str


FOREIGN = Page(
    421,
    TEXT,
    b"no answer for this Host; ask by address or as localhost, or name the host in STREAM_ROUTER_ADMIN_HOSTS\n",
)
"""Answer to a request for a host name that is not allowed here."""

Pages = Mapping[str, Callable[[], Page]]


def routes(
    health: Callable[[], ProbeAnswer],
    ready: Callable[[], ProbeAnswer],
    status: Callable[[], bytes],
    metrics: Callable[[], bytes],
    history: Callable[[], bytes] | None = None,
) -> Pages:
    """Return all paths of an admin port. A program with a history has the web page too, which shows it."""
    pages: dict[str, Callable[[], Page]] = {
        "/healthz": lambda: _probe(health()),
        "/readyz": lambda: _probe(ready()),
        "/status": lambda: Page(200, JSON, status()),
        "/metrics": lambda: Page(200, CONTENT_TYPE_LATEST, metrics()),
    }
    if history:
        pages |= {"/": _web_page, "/history": lambda: Page(200, JSON, history())}
    return pages


class AdminServer:
    """Serves `pages` by their paths, from `start` until `close`. Raises SettingsError where it cannot listen.

    `token` is asked for on every page but those of FREE; without one nothing is asked. `variable` is the setting that
    says where to listen. Beside addresses, localhost and the host of `listen`, the names of `hosts` are answered.
    """

    def __init__(self, listen: str, variable: str, token: str | None, hosts: Iterable[str], pages: Pages) -> None:
        self._token = token.encode() if token else None
        self._hosts = {"localhost", split_host_port(listen)[0].lower(), *hosts}
        self._pages = pages
        handler = type("Handler", (_AdminHandler,), {"answer": staticmethod(self.answer)})
        try:
            self._server = _Server(listen, handler)
        except OSError as error:
            reason = "no such address" if isinstance(error, socket.gaierror) else error.strerror
            raise SettingsError(f"{variable}: cannot listen there ({reason}); choose another HOST:PORT") from None
        host, self.port = self._server.server_address[:2]
        self.address = f"[{host!s}]:{self.port}" if ":" in str(host) else f"{host!s}:{self.port}"

    def start(self) -> None:
        """Begin serving."""
        threading.Thread(target=self._server.serve_forever, name="admin-port", daemon=True).start()

    def close(self) -> None:
        """Stop serving; connections that are open are left to their threads, which end with the process."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, authorization: str, hosts: Iterable[str]) -> Page:
        """Return the answer to GET `path`; `hosts` are the values of the request's Host headers.

        A request without one is answered: every browser sends it.
        """
        if not all(self._is_ours(host) for host in hosts):
            return FOREIGN
        page = self._pages.get(path)
        if page is None:
            return Page(404, TEXT, b"not found\n")
        if self._token is not None and path not in FREE and not _bears(authorization, self._token):
            return Page(401, TEXT, b"the bearer token of STREAM_ROUTER_ADMIN_TOKEN is asked for\n")
        return page()

    def _is_ours(self, host: str) -> bool:
        """Return whether a Host header names this port by an address, which no stranger's name is, or by a known name.

        Ports differ behind tunnels and mapped ports, so the header's is not compared.
        """
        if host.startswith("["):
            return _is_address(host[1:].partition("]")[0])
        name = host.partition(":")[0].removesuffix(".").lower()
        return name in self._hosts or _is_address(name)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _probe(answer: ProbeAnswer) -> Page:
    """Return a probe's answer: 200, or 503 with the state that says why."""
    return Page(200 if answer.good else 503, TEXT, f"{answer.word}\n".encode())


def _bears(authorization: str, token: bytes) -> bool:
    scheme, _, presented = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(presented.strip().encode("utf-8", "replace"), token)


class _AdminHandler(BaseHTTPRequestHandler):
    """GET and HEAD of what `answer` knows."""

    timeout = IDLE_S
    answer: Callable[[str, str, list[str]], Page]

    def do_GET(self) -> None:
        """Send the page."""
        page = self._page()
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        for name, value in page.headers:
            self.send_header(name, value)
        if page.status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_HEAD = do_GET  # noqa: N815 - the name is the base class's

    def _page(self) -> Page:
        try:
            hosts = self.headers.get_all("Host", [])
            return self.answer(self.path.partition("?")[0], self.headers.get("Authorization", ""), hosts)
        except Exception:  # an asker must never end more than its own connection
            log.exception("a page of the admin port could not be made", extra={"event": "admin-page-failed"})
            return Page(500, TEXT, b"the page could not be made; see the log\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Scrapes are not logged."""

    def version_string(self) -> str:
        """Return the server's name without versions."""
        return "stream-router"


class _Server(ThreadingHTTPServer):
    """At most CONNECTIONS_MAX at once."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listen: str, handler: type[BaseHTTPRequestHandler]) -> None:
        host, port = split_host_port(listen)
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self.address_family = resolved[0]
        self._open: dict[socket.socket, None] = {}
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        """Bind, without asking a name server what this host is called."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take the connection; where there are too many the oldest is cut, and its thread ends by that."""
        if len(self._open) >= CONNECTIONS_MAX and (oldest := next(iter(self._open), None)):
            self._open.pop(oldest, None)
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close the connection."""
        self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that went away."""


# --- the web page


@functools.cache
def _web_page() -> Page:
    """Return the consumer's page: one file without external assets or data, which asks this port alone for its data.

    Its script and style run by their own hash, so nothing else that got in would run.
    """
    body = (files("stream_router.telemetry") / "page" / "index.html").read_bytes()
    policy = (
        *("default-src 'none'", "img-src data:", "connect-src 'self'"),
        *(f"{tag}-src {_hash(body, tag)}" for tag in ("script", "style")),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    )
    headers = (
        ("Content-Security-Policy", "; ".join(policy)),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
    )
    return Page(200, "text/html; charset=utf-8", body, headers)


def _hash(body: bytes, tag: str) -> str:
    """Return the hash of the one inline element of that name, as a Content-Security-Policy writes it."""
    (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>".encode(), body, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"
