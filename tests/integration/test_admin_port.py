"""The consumer's admin port over real sockets: what it answers to whom, and that no asker holds anything up."""

import contextlib
import itertools
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_router.consumer.state_dir import StateDir
from stream_router.consumer.supervisor.admin.admin_port import AdminPort
from stream_router.consumer.supervisor.admin.history import History, moment
from stream_router.consumer.supervisor.admin.status import Status
from stream_router.consumer.supervisor.admin.status_json import SCHEMA, Identity
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.consumer.target_proof import No, Standing, Unasked, Yes
from stream_router.errors import SettingsError
from stream_router.telemetry import admin_server
from stream_router.telemetry.merged import ENDED_KEPT, SNAPSHOTS
from stream_router.telemetry.metrics_catalogue import COUNTERS
from tests.told import snapshot

WHO = Identity("router", "cxone-events", "us-east-1", "worker-1", "default")
TOKEN = "a token of many bytes"
Serve = Callable[..., str]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDir]:
    with StateDir(tmp_path) as held:
        yield held


@pytest.fixture
def vitals() -> Vitals:
    made = Vitals()
    made.daemon_runs(os.getpid())
    return made


@pytest.fixture
def standing() -> Standing:
    return Standing()


@pytest.fixture
def serve(state: StateDir, vitals: Vitals, standing: Standing) -> Iterator[Serve]:
    ports: list[AdminPort] = []

    def serve(listen: str = "127.0.0.1:0", token: str | None = None) -> str:
        status = Status(state, vitals, WHO, standing)
        ports.append(AdminPort(listen, token, vitals, status, History(lambda: moment(status.seen()))))
        ports[-1].start()
        return f"http://{ports[-1].address}"

    yield serve
    for port in ports:
        port.close()


def child_says(state: StateDir, delivered: int, **more: Any) -> None:
    """A snapshot of a child that lives: this process."""
    folder = state.path / SNAPSHOTS
    folder.mkdir(exist_ok=True)
    told = snapshot("shardId-0", os.getpid(), delivered, at=time.time(), **more)
    (folder / f"shardId-0.{os.getpid()}.json").write_text(json.dumps(told.to_dict()))


def test_snapshots_of_children_that_ended_are_cleaned_up_and_stay_counted(state: StateDir, vitals: Vitals) -> None:
    """A daemon that dies again and again fills neither the folder nor the memory, and no sum falls."""
    folder = state.path / SNAPSHOTS
    folder.mkdir()
    ended_s = time.time() - 3600
    no_process = 2**22 + 1  # above the kernel's largest
    for number in range(60):
        told = snapshot("shardId-0", no_process + number, 10, at=ended_s + number)
        (folder / f"shardId-0.{no_process + number}.json").write_text(json.dumps(told.to_dict()))
    child_says(state, 5)
    clock = itertools.count(step=2).__next__
    status = Status(state, vitals, WHO, Standing(), clock=clock)
    for _ in range(3):
        assert status.seen().merged.totals.total(COUNTERS["delivered"].name) == 605
    assert len(list(folder.iterdir())) == ENDED_KEPT + 1
    assert [shard.pid for shard in status.seen().merged.shards] == [os.getpid()]


def test_health_and_readiness_follow_the_vitals(serve: Serve, vitals: Vitals) -> None:
    """Ready while it runs; 503 while it drains, and still healthy."""
    url = serve()
    assert (httpx.get(f"{url}/healthz").status_code, httpx.get(f"{url}/readyz").text) == (200, "ready\n")
    vitals.draining()
    draining = httpx.get(f"{url}/readyz")
    assert (draining.status_code, draining.text) == (503, "draining\n")
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_holding_is_told_and_is_neither_ill_nor_unready(serve: Serve, state: StateDir) -> None:
    """A restart would only add replay."""
    child_says(state, 5, holding="the bus refuses everything", gauges={"window_bytes": 7})
    url = serve()
    status = httpx.get(f"{url}/status").json()
    assert (status["state"], status["reason"]) == ("holding", "1 of 1 shards hold: the bus refuses everything")
    assert (httpx.get(f"{url}/healthz").status_code, httpx.get(f"{url}/readyz").status_code) == (200, 200)


