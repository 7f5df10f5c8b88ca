"""What goes on beside a program's work goes on in time, whatever becomes of the clock."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from stream_router.aws import credentials
from stream_router.aws.credentials import Credentials, CredentialSource
from stream_router.consumer.state_dir import StateDir
from stream_router.consumer.supervisor import heartbeat
from stream_router.consumer.supervisor.heartbeat import Heartbeat
from stream_router.consumer.supervisor.watches import rule_watch
from stream_router.consumer.supervisor.watches.bus_prober import BusProver
from stream_router.consumer.supervisor.watches.rule_watch import RuleWatch
from stream_router.process import rest, stopped_after
from stream_router.telemetry.sampler import Sampler

OFTEN_S = 0.001
ENOUGH = 50
"""More times than there are before the clock is set."""


class Counted:
    """Whatever is asked of it again and again: each time counts."""

    rule, bus, unjudged = "r", "default", False

    def __init__(self) -> None:
        self.times = threading.Semaphore(0)

    def __call__(self) -> Any:
        self.times.release()
        return 0.0

    def get_credentials(self) -> Any:
        return self

    def get_frozen_credentials(self) -> Credentials:
        self()
        return Credentials("AK", "secret", None)


def credentials_of(counted: Counted, _: StateDir) -> CredentialSource:
    return CredentialSource(cast("Any", counted))


def prover(counted: Counted, state: StateDir) -> BusProver:
    return BusProver(state, "default", counted, lambda _: None, every_s=OFTEN_S)


def rule(counted: Counted, state: StateDir) -> RuleWatch:
    return RuleWatch(state, cast("Any", counted), lambda: None)


WATCHES: list[Callable[[Counted, StateDir], Any]] = [
    credentials_of,
    prover,
    rule,
    lambda counted, _: Sampler(OFTEN_S, [counted]),
    lambda counted, _: Heartbeat(counted),
]


@pytest.mark.parametrize("make", WATCHES, ids=["credentials", "bus", "rule", "sampler", "heartbeat"])
def test_a_clock_that_is_set_back_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Counted, StateDir], Any]
) -> None:
    """Many Pythons reckon the time-outs of locks by the wall clock: an event's wait lasts an hour longer then, and the
    credentials end meanwhile."""
    for module, name in ((credentials, "REFRESH_EVERY_S"), (heartbeat, "EVERY_S"), (rule_watch, "NOTED_EVERY_S")):
        monkeypatch.setattr(module, name, OFTEN_S)
    monkeypatch.setattr(rule_watch, "EVERY_S", OFTEN_S)
    counted, set_back = Counted(), threading.Lock()

    def wait(*_: object) -> bool:
        with set_back:  # other threads of this process may come here as well: they go on once the test is over
            return False

    with StateDir(tmp_path) as state, set_back:
        watch = make(counted, state)
        getattr(watch, "start", lambda: None)()
        monkeypatch.setattr(threading.Event, "wait", wait)
        assert all(counted.times.acquire(timeout=10) for _ in range(ENOUGH))
        watch.close()


def test_a_rest_ends_where_it_is_told_to() -> None:
    """A stop wants a proof of the bus now, and not in ten seconds."""
    wake = threading.Event()
    threading.Timer(OFTEN_S, wake.set).start()
    rest(1_000.0, wake)
    assert wake.is_set()
    wake.clear()
    rest(OFTEN_S, wake)


def test_a_stop_is_told_after_the_sleep() -> None:
    """Nobody waits for these threads, so none needs to be woken."""
    stop = threading.Event()
    assert not stopped_after(OFTEN_S, stop)
    stop.set()
    assert stopped_after(OFTEN_S, stop)
