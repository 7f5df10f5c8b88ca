"""The audit log: a record a batch, a chain that any edit breaks, a file that survives a crash."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from stream_router.operate import audit as audit_verify
from stream_router.telemetry.audit import audit_chain
from stream_router.telemetry.audit.batch_audit_record import record

NOW_S = 1767225600.5
KEYS = pytest.mark.parametrize("key", [None, b"a key"], ids=["sha256", "hmac"])


def write(path: Path, batches: int, key: bytes | None = None) -> None:
    log = audit_chain.AuditLog(path, key)
    for number in range(batches):
        assert log.append(record(number, {"delivered": number}, [], NOW_S + number))
    log.close()


@KEYS
def test_a_record_is_what_the_contract_says(tmp_path: Path, key: bytes | None) -> None:
    """Every field of docs/contract.md, "Audit record"; `verified` only without a reason against it."""
    log = audit_chain.AuditLog(tmp_path / "a" / "shard.jsonl", key)
    log.append(record(7, {"delivered": 7}, [], NOW_S))
    log.append(record(8, {"delivered": 6}, ["events_unaccounted"], NOW_S))
    log.close()
    first, second = (orjson.loads(line) for line in (tmp_path / "a" / "shard.jsonl").read_bytes().splitlines())
    assert first["auditTimestamp"] == "2026-01-01T00:00:00.500Z"
    assert first["pipelineId"] == "cxone-event-router-v1"
    assert first["eventsProcessed"] == 7
    assert first["metrics"] == {"delivered": 7}
    assert first["complianceStatus"] == "verified"
    assert "complianceReasons" not in first
    assert first["dataRetentionPolicy"] == "90days"
    assert second["complianceStatus"] == "unverified"
    assert second["complianceReasons"] == ["events_unaccounted"]


@KEYS
def test_the_chain_goes_on_over_a_restart(tmp_path: Path, key: bytes | None) -> None:
    """Lines of several lives of the process are one chain."""
    path = tmp_path / "shard.jsonl"
    for _ in range(3):
        write(path, 2, key)
    assert audit_chain.verify(path, key) == audit_chain.Result(6, "")


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
    assert audit_chain.verify(path, key).problem


@KEYS
@pytest.mark.parametrize("edit", ["first", "middle", "swapped", "doubled", "forged"])
def test_a_line_taken_out_moved_or_added_shows(tmp_path: Path, key: bytes | None, edit: str) -> None:
    """Deleting, reordering, repeating and inserting lines all break the chain."""
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
    path.write_bytes(b"".join(edited))
    assert audit_chain.verify(path, key).problem


def test_without_the_key_no_line_can_be_written_that_holds(tmp_path: Path) -> None:
    """A forger who recomputes every digest with plain SHA-256, or another key, is found out."""
    path = tmp_path / "shard.jsonl"
    write(path, 3, b"the forger's")
    assert audit_chain.verify(path, b"the real one").problem.startswith("line 1 was changed")
    write(tmp_path / "plain.jsonl", 3, None)
    assert audit_chain.verify(tmp_path / "plain.jsonl", b"the real one").problem


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_torn_last_line_is_cut_off_and_the_chain_goes_on(tmp_path: Path, cut: int) -> None:
    """A crash in the middle of a line: the torn piece is no record; the next line says how much there was of it."""
    path = tmp_path / "shard.jsonl"
    write(path, 3)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    assert "torn" in audit_chain.verify(path, None).problem
    torn = len(content[:-cut].rpartition(b"\n")[2])
    write(path, 1)
    assert audit_chain.verify(path, None) == audit_chain.Result(3, "")
    assert orjson.loads(path.read_bytes().splitlines()[-1])["tornBytesBefore"] == torn


def test_records_wait_while_another_writer_holds_the_file(tmp_path: Path) -> None:
    """Two writers would fork the chain: the second waits, and then writes everything, in order."""
    path = tmp_path / "shard.jsonl"
    first, second = audit_chain.AuditLog(path, None), audit_chain.AuditLog(path, None)
    assert first.append(record(1, {}, [], NOW_S))
    assert not second.append(record(2, {}, [], NOW_S))
    assert not second.append(record(3, {}, [], NOW_S))
    first.close()
    assert second.append(record(4, {}, [], NOW_S))
    second.close()
    assert audit_chain.verify(path, None) == audit_chain.Result(4, "")
    assert [orjson.loads(line)["eventsProcessed"] for line in path.read_bytes().splitlines()] == [1, 2, 3, 4]


@pytest.mark.parametrize("kept", [True, False], ids=["moved", "removed"])
def test_a_file_that_was_taken_away_is_begun_anew(tmp_path: Path, *, kept: bool) -> None:
    """Who archives it, or removes what is old enough, need not stop the shard: no record goes where nobody looks."""
    path, archive = tmp_path / "shard.jsonl", tmp_path / "archive.jsonl"
    log = audit_chain.AuditLog(path, None)
    assert log.append(record(1, {}, [], NOW_S))
    if kept:
        path.rename(archive)
    else:
        path.unlink()
    for number in (2, 3):
        assert log.append(record(number, {}, [], NOW_S))
    assert log.close() == (0, 0)
    assert [orjson.loads(line)["eventsProcessed"] for line in path.read_bytes().splitlines()] == [2, 3]
    assert audit_chain.verify(path, None) == audit_chain.Result(2, "")
    assert not kept or audit_chain.verify(archive, None) == audit_chain.Result(1, "")


def test_a_file_that_was_emptied_begins_a_chain_of_its_own(tmp_path: Path) -> None:
    """logrotate's `copytruncate`: both halves verify. A file that was cut shorter shows, as does any line taken out."""
    path, archive = tmp_path / "shard.jsonl", tmp_path / "archive.jsonl"
    log = audit_chain.AuditLog(path, None)
    for number in (1, 2):
        assert log.append(record(number, {}, [], NOW_S))
    archive.write_bytes(path.read_bytes())
    os.truncate(path, 0)
    for number in (3, 4):
        assert log.append(record(number, {}, [], NOW_S))
    assert audit_chain.verify(archive, None) == audit_chain.Result(2, "")
    assert audit_chain.verify(path, None) == audit_chain.Result(2, "")
    os.truncate(path, path.read_bytes().index(b"\n") + 1)
    assert log.append(record(5, {}, [], NOW_S))
    log.close()
    assert audit_chain.verify(path, None).problem.startswith("line 2 does not follow")


