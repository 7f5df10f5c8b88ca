"""A host whose clock is set wrong while the receiver runs: its senders are no less known for that."""

import contextlib
import functools
import hmac
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.compiler import needs_a_compiler
from tests.fakeaws.process import FakeAwsProcess
from tests.fault.lane.clock import Clock
from tests.receiver_kit import KEY, ReceiverProcess, event, receiver


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def make(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., contextlib.AbstractContextManager[ReceiverProcess]]]:
    """Makes a receiver of signed deliveries under that clock, in front of a stream that has the right one."""
    with FakeAwsProcess(tmp_path / "ledger") as fake_aws:
        for name, value in clock.environment.items():
            monkeypatch.setenv(name, value)
        yield functools.partial(receiver, fake_aws.url, tmp_path, WEBHOOK_SCHEME="expert", WEBHOOK_SECRETS=KEY)


@pytest.fixture
def running(make: Callable[..., contextlib.AbstractContextManager[ReceiverProcess]]) -> Iterator[ReceiverProcess]:
    with make() as made:
        yield made


def post(running: ReceiverProcess, number: int, off_s: float = 0.0) -> int:
    """The status of a delivery that is signed at so many seconds from now."""
    body, stamp = event(number), str(int(time.time() + off_s))
    signature = hmac.digest(KEY.encode(), f"{stamp}.".encode() + body, "sha256").hex()
    headers = {"x-nexus-signature-256": f"sha256={signature}", "x-nexus-timestamp": stamp}
    return httpx.post(f"{running.url}/v1/events", content=body, headers=headers).status_code


@needs_a_compiler
@pytest.mark.parametrize("step_s", [3600, -3600])
def test_a_clock_that_is_set_wrong_makes_no_delivery_stale(running: ReceiverProcess, clock: Clock, step_s: int) -> None:
    """A 401 is final for a sender. What time it is the receiver has heard from the stream, and goes on from there."""
    assert post(running, 0) == 202
    clock.set(step_s)
    assert [post(running, number) for number in (1, 2)] == [202, 202]
    assert post(running, 3, -2 * step_s) == 401
    clock.set(0)
    assert [post(running, 4), post(running, 5, step_s)] == [202, 401]


@needs_a_compiler
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_clock_that_was_wrong_from_the_start_makes_no_delivery_stale(
    make: Callable[..., contextlib.AbstractContextManager[ReceiverProcess]], clock: Clock, workers: str
) -> None:
    """A machine that boots without its time: the check at the start has asked the stream, whose answer told it."""
    clock.set(3600)
    with make(workers=workers) as running:
        assert [post(running, number) for number in range(4)] == [202] * 4
        assert post(running, 4, -3600) == 401
