"""Each kept hostile input through a real receiver and a real child: its answer, its fate, the good event behind it."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Child, envelope, prove
from tests.fakeaws.process import FakeAwsProcess
from tests.hostile.corpus import CORPUS, Row
from tests.receiver_kit import ReceiverProcess, raw, receiver

SETTLED_WITHIN_S = 60.0
CONFIG = """
[[cxone.sources]]
name = "xml"
type = "webhook"
url = "http://127.0.0.1/v1/events/xml"
scheme = "none"
xml = true
"""
POLICY = 'base = "default"\nsearch = ["payload.notes[].text"]\nregions = ["DE"]\n'


class World:
    """A receiver and a child around one fake AWS; what the stream took is handed to the child."""

    def __init__(self, fake_aws: FakeAwsProcess, running: ReceiverProcess, child: Child) -> None:
        self.fake_aws, self.receiver, self.child = fake_aws, running, child
        self._seen = 0
        self._good = 10**6

    def new_lines(self) -> list[dict[str, Any]]:
        """The ledger since the last time."""
        lines = self.fake_aws.lines_from(self._seen)
        self._seen += len(lines)
        return lines

    def post(self, row: Row) -> tuple[int, str]:
        """Post the row on a connection of its own: status, and the code of a refusal."""
        head = f"POST {row.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {row.content_type}\r\n"
        answer = raw(self.receiver.address, f"{head}Content-Length: {len(row.data)}\r\n\r\n".encode() + row.data, 10.0)
        first, _, rest = answer.partition(b"\r\n\r\n")
        body = json.loads(rest) if rest.startswith(b"{") else {}
        return int(first.split(b" ", 2)[1]), body.get("error", "")

    def settle(self, records: list[bytes]) -> tuple[Counter[str], str]:
        """Hand records over, and a good event behind them: what became of theirs, and all that left on the bus."""
        self._good += 1
        self.child.process_batch([*records, envelope(self._good)], SETTLED_WITHIN_S)
        self.child.settle(SETTLED_WITHIN_S)
        fates, left, good = Counter[str](), "", 0
        for line in self.new_lines():
            if line["verdict"] != "accepted":
                continue
            if line["operation"] == "PutEvents":
                is_good = line["eventId"] == f"{self._good:032x}"
                good += is_good
                fates["delivered"] += not is_good
                left += "" if is_good else line["payload"]
            elif line["operation"] == "SendMessageBatch":
                part = json.loads(line["payload"])["part"]
                fates[line["note"]] += part is None or part["n"] == 1
        assert good == 1, "the good event behind it did not leave once"
        return +fates, left


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("corpus")
    config, policy, state = folder / "config.toml", folder / "policy.toml", folder / "state"
    config.write_text(CONFIG)
    policy.write_text(POLICY)
    state.mkdir()
    prove(state)
    settings = {"STREAM_ROUTER_CONFIG": str(config), "STREAM_ROUTER_MASKING": str(policy)}
    with (
        FakeAwsProcess(folder / "ledger", None, 0, "--payloads") as fake_aws,
        receiver(fake_aws.url, folder, CONFIG=str(config)) as running,
        Child(fake_aws.url, state, **settings) as child,
    ):
        child.initialize()
        yield World(fake_aws, running, child)
        child.say("shutdownRequested")
        assert child.hang_up() == 0
        assert running.stop() == 0
        assert_quiet(folder / "receiver.log")
        assert_quiet(state / "stderr")


def assert_quiet(log: Path) -> None:
    """Nothing met a defect of ours, and nothing held."""
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.startswith("{")]
    assert not [line for line in lines if "exception" in line or line.get("event") == "shard-holds"]


def test_each_row_has_a_name_of_its_own() -> None:
    """A row is found by it."""
    assert len({row.name for row in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("row", CORPUS, ids=[row.name for row in CORPUS])
def test_a_hostile_input_is_answered_and_ends_as_its_row_says(world: World, row: Row) -> None:
    """Through the receiver's socket and the child's pipe; the good event behind it leaves."""
    world.new_lines()
    records = [row.data]
    if row.answer is not None:
        assert world.post(row) == row.answer
        stored = [line for line in world.new_lines() if line["operation"] == "PutRecords"]
        records = [line["payload"].encode() for line in stored if line["verdict"] == "accepted"]
        assert bool(records) is (row.answer[0] == 202)
    before = time.monotonic()
    fates, left = world.settle(records)
    assert time.monotonic() - before < SETTLED_WITHIN_S
    assert fates == row.fates
    assert not row.hides or row.hides.decode() not in left
