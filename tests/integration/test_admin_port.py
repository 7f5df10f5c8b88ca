"""The consumer's admin port over real sockets: what it answers to whom, and that no asker holds anything up."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from stream_router.consumer.supervisor.status import admin_port
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.errors import SettingsError
from stream_router.telemetry import admin_server
from stream_router.telemetry.verdict import judge
from stream_router.top.command import fetch_statuses

TOKEN = "a token of many bytes"
Serve = Callable[..., httpx.Client]


@pytest.fixture
def vitals() -> Vitals:
    result = Vitals()
    result.record_daemon_start(os.getpid())
    return result


@pytest.fixture
def serve(vitals: Vitals) -> Iterator[Serve]:
    pages: Any = SimpleNamespace(
        status=lambda: b"{}", history=lambda: b"{}", metrics=lambda: b"", latest_verdict=judge([], 0.0)
    )
    with contextlib.ExitStack() as open_:

        def serve(listen: str = "127.0.0.1:0", token: str | None = None, hosts: str = "") -> httpx.Client:
            port = admin_port(listen, token, hosts, vitals, pages)
            port.start()
            open_.callback(port.close)
            fresh = httpx.Limits(max_keepalive_connections=0)
            return open_.enter_context(httpx.Client(base_url=f"http://{port.address}", limits=fresh, timeout=10))

        yield serve


def test_health_and_readiness_follow_the_vitals(serve: Serve, vitals: Vitals) -> None:
    """Ready while it runs; 503 while it drains, and still healthy. The probe's answer names the verdict."""
    port = serve()
    assert port.get("/healthz").text == "well\n"
    assert (port.get("/healthz").status_code, port.get("/readyz").text) == (200, "ready\n")
    vitals.record_stop_request()
    draining = port.get("/readyz")
    assert (draining.status_code, draining.text) == (503, "draining\n")
    assert port.get("/healthz").status_code == 200


def test_the_token_is_asked_for_but_not_for_health(serve: Serve) -> None:
    """Numbers are for those who bear it; a probe needs none, nor the page, whose policy names no other host."""
    port = serve(token=TOKEN)
    for path in ("/status", "/metrics", "/history"):
        for name in ("", f"Bearer {TOKEN}x", f"Basic {TOKEN}"):
            assert port.get(path, headers={"Authorization": name}).status_code == 401
        assert port.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert {port.get(path).status_code for path in ("/healthz", "/readyz", "/")} == {200}
    page = port.get("/").headers
    assert page["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page["content-security-policy"]
    assert (page["x-content-type-options"], page["cache-control"]) == ("nosniff", "no-store")


def test_only_hosts_that_cannot_be_anothers_are_answered(serve: Serve) -> None:
    """A page of a stranger whose name leads here (DNS rebinding) reads nothing: 421, in one line that names no host.
    Addresses, localhost, the host that it listens at, and those of the setting are answered; so is no host at all,
    which no browser sends."""
    port = serve("localhost:0", hosts="consumer.monitoring.svc, Other")
    address = (port.base_url.host, port.base_url.port or 0)
    answered = ["127.0.0.1:9464", "10.2.3.4", "[fd00::1]:9464", "[::1]", "localhost:1", "LocalHost.", "other:9464"]
    refused = ["rebound.example.com:9464", "monitoring.svc", "127.0.0.1.example.com", "", "10.2.3.4@x", "[localhost]"]
    for host in [*answered, "consumer.monitoring.svc", *refused]:
        for path in ("/status", "/metrics", "/healthz", "/"):
            answer = port.get(path, headers={"Host": host})
            assert answer.status_code == (421 if host in refused else 200), host
            if host in refused:
                assert answer.text.count("\n") == 1
                assert "STREAM_ROUTER_ADMIN_HOSTS" in answer.text
    for head, status in ((b"GET /healthz HTTP/1.0", b"200"), (b"GET / HTTP/1.1\r\nHost: [::1]\r\nHost: x.y", b"421")):
        with socket.create_connection(address, timeout=10) as asker:
            asker.sendall(head + b"\r\n\r\n")
            assert asker.recv(65536).split()[1] == status
    refusing = httpx.MockTransport(lambda _: httpx.Response(421))
    (shown,) = asyncio.run(fetch_statuses(["http://consumer-1.example:9464"], "", refusing))
    assert "STREAM_ROUTER_ADMIN_HOSTS" in shown.error


def test_it_reads_only_and_an_address_that_is_taken_is_refused_in_one_line(serve: Serve) -> None:
    """Exit 78 names the setting."""
    port = serve()
    for method, path, code in (("GET", "/x", 404), ("POST", "/metrics", 501), ("HEAD", "/healthz", 200)):
        assert port.request(method, path).status_code == code
    with pytest.raises(
        SettingsError, match=r"^STREAM_ROUTER_ADMIN_LISTEN: cannot listen there \(Address already in use\); choose"
    ):
        serve(port.base_url.netloc.decode())


def test_askers_that_hang_hold_up_nobody_and_are_cut(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds every place keeps no probe out, or the platform kills the program: the oldest goes, later all do."""
    monkeypatch.setattr(admin_server._AdminHandler, "timeout", admin_server._AdminHandler.timeout * 0.6)
    monkeypatch.setattr(admin_server, "MAX_CONNECTIONS", 4)
    port = serve()
    address = (port.base_url.host, port.base_url.port or 0)
    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        hanging = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(4)]
        hanging[0].sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n")
        for _ in range(3):
            assert port.get("/healthz").status_code == 200
        assert (hanging[0].recv(1), time.monotonic() - began < 3.0) == (b"", True)
        hanging += [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(3)]
        for item in hanging:  # a time-out here means that it was not cut
            with contextlib.suppress(ConnectionError):
                while item.recv(65536):
                    pass
    assert port.get("/metrics").status_code == 200
