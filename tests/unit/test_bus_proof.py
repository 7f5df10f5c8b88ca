"""The bus's proof: when it is written, what is refused at start, what is only held."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from stream_router.aws import endpoints
from stream_router.consumer.bus_proof import STALE_S
from stream_router.consumer.state_dir import BUS_PROOF, BUS_UNASKED, FATAL, StateDir
from stream_router.consumer.supervisor.watches.bus_prober import (
    HURRY_FOR_S,
    OFTENEST_S,
    RAREST_S,
    BusProver,
    Proof,
    ask_every_s,
    describer,
)
from stream_router.errors import SettingsError
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load


class World:
    """A bus that answers as told, on a clock that the question itself moves on."""

    def __init__(self, state: StateDir) -> None:
        self.now = 100.0
        self.trouble: Exception | None = None
        self.reports: list[Proof] = []
        self.prover = BusProver(state, "default", self.describe, self.reports.append, lambda: self.now)

    def describe(self) -> float:
        self.now += 2.0
        if self.trouble:
            raise self.trouble
        return 0.0


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDir]:
    with StateDir(tmp_path) as held:
        yield held


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "x"}}, "DescribeEventBus")


def test_the_proof_is_the_moment_before_the_question(state: StateDir) -> None:
    """A bus deleted while the answer travels must not cover what was accepted meanwhile."""
    world = World(state)
    world.prover.prove_once()
    world.prover.prove_once()
    assert state.read(BUS_PROOF).split() == ["102.0", "0.0"]
    assert world.reports == [Proof.FIRST]


def test_while_children_stop_the_bus_is_asked_every_second(state: StateDir) -> None:
    """Each would ask by itself: hundreds at once are throttled, and what they sent last would come again."""
    world = World(state)
    world.prover.prove_once()
    assert world.prover.rest_s(1) == RAREST_S
    world.prover.hasten()
    assert world.prover._wake.is_set(), "and at once"
    assert world.prover.rest_s(2) == OFTENEST_S
    world.now += HURRY_FOR_S
    assert world.prover.rest_s(3) == RAREST_S


def test_a_bus_that_is_gone_later_on_leaves_the_old_proof_and_is_logged_once_a_minute(
    state: StateDir, caplog: pytest.LogCaptureFixture
) -> None:
    """It is waited for, however long: no exit, no new proof, one line a minute."""
    world = World(state)
    world.prover.prove_once()
    world.trouble = error("ResourceNotFoundException")
    for _ in range(31):
        world.prover.prove_once()
    assert state.read(BUS_PROOF).split() == ["100.0", "0.0"]
    assert world.prover.refusal == ""
    assert caplog.text.count("the event bus does not exist; it is waited for") == 2
    assert state.read(BUS_UNASKED) == ""


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalException", "AccessDeniedException"])
def test_a_bus_that_cannot_be_asked_later_on_is_told_since_when(
    state: StateDir, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    """The children go on while it accepts: they learn since when it is silent, until it answers; a line a minute."""
    world = World(state)
    world.prover.prove_once()
    world.trouble = error(code)
    for _ in range(31):
        world.prover.prove_once()
    assert state.read(BUS_PROOF).split() == ["100.0", "0.0"]
    assert state.read(BUS_UNASKED) == "102.0\n"
    assert caplog.text.count(f"cannot be asked whether it exists: {code}; events go on") == 2
    assert not world.prover.gone
    world.trouble = None
    world.prover.prove_once()
    assert state.read(BUS_UNASKED) == ""
    assert state.read(BUS_PROOF).split() == ["164.0", "0.0"]
    assert caplog.records[-1].getMessage() == "the event bus answers again"
    assert vars(caplog.records[-1])["afterS"] == 62.0


def test_a_full_state_folder_is_no_fault_of_the_bus(
    state: StateDir, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room for the proof the log names the folder; the bus is well, and proven as soon as there is room."""

    def full(*_: object) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    world = World(state)
    with monkeypatch.context() as patched:
        patched.setattr(state, "write", full)
        for _ in range(5):
            world.prover.prove_once()
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "the state folder cannot be written: No space left on device"
    ]
    assert world.reports == []
    world.prover.prove_once()
    assert world.reports == [Proof.FIRST]


