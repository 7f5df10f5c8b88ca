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

from stream_router.log import start_logging
from stream_router.model import Batch
from stream_router.operate import audit as audit_verify
from stream_router.telemetry import audit

NOW_S = 1767225600.5
SHARD = "shardId-000000000003"
RETENTION = "stream 168h, dead letters 336h"
KEYS = pytest.mark.parametrize("key", [None, b"a key"], ids=["sha256", "hmac"])


def write(path: Path, batches: int, key: bytes | None = None) -> None:
    log = audit.AuditLog(path, key)
    for number in range(batches):
        assert log.append(record(number))
    log.close()


def record(events: int, masking: str = "default 1", **batch: Any) -> dict[str, Any]:
    """Of a batch whose events were all delivered, but for what is said of it."""
    made = Batch(1)
    made.events = made.delivered = events
    for name, value in batch.items():
        setattr(made, name, value)
    return audit.of_batch(made, SHARD, masking, RETENTION, NOW_S)


def test_a_record_is_what_the_contract_says() -> None:
    """Every field of docs/contract.md, "Audit record"."""
    assert record(7, records=3, masked=Counter({"redact": 9})) == {
        "auditTimestamp": "2026-01-01T00:00:00.500Z",
        "pipelineId": "cxone-event-router-v1",
        "shardId": SHARD,
        "eventsProcessed": 7,
        "metrics": {
            "batch": 1,
            "deadLetters": {},
            "masking": "default 1",
            "delivered": 7,
            "dead_lettered": 0,
            "dropped": 0,
            "retried": 0,
            "records": 3,
            "masked": {"redact": 9},
        },
        "complianceStatus": "verified",
        "dataRetentionPolicy": RETENTION,
    }


@pytest.mark.parametrize(
    ("made", "reasons"),
    [
        (record(7, delivered=6), ["events_unaccounted"]),
        (record(7, masking="off"), ["masking_off"]),
        (record(7, masking="off", delivered=0, dropped=7), None),
        (record(7, delivered=6, dead_letters=Counter(masking_failed=1)), ["masking_failed"]),
        (record(7, delivered=5, dropped=1, probes=1), None),
    ],
)
def test_verified_is_what_is_accounted_for_and_was_masked(made: dict[str, Any], reasons: list[str] | None) -> None:
    """Every event of the batch has an end, and a masking policy ran on each that was published."""
    assert made.get("complianceReasons") == reasons
    assert made["complianceStatus"] == ("unverified" if reasons else "verified")


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
@pytest.mark.parametrize("edit", ["first", "middle", "swapped", "doubled", "forged"])
def test_a_line_taken_out_moved_or_added_shows(tmp_path: Path, key: bytes | None, edit: str) -> None:
    """Deleting, reordering, repeating and inserting lines all break the chain; without the key none can be written."""
    path = tmp_path / "shard.jsonl"
    write(path, 5, key)
    lines = path.read_bytes().splitlines(keepends=True)
    write(tmp_path / "other.jsonl", 1, key)
    edited = {
        "first": lines[1:],
        "middle": [*lines[:2], *lines[3:]],
        "swapped": [lines[0], lines[2], lines[1], *lines[3:]],
        "doubled": [*lines, lines[-1]],
        "forged": [*lines[:2], (tmp_path / "other.jsonl").read_bytes(), *lines[2:]],
    }[edit]
    assert audit.verify(path, b"another").problem.startswith("line 1 was changed")
    path.write_bytes(b"".join(edited))
    assert audit.verify(path, key).problem


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_torn_last_line_is_cut_off_and_the_chain_goes_on(tmp_path: Path, cut: int) -> None:
    """A crash in the middle of a line: the torn piece is no record; the next line says how much there was of it."""
    path = tmp_path / "shard.jsonl"
    write(path, 3)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    assert "torn" in audit.verify(path, None).problem
    torn = len(content[:-cut].rpartition(b"\n")[2])
    write(path, 1)
    assert audit.verify(path, None) == audit.Result(3, "")
    assert orjson.loads(path.read_bytes().splitlines()[-1])["tornBytesBefore"] == torn


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
    assert [orjson.loads(line)["eventsProcessed"] for line in path.read_bytes().splitlines()] == [1, 2, 3, 4]


@pytest.mark.parametrize("how", ["moved", "removed", "emptied"])
def test_a_file_that_was_taken_away_is_begun_anew(tmp_path: Path, how: str) -> None:
    """Who archives it, removes it, or copies and truncates it, need not stop the shard: each part verifies alone."""
    path, archive = tmp_path / "shard.jsonl", tmp_path / "archive.jsonl"
    log = audit.AuditLog(path, None)
    assert log.append(record(1))
    archive.write_bytes(path.read_bytes())
    if how == "moved":
        path.replace(archive)
    elif how == "removed":
        path.unlink()
    else:
        os.truncate(path, 0)
    assert log.append(record(2))
    assert log.append(record(3))
    assert log.close() == 0
    assert [orjson.loads(line)["eventsProcessed"] for line in path.read_bytes().splitlines()] == [2, 3]
    assert (audit.verify(path, None), audit.verify(archive, None)) == (audit.Result(2, ""), audit.Result(1, ""))


def test_what_had_to_be_given_up_is_told_by_the_chain(tmp_path: Path) -> None:
    """Auditing that fails delays its records, up to a bound; the next line says how many are missing."""
    (tmp_path / "a").write_text("no folder")
    path = tmp_path / "a" / "shard.jsonl"
    log = audit.AuditLog(path, None)
    for _ in range(audit.WAITING_MAX + 2):
        assert not log.append(record(1))
    (tmp_path / "a").unlink()
    assert log.append(record(3))
    log.close()
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert len(lines) == audit.WAITING_MAX + 1
    assert (lines[-1]["eventsProcessed"], lines[-1]["lostBefore"]) == (3, 2)
    assert not any("lostBefore" in line for line in lines[:-1])
    assert audit.verify(path, None) == audit.Result(len(lines), "")


def test_the_command_says_which_line_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 and a line on stdout where all is well; 1 and the number of the wrong line on stderr where not."""
    monkeypatch.setenv("STREAM_ROUTER_AUDIT_KEY", "a key")
    path = tmp_path / "shard.jsonl"
    write(path, 3, b"a key")
    assert audit_verify.run(path) == 0
    assert "all 3 lines hold (HMAC)" in capsys.readouterr().out
    path.write_bytes(path.read_bytes().replace(b'"eventsProcessed":1', b'"eventsProcessed":9'))
    assert audit_verify.run(path) == 1
    assert "line 2 was changed" in capsys.readouterr().err
    assert audit_verify.run(tmp_path / "none") == 1


@KEYS
def test_on_standard_error_each_process_begins_a_chain(
    tmp_path: Path, key: bytes | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """`-`: the lines of all shards are verified together; one that was taken out of the middle shows."""
    start_logging("INFO")
    for _ in range(2):
        log = audit.AuditLog(None, key)
        assert all(log.append(record(number)) for number in range(3))
    lines = capfd.readouterr().err.splitlines(keepends=True)
    path = tmp_path / "shipped.jsonl"
    path.write_text("".join(lines))
    assert audit.verify(path, key) == audit.Result(6, "")
    path.write_text("".join([lines[0], *lines[2:]]))
    assert audit.verify(path, key).problem.startswith("line 2 does not follow")
