"""Failpoints: off unless the variable says so, each place there once, a rule that is none refused."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from stream_router import process
from stream_router.errors import SettingsError
from stream_router.process import FAILPOINTS_VARIABLE, arm_failpoints, deadly_text, failpoint
from stream_router.settings.environment.reading import load, warn_of_names
from stream_router.settings.receiver import Receiver
from tests.unit import test_settings
from tests.unit.test_settings import RECEIVER, given

empty_environment = test_settings.empty_environment
PACKAGE = Path(process.__file__).parent


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm_failpoints("")


def test_the_third_time_alone_stalls_and_other_places_never(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`@3` counts; the place says itself when it is reached."""
    stalls: list[float] = []
    monkeypatch.setattr(process, "time", SimpleNamespace(sleep=stalls.append))
    arm_failpoints("in_lease_lost=stall:0.05s@3")
    stalled = []
    for _ in range(4):
        failpoint("in_lease_lost")
        failpoint("in_shard_end")
        stalled.append(list(stalls))
    assert stalled == [[], [], [0.05], [0.05]]
    assert capfd.readouterr().err == "failpoint in_lease_lost, time 3\n"


def test_a_kill_is_a_kill() -> None:
    """Nothing of the process runs after it: no handler, no flush."""
    program = (
        "from stream_router.process import arm_failpoints, failpoint; import atexit; atexit.register(print, 'ended');"
        "arm_failpoints('in_shard_end=kill@2; audit_record_written=stall:1s');"
        "[failpoint('in_shard_end') for _ in range(3)]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (done.stdout, done.stderr) == (b"", b"failpoint in_shard_end, time 2\n")


@pytest.mark.parametrize(
    "text", ["x", "nowhere=kill", "in_shard_end=die", "in_shard_end=stall:2", "in_shard_end=kill@0"]
)
def test_a_rule_that_is_none_is_refused(text: str) -> None:
    """One line that names the variable and the cure."""
    with pytest.raises(
        SettingsError, match=r"^STREAM_ROUTER_FAILPOINTS: has a rule that is none; .* docs/failpoints.md"
    ):
        arm_failpoints(text)


def test_armed_is_said_at_start(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Read with the settings, of which it is none; then a warning with the places. Nothing while it is not set."""
    given(monkeypatch, RECEIVER)
    load(Receiver)
    warn_of_names()
    assert not caplog.records
    given(monkeypatch, {**RECEIVER, FAILPOINTS_VARIABLE: "in_shard_end=kill;event=segfault:x"})
    load(Receiver)
    assert deadly_text() == b"x"
    warn_of_names()
    assert "failpoints are armed" in caplog.text
    assert caplog.text.rstrip().endswith("in_shard_end, event")