def test_a_trusted_bus_is_not_asked_and_always_proven(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another account's bus may not be described: each proof is fresh, and no call is made for it."""
    environment = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    nowhere = {"SQS_DLQ_URL": "http://127.0.0.1/q", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    for name, value in {**environment, **nowhere, "STREAM_ROUTER_BUS_PROOF": "trust"}.items():
        monkeypatch.setenv(name, value)
    clock = iter([5.0, 10.0])
    prover = BusProver(state, "b", describer(load(Consumer)), lambda _: None, lambda: next(clock))
    prover.prove_once()
    prover.prove_once()
    assert state.read(BUS_PROOF) == "10.0 0.0\n"


@pytest.mark.parametrize(("bus", "made_s"), [("default", 0.0), ("router", 1_764_000_000.0)])
def test_the_default_buss_time_of_creation_is_not_compared(
    monkeypatch: pytest.MonkeyPatch, bus: str, made_s: float
) -> None:
    """Nobody can delete that bus; EventBridge's documentation promises such a time of the others alone."""
    environment = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    for name, value in {**environment, "SQS_DLQ_URL": "http://127.0.0.1/q", "STREAM_ROUTER_EVENT_BUS": bus}.items():
        monkeypatch.setenv(name, value)
    found = {"Arn": f"arn:aws:events:us-east-1:123456789012:event-bus/{bus}", "CreationTime": 1_764_000_000}
    asked: Any = SimpleNamespace(describe_event_bus=lambda **_: found)
    monkeypatch.setattr(endpoints, "client", lambda *_: asked)
    assert describer(load(Consumer))() == made_s


@pytest.mark.parametrize(("checkpoint_s", "asked_s"), [(0.1, 1), (5, 5), (600, 10)])
def test_the_bus_is_asked_as_often_as_a_checkpoint_wants_it(checkpoint_s: float, asked_s: float) -> None:
    """Not more than once a second, and never so rarely that the children would take the proof for stale."""
    assert ask_every_s(checkpoint_s) == asked_s < STALE_S


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("ResourceNotFoundException", "no such event bus; run `stream-router setup`"),
        ("ValidationException", "is no bus name or ARN"),
    ],
)
def test_a_bus_that_cannot_be_is_refused_at_start(state: StateDir, code: str, says: str) -> None:
    """Before the first proof, what no waiting can mend ends the program with one line."""
    world = World(state)
    world.trouble = error(code)
    world.prover.prove_once()
    assert world.reports == [Proof.REFUSED]
    assert world.prover.refusal.startswith("STREAM_ROUTER_EVENT_BUS: ")
    assert says in world.prover.refusal


@pytest.mark.parametrize(
    "trouble",
    [
        error("ThrottlingException"),
        error("ExpiredTokenException"),
        EndpointConnectionError(endpoint_url="http://x"),
        RuntimeError("the refreshed credentials are still expired"),
        ValueError("an answer that cannot be read"),
        NoCredentialsError(),
        error("AccessDeniedException"),
    ],
    ids=["throttled", "expired", "unreachable", "stale", "garbled", "no credentials for a moment", "a new policy"],
)
def test_trouble_that_passes_is_waited_out_at_start(state: StateDir, trouble: Exception) -> None:
    """Throttling, expired credentials, no route, a policy that IAM spreads: begin when the bus answers."""
    world = World(state)
    world.trouble = trouble
    world.prover.prove_once()
    assert world.reports == []
    world.trouble = None
    world.prover.prove_once()
    assert world.reports == [Proof.FIRST]


def test_a_bus_that_may_not_be_asked_is_refused_after_half_a_minute(state: StateDir) -> None:
    """A policy granted a moment ago takes seconds to hold everywhere; one that is missing ends the start."""
    world = World(state)
    world.trouble = error("AccessDeniedException")
    world.prover.prove_once()
    world.now += 25
    world.prover.prove_once()
    assert world.reports == []
    world.now += 5
    world.prover.prove_once()
    assert world.reports == [Proof.REFUSED]
    assert "allow events:DescribeEventBus" in world.prover.refusal


def test_proofs_and_verdicts_of_an_earlier_life_are_forgotten(tmp_path: Path) -> None:
    """After a reboot the monotonic clock begins anew: an old proof would lie in the future."""
    (tmp_path / BUS_PROOF).write_text("999999.0\n")
    (tmp_path / FATAL).write_text("old\n")
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "shardId-0.1.json").write_text("{}")
    with StateDir(tmp_path) as state:
        assert not (tmp_path / "metrics").exists()
        assert state.read(BUS_PROOF) == ""
        assert state.read(FATAL) == ""


def test_the_worker_keeps_its_name_where_the_folder_stays(tmp_path: Path) -> None:
    """A restarted worker takes its own leases up again at once; another folder is another worker."""
    names = []
    for folder in (tmp_path / "one", tmp_path / "one", tmp_path / "two"):
        with StateDir(folder) as state:
            names.append(state.worker_id())
    assert names[0] == names[1] != names[2]


def test_a_folder_copied_to_another_host_makes_another_worker(tmp_path: Path) -> None:
    """Two workers of one name would both read one shard."""
    (tmp_path / "worker-id").write_text("another-host-0123456789abcdef")
    with StateDir(tmp_path) as state:
        assert not state.worker_id().startswith("another-host-")
        assert state.worker_id() == state.worker_id()


def test_the_platforms_name_of_the_worker_wins(tmp_path: Path) -> None:
    """A name that is given is used as it is, and leaves the folder's own as it was."""
    with StateDir(tmp_path) as state:
        own = state.worker_id()
        assert state.worker_id("pod-7") == "pod-7"
        assert state.worker_id() == own


def test_two_supervisors_cannot_share_a_folder(tmp_path: Path) -> None:
    """They would be one worker twice; the second is told so in one line."""
    with StateDir(tmp_path), pytest.raises(SettingsError, match="STREAM_ROUTER_STATE_DIR: another `consume`"):
        StateDir(tmp_path)
    StateDir(tmp_path).close()


def test_without_a_folder_of_its_own_nothing_is_left_behind() -> None:
    """The temporary folder goes with the process that made it."""
    with StateDir(None) as state:
        path = state.path
        state.write("x", "y")
        assert path.is_dir()
    assert not path.exists()
