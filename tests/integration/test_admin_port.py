"""The consumer's admin port over real sockets: what it answers to whom, and that no asker holds anything up."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from stream_router.consumer.state_dir import StateDir
from stream_router.consumer.supervisor.status import Status, admin_port
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.consumer.target_proof import Standing
from stream_router.errors import SettingsError
from stream_router.settings.consumer import Consumer
from stream_router.telemetry import admin_server
from stream_router.telemetry.admin_server import AdminServer
from tests.environment import QUEUE

TOKEN = "a token of many bytes"
Serve = Callable[..., str]


@pytest.fixture
def vitals() -> Vitals:
    made = Vitals()
    made.daemon_runs(os.getpid())
    return made


@pytest.fixture
def serve(tmp_path: Path, vitals: Vitals) -> Iterator[Serve]:
    ports: list[AdminServer] = []
    with StateDir(tmp_path) as state:
        settings = Consumer(aws_region="us-east-1", sqs_dlq_url=QUEUE)
        status = Status(settings, state, vitals, Standing())

        def serve(listen: str = "127.0.0.1:0", token: str | None = None) -> str:
            port = admin_port(listen, token, vitals, status)
            ports.append(port)
            port.start()
            return f"http://{port.address}"

        yield serve
        for port in ports:
            port.close()


def test_health_and_readiness_follow_the_vitals(serve: Serve, vitals: Vitals) -> None:
    """Ready while it runs; 503 while it drains, and still healthy."""
    url = serve()
    assert (httpx.get(f"{url}/healthz").status_code, httpx.get(f"{url}/readyz").text) == (200, "ready\n")
    vitals.draining()
    draining = httpx.get(f"{url}/readyz")
    assert (draining.status_code, draining.text) == (503, "draining\n")
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_the_web_page_comes_with_a_policy_that_names_no_other_host(serve: Serve) -> None:
    """As HTML, with the headers that hold a browser to it."""
    answer = httpx.get(serve())
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert (answer.headers["x-content-type-options"], answer.headers["cache-control"]) == ("nosniff", "no-store")


def test_the_token_is_asked_for_but_not_for_health(serve: Serve) -> None:
    """Numbers are for those who bear it; a probe of the platform needs none."""
    url = serve(token=TOKEN)
    for path in ("/status", "/metrics", "/history"):
        assert httpx.get(url + path).status_code == 401
        assert httpx.get(url + path, headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 401
        assert httpx.get(url + path, headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401
        assert httpx.get(url + path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert {httpx.get(url + path).status_code for path in ("/healthz", "/readyz", "/")} == {200}


@pytest.mark.parametrize(
    ("method", "path", "code"), [("GET", "/x", 404), ("POST", "/metrics", 501), ("HEAD", "/healthz", 200)]
)
def test_anything_else_is_refused(serve: Serve, method: str, path: str, code: int) -> None:
    """Reads only."""
    assert httpx.request(method, serve() + path).status_code == code


def test_askers_that_hang_hold_up_nobody_and_are_cut(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """More silent connections than are served at once: the oldest are closed at once, later all of them."""
    monkeypatch.setattr(admin_server._Handler, "timeout", 1.0)
    monkeypatch.setattr(admin_server, "CONNECTIONS_MAX", 4)
    url = serve()
    host, port = url.removeprefix("http://").split(":")
    hanging = [socket.create_connection((host, int(port))) for _ in range(3)]
    hanging[0].sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
    assert httpx.get(f"{url}/healthz", timeout=10).status_code == 200
    hanging += [socket.create_connection((host, int(port))) for _ in range(3)]
    for one in hanging:
        one.settimeout(10)  # a time-out here means that it was not cut
        with contextlib.suppress(ConnectionError):
            while one.recv(65536):
                pass
        one.close()
    assert httpx.get(f"{url}/metrics", timeout=10).status_code == 200


def test_who_holds_every_place_keeps_no_probe_out(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever reaches the port has the platform kill the program: the oldest goes, the newest is served."""
    monkeypatch.setattr(admin_server, "CONNECTIONS_MAX", 4)
    url = serve()
    host, port = url.removeprefix("http://").rsplit(":", 1)
    with contextlib.ExitStack() as stack:
        hanging = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(4)]
        for _ in range(3):
            assert httpx.get(f"{url}/healthz", timeout=10).status_code == 200
        hanging[0].settimeout(10)
        assert hanging[0].recv(1) == b""


def test_an_address_that_is_taken_is_refused_in_one_line(serve: Serve) -> None:
    """Exit 78 names the setting."""
    taken = serve().removeprefix("http://")
    with pytest.raises(
        SettingsError, match=r"^STREAM_ROUTER_ADMIN_LISTEN: cannot listen there \(Address already in use\); choose"
    ):
        serve(taken)
