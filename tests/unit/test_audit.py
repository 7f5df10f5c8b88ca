"""The audit log: a record a batch, a chain that any edit breaks, a file that survives a crash."""

import fcntl
import os
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from typer.testing import CliRunner

from stream_router.cli import app
from stream_router.log import start_logging
from stream_router.model import Batch
from stream_router.telemetry import audit

KEYS = pytest.mark.parametrize("key", [None, b"a key"], ids=["sha256", "hmac"])


def write(path: Path | None, batches: int, key: bytes | None = None) -> None:
    log = audit.AuditLog(path, key)
    assert all(log.append(record(number)) for number in range(batches))
    assert log.close() == 0


def record(events: int, masking: str = "default 1", **batch: Any) -> dict[str, Any]:
    """Of a batch whose events were all delivered, but for what is said of it."""
    result = Batch(1)
    result.events = result.delivered = events
    for name, value in batch.items():
        setattr(result, name, value)
    return audit.build_record(result, "shardId-000000000003", masking, "unknown", 1767225600.5)


def read_values(path: Path, name: str = "eventsProcessed") -> list[Any]:
    return [orjson.loads(line).get(name) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize(
    ("created", "reasons"),
    [
        (record(7, delivered=6), ["events_unaccounted"]),
        (record(7, masking="off"), ["masking_off"]),
        (record(7, masking="off", delivered=0, dropped=7), None),
        (record(7, delivered=6, dead_letters=Counter(masking_failed=1)), ["masking_failed"]),
        (record(7, delivered=5, dropped=1, probes=1), None),
    ],
)
def test_verified_is_what_is_accounted_for_and_was_masked(created: dict[str, Any], reasons: list[str] | None) -> None:
    """Every event of the batch has an end, and a masking policy ran on each that was published."""
    assert created.get("complianceReasons") == reasons
    assert created["complianceStatus"] == ("unverified" if reasons else "verified")


@given(data=st.data(), key=st.sampled_from([None, b"k"]))
@examples(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_changed_byte_shows(tmp_path: Path, data: st.DataObject, key: bytes | None) -> None:
    """Whichever byte of whichever line is changed, the last line's included, the file does not verify."""
    path = tmp_path / f"{os.urandom(8).hex()}.jsonl"
    write(path, 4, key)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert audit.verify(path, key).problem


@KEYS
def test_a_line_taken_out_moved_or_added_shows(tmp_path: Path, key: bytes | None) -> None:
    """Deleting, reordering, repeating and inserting lines all break the chain; without the key none can be written."""
    path, other = tmp_path / "shard.jsonl", tmp_path / "other.jsonl"
    write(path, 5, key)
    write(other, 1, key)
    assert audit.verify(path, b"another").problem.startswith("line 1 was changed")
    item, two, three, *rest = path.read_bytes().splitlines(keepends=True)
    forged = other.read_bytes()
    for edited in (
        [two, three, *rest],
        [item, two, *rest],
        [item, three, two, *rest],
        [item, two, three, *rest, rest[-1]],
        [item, two, forged, three, *rest],
    ):
        path.write_bytes(b"".join(edited))
        assert audit.verify(path, key).problem


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_torn_last_line_is_cut_off_and_the_chain_goes_on(tmp_path: Path, cut: int) -> None:
    """A crash in the middle of a line: the torn piece is not a record; the next line says how much there was of it."""
    path = tmp_path / "shard.jsonl"
    write(path, 3)
    content = path.read_bytes()[:-cut]
    path.write_bytes(content)
    assert "is incomplete" in audit.verify(path, None).problem
    write(path, 1)
    assert audit.verify(path, None) == audit.Result(3, "")
    assert read_values(path, "tornBytesBefore") == [None, None, len(content.rpartition(b"\n")[2])]


def test_records_wait_while_another_writer_holds_the_file(tmp_path: Path) -> None:
    """Two writers do not fork the chain: each goes on from the other's last line, in order."""
    path = tmp_path / "shard.jsonl"
    first, second = audit.AuditLog(path, None), audit.AuditLog(path, None)
    assert first.append(record(1))
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not second.append(record(2))
    assert second.append(record(3))
    assert first.append(record(4))
    assert audit.verify(path, None) == audit.Result(4, "")
    assert read_values(path) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "take", [Path.unlink, lambda path: path.replace(path.with_name("elsewhere")), lambda path: os.truncate(path, 0)]
)
def test_a_file_that_was_taken_away_is_begun_anew(tmp_path: Path, take: Any) -> None:
    """Who archives it, removes it, or copies and truncates it, need not stop the shard: what follows verifies alone."""
    path = tmp_path / "shard.jsonl"
    log = audit.AuditLog(path, None)
    assert log.append(record(1))
    take(path)
    assert log.append(record(2))
    assert log.append(record(3))
    assert read_values(path) == [2, 3]
    assert audit.verify(path, None) == audit.Result(2, "")


def test_what_had_to_be_given_up_is_told_by_the_chain(tmp_path: Path) -> None:
    """Auditing that fails delays its records, up to a bound; the next line says how many are missing."""
    path = tmp_path / "a" / "shard.jsonl"
    path.parent.write_text("no folder")
    log = audit.AuditLog(path, None)
    assert not any(log.append(record(1)) for _ in range(audit.MAX_WAITING_RECORDS + 2))
    assert log.close() == audit.MAX_WAITING_RECORDS + 2
    path.parent.unlink()
    assert log.append(record(3))
    assert read_values(path, "lostBefore") == [None] * audit.MAX_WAITING_RECORDS + [2]
    assert audit.verify(path, None) == audit.Result(audit.MAX_WAITING_RECORDS + 1, "")


def test_the_command_says_which_line_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 and a line on stdout where all is well; 1 and the number of the wrong line on stderr where not."""
    monkeypatch.setenv("STREAM_ROUTER_AUDIT_KEY", "a key of many bytes")
    path = tmp_path / "shard.jsonl"
    write(path, 3, b"a key of many bytes")
    well = CliRunner().invoke(app, ["audit", "verify", str(path)])
    assert (well.exit_code, "all 3 lines hold (HMAC)" in well.stdout) == (0, True)
    path.write_bytes(path.read_bytes().replace(b'"eventsProcessed":1', b'"eventsProcessed":9'))
    ill = CliRunner().invoke(app, ["audit", "verify", str(path)])
    assert (ill.exit_code, "line 2 was changed" in ill.stderr) == (1, True)


@KEYS
def test_on_standard_error_each_process_begins_a_chain(
    tmp_path: Path, key: bytes | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """`-`: the lines of all shards are verified together; one that was taken out of the middle shows."""
    start_logging("INFO")
    for _ in range(2):
        write(None, 3, key)
    lines = capfd.readouterr().err.splitlines(keepends=True)
    path = tmp_path / "shipped.jsonl"
    path.write_text("".join(lines))
    assert audit.verify(path, key) == audit.Result(6, "")
    path.write_text("".join([lines[0], *lines[2:]]))
    assert audit.verify(path, key).problem.startswith("line 2 does not follow")