def test_a_line_that_a_sick_disk_keeps_torn_is_cut_off_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it is written and cannot be taken back: the next record must not be written behind that half."""
    path = tmp_path / "shard.jsonl"
    log = audit_chain.AuditLog(path, None)
    assert log.append(record(1, {}, [], NOW_S))
    whole = os.write
    with monkeypatch.context() as sick:
        sick.setattr(os, "write", lambda fd, data: whole(fd, data[:20]))
        sick.setattr(os, "ftruncate", refused(errno.EIO))
        assert not log.append(record(2, {}, [], NOW_S))
    assert log.append(record(3, {}, [], NOW_S))
    log.close()
    assert audit_chain.verify(path, None) == audit_chain.Result(3, "")
    assert [orjson.loads(line).get("tornBytesBefore") for line in path.read_bytes().splitlines()] == [None, 20, None]


def test_a_handle_that_went_bad_is_given_up_for_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network disk may forget an open file: with that handle no record would be written until the child ends.

    Nor does such a disk close it well; its number may be another file's by then, which is left alone.
    """
    path = tmp_path / "shard.jsonl"
    log = audit_chain.AuditLog(path, None)
    assert log.append(record(1, {}, [], NOW_S))
    stale, status, close = log._fd, os.fstat, os.close
    another = (tmp_path / "another").open("w")

    def closed_badly(fd: int) -> None:
        close(fd)
        os.dup2(another.fileno(), fd)
        refused(errno.EDQUOT)()

    monkeypatch.setattr(os, "fstat", lambda fd: refused(errno.ESTALE)() if fd == stale else status(fd))
    with monkeypatch.context() as sick, another:
        sick.setattr(os, "close", closed_badly)
        assert not log.append(record(2, {}, [], NOW_S))
    assert log.append(record(3, {}, [], NOW_S))
    assert log.close() == (0, 0)
    close(stale)
    assert audit_chain.verify(path, None) == audit_chain.Result(3, "")


def refused(code: int) -> Callable[..., Any]:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


def test_what_had_to_be_given_up_is_told_by_the_chain(tmp_path: Path) -> None:
    """Auditing that fails delays its records, up to a bound. The next line that is written says how many are missing.

    And whoever appends one that is given up is not told that it was written.
    """
    (tmp_path / "a").write_text("no folder")
    path = tmp_path / "a" / "shard.jsonl"
    log = audit_chain.AuditLog(path, None)
    for _ in range(audit_chain.WAITING_MAX + 2):
        assert not log.append(record(1, {}, [], NOW_S))
    (tmp_path / "a").unlink()
    assert log.append(record(3, {}, [], NOW_S))
    log.close()
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert len(lines) == audit_chain.WAITING_MAX + 1
    assert (lines[-1]["eventsProcessed"], lines[-1]["lostBefore"]) == (3, 2)
    assert not any("lostBefore" in line for line in lines[:-1])
    assert audit_chain.verify(path, None) == audit_chain.Result(len(lines), "")


def test_a_very_long_line_is_still_found_as_the_last(tmp_path: Path) -> None:
    """Resuming reads back to the line's beginning, wherever that is."""
    path = tmp_path / "shard.jsonl"
    log = audit_chain.AuditLog(path, None)
    log.append(record(1, {"masked": {str(number): number for number in range(30_000)}}, [], NOW_S))
    log.close()
    write(path, 1)
    assert audit_chain.verify(path, None) == audit_chain.Result(2, "")


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


def test_one_bad_file_of_several_is_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one file a shard: all are looked at, whichever is wrong."""
    monkeypatch.delenv("STREAM_ROUTER_AUDIT_KEY", raising=False)
    good, bad = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    write(good, 3, None)
    write(bad, 3, None)
    bad.write_text(bad.read_text().replace("verified", "verifieD", 1))
    assert audit_verify.run(bad, good) == 1
    said = capsys.readouterr()
    assert f"{good}: all 3 lines hold" in said.out
    assert said.err.startswith(f"{bad}: ")
