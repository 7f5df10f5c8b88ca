"""Admin port: health, status and metrics. It has its own threads, so that no client delays the program.

By DNS rebinding a foreign web page could make a browser behind our firewall send requests to this port, and read the
answers. Such a request has the foreign page's host name, so a request with an unknown host name gets no data.
"""

import base64
import contextlib
import functools
import hashlib
import hmac
import ipaddress
import json
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
from stream_router.telemetry.metrics_catalogue import STAGE_LABELS

log = logging.getLogger(__name__)

CLIENT_TIMEOUT_S = 5.0
"""Maximum number of seconds without progress while a client sends its request or receives its answer."""

MAX_CONNECTIONS = 32
"""Maximum number of connections. A further connection replaces the oldest, so slow clients block no health check."""

PUBLIC_PATHS = frozenset({"/healthz", "/readyz", "/"})
"""Paths that need no token: those of the platform's health checks, and the web page's file, which holds no data."""

TEXT, JSON = "text/plain; charset=utf-8", "application/json"


class Page(NamedTuple):
    """Answer to a request."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    """Additional headers, besides those that every answer has."""


class ProbeAnswer(NamedTuple):
    """Answer to a health check: whether the program is healthy, and its state in words."""

    good: bool
    word: str


UNKNOWN_HOST_PAGE = Page(
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
    """Return all pages of an admin port by path. A program with a history also has the web page, which shows it."""
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
    """HTTP server of `pages`, by path. It serves from `start` until `close`.

    Every page except those of PUBLIC_PATHS requires the bearer token `token`, if set. `variable` is the name of the
    setting that holds the address `listen`. A Host header must be an IP address, localhost, the host of `listen`, or a
    name in `hosts`. The constructor raises SettingsError if the server cannot listen.
    """

    def __init__(self, listen: str, variable: str, token: str | None, hosts: Iterable[str], pages: Pages) -> None:
        self._token = token.encode() if token else None
        self._hosts = {"localhost", split_host_port(listen)[0].lower(), *hosts}
        self._pages = pages
        # The base class makes a handler of this class for each connection, so `answer` has to be part of the class.
        handler = type("Handler", (_AdminHandler,), {"answer": staticmethod(self.answer)})
        try:
            self._server = _Server(listen, handler)
        except OSError as error:
            reason = "no such address" if isinstance(error, socket.gaierror) else error.strerror
            raise SettingsError(variable, f"cannot listen there ({reason})", "choose another HOST:PORT") from None
        host, self.port = self._server.server_address[:2]
        self.address = f"[{host!s}]:{self.port}" if ":" in str(host) else f"{host!s}:{self.port}"

    def start(self) -> None:
        """Start serving."""
        threading.Thread(target=self._server.serve_forever, name="admin-port", daemon=True).start()

    def close(self) -> None:
        """Stop serving. Open connections stay with their threads, which end with the process."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, authorization: str, hosts: Iterable[str]) -> Page:
        """Return the answer to GET `path`. `hosts` are the values of the request's Host headers.

        A request without a Host header is permitted, since every browser sends the header.
        """
        if not all(self._is_permitted_host(host) for host in hosts):
            return UNKNOWN_HOST_PAGE
        page = self._pages.get(path)
        if page is None:
            return Page(404, TEXT, b"not found\n")
        if self._token is not None and path not in PUBLIC_PATHS and not _has_token(authorization, self._token):
            return Page(401, TEXT, b"the bearer token of STREAM_ROUTER_ADMIN_TOKEN is required\n")
        return page()

    def _is_permitted_host(self, host: str) -> bool:
        """Return whether a Host header is permitted: an IP address, or a known name.

        An IP address cannot be the name of a foreign page. The port is not compared, since tunnels change it.
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
    """Return the answer of a health check: 200, or 503 with the state that is the reason."""
    return Page(200 if answer.good else 503, TEXT, f"{answer.word}\n".encode())


def _has_token(authorization: str, token: bytes) -> bool:
    """Return whether an Authorization header has the token. The time of the comparison reveals nothing of the token."""
    scheme, _, presented = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(presented.strip().encode("utf-8", "replace"), token)


class _AdminHandler(BaseHTTPRequestHandler):
    """Handler of GET and HEAD requests for the pages of `answer`."""

    timeout = CLIENT_TIMEOUT_S
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
        """Return the answer to this request. Raises nothing: an unforeseen error becomes a 500, and is logged."""
        try:
            hosts = self.headers.get_all("Host", [])
            return self.answer(self.path.partition("?")[0], self.headers.get("Authorization", ""), hosts)
        except Exception:  # a client must never end more than its own connection
            log.exception(
                "A page of the admin port failed unexpectedly. Events are not affected. Report this error.",
                extra={"event": "admin-page-failed"},
            )
            return Page(500, TEXT, b"the page failed; see the log\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Log nothing, since scrapes would fill the log."""

    def version_string(self) -> str:
        """Return the server's name without versions."""
        return "stream-router"


class _Server(ThreadingHTTPServer):
    """HTTP server with at most MAX_CONNECTIONS connections at once."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listen: str, handler: type[BaseHTTPRequestHandler]) -> None:
        host, port = split_host_port(listen)
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self.address_family = resolved[0]
        self._open: dict[socket.socket, None] = {}
        """Open connections, the oldest first: a dict keeps that order and removes any key quickly."""
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        """Bind, without a query to a name server for this host's name (which the base class makes)."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Accept the connection. If there are too many, cut the oldest, which ends its thread."""
        if len(self._open) >= MAX_CONNECTIONS and (oldest := next(iter(self._open), None)):
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
        """Ignore a client that closed its connection."""


# --- the web page


@functools.cache
def _web_page() -> Page:
    """Return the consumer's web page: one file, whose script gets its data from this port only.

    The headers permit the page's own script and style by their hash, so that no injected script would run.
    """
    written = (files("stream_router.telemetry") / "page" / "index.html").read_text("utf-8")
    labels = json.dumps(STAGE_LABELS, ensure_ascii=False)
    # The file has an empty object with a comment in place of the labels.
    body = re.sub(r"\{/\* STAGE_LABELS .*? \*/\}", lambda _: labels, written).encode()
    policy = (
        "default-src 'none'",
        "img-src data:",
        "connect-src 'self'",
        f"script-src {_hash(body, 'script')}",
        f"style-src {_hash(body, 'style')}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    headers = (
        ("Content-Security-Policy", "; ".join(policy)),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
    )
    return Page(200, "text/html; charset=utf-8", body, headers)


def _hash(body: bytes, tag: str) -> str:
    """Return the hash of the page's only element `tag`, as a Content-Security-Policy writes it."""
    (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>".encode(), body, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"