def test_status_says_what_is_so_with_a_schema_and_a_time(serve: Serve, state: StateDir, standing: Standing) -> None:
    """State and reason in words, the bus, the rule, totals with percentiles, each shard."""
    child_says(state, 100)
    now = time.monotonic()
    for at in (now - 3, now - 2, now - 1):
        standing.heard(Yes() if at == now - 3 else No("rule", "rule r is disabled", "enable it"), at)
    answer = httpx.get(f"{serve()}/status")
    status = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert (status["schema"], status["at"][-1]) == (SCHEMA, "Z")
    assert (status["state"], status["reason"]) == ("rule unmatched", "rule r is disabled")
    assert (status["rule"]["state"], status["rule"]["cure"]) == ("unmatched", "enable it")
    assert status["bus"]["state"] == "proven"
    assert status["bus"]["proofAgeS"] >= 3
    assert status["totals"]["counters"]["delivered"] == 100
    latency = status["totals"]["latenciesMs"]["received_to_accepted"]
    assert (latency["count"], latency["max"]) == (100, 100)
    assert latency["p50"] == pytest.approx(50, rel=0.011)
    assert [(shard["shard"], shard["owner"]) for shard in status["shards"]] == [("shardId-0", "worker-1")]
    assert (status["worker"], status["stream"], status["unreadShards"]) == ("worker-1", "cxone-events", None)
    assert status["daemon"]["rssBytes"] > 0
    assert status["lag"] == {
        "oldestUnsettledAgeS": None,
        "retentionHeadroomS": None,
        "caughtUp": False,
        "catchUpS": None,
    }


def test_a_bus_that_cannot_be_asked_shows(serve: Serve, standing: Standing) -> None:
    """Since when, in seconds, in both pages."""
    standing.heard(Unasked("Throttling"), time.monotonic() - 60)
    url = serve()
    bus = httpx.get(f"{url}/status").json()["bus"]
    assert bus["state"] == "unasked"
    assert bus["unaskedS"] >= 60
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    (line,) = [line for line in lines if line.startswith("stream_router_bus_unasked_seconds")]
    assert float(line.split()[1]) >= 60


def test_the_web_page_comes_with_a_policy_that_names_no_other_host(serve: Serve) -> None:
    """As HTML, with the headers that hold a browser to it."""
    answer = httpx.get(serve())
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert (answer.headers["x-content-type-options"], answer.headers["cache-control"]) == ("nosniff", "no-store")


def test_the_history_begins_empty(serve: Serve) -> None:
    """With its columns, before the first row."""
    told = httpx.get(f"{serve()}/history").json()
    assert (told["schema"], told["rows"], told["columns"][0]) == ("stream-router.history/1", [], "at")


def test_the_pages_are_made_at_most_once_a_second(state: StateDir, vitals: Vitals) -> None:
    """A hundred askers cost as much as one; after a second what is new is shown."""
    now = [100.0]
    status = Status(state, vitals, WHO, Standing(), clock=lambda: now[0])
    child_says(state, 1)
    first = status.pages()
    child_says(state, 2)
    assert status.pages() is first
    now[0] += 1.0
    assert b"stream_router_events_delivered_total 2.0" in status.pages().metrics


def test_torn_files_of_the_state_folder_break_no_page(serve: Serve, state: StateDir) -> None:
    """What cannot be read is not known."""
    (state.path / SNAPSHOTS).mkdir()
    (state.path / SNAPSHOTS / "shardId-0.1.json").write_text("[1]")
    url = serve()
    status = httpx.get(f"{url}/status").json()
    assert (status["bus"]["state"], status["rule"]["state"], status["shards"]) == ("unproven", "unknown", [])
    assert httpx.get(f"{url}/metrics").status_code == 200


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
    monkeypatch.setattr(admin_server, "WHOLE_S", 1.0)
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


def test_an_address_that_is_taken_is_refused_in_one_line(serve: Serve, state: StateDir, vitals: Vitals) -> None:
    """Exit 78 names the setting."""
    taken = serve().removeprefix("http://")
    status = Status(state, vitals, WHO, Standing())
    with pytest.raises(
        SettingsError, match=r"^STREAM_ROUTER_ADMIN_LISTEN: cannot listen there \(Address already in use\); choose"
    ):
        AdminPort(taken, None, vitals, status, History(lambda: moment(status.seen())))
