"""The table of states: one verdict of all troubles, its log line, its place beside those of other programs."""

import logging
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from stream_router.receiver.events import NOT_STORED, TO_SPILL, TO_STREAM
from stream_router.receiver.states import SPEED_S, StreamSpeed
from stream_router.receiver.stats import Stats
from stream_router.telemetry.disks import Disks
from stream_router.telemetry.silence import SILENT_AFTER_S, Answers, join_service_names
from stream_router.telemetry.verdict import (
    TABLE,
    Code,
    Condition,
    Level,
    VerdictLog,
    judge,
    level_of,
    no_answer,
    rank_of,
    sentence,
)
from tests.ports import free_port

PAGES = Path(__file__).parents[2] / "docs" / "runbooks"


def test_the_table_has_each_code_once_in_the_order_of_the_codes() -> None:
    """Each row says what it means for events and what to do, and names a page that is there."""
    assert list(TABLE) == list(Code)
    assert len({row.words for row in TABLE.values()}) == len(TABLE)
    for row in TABLE.values():
        assert row.meaning.endswith(".")
        assert row.cure.endswith((".", "`--url`."))
        assert not row.runbook or (PAGES / f"{row.runbook}.md").exists()
    assert [code for code, row in TABLE.items() if row.level is Level.GOOD] == [Code.WELL]


def test_the_trouble_that_stands_first_counts_and_keeps_its_beginning() -> None:
    """Whatever the order in which troubles are seen. A beginning that is known is earlier than when it was seen."""
    silent, holds = Condition(Code.AWS_SILENT, "DynamoDB", 95.0), Condition(Code.HOLDING, "bytes")
    for conditions in ([silent, holds], [holds, silent]):
        assert judge(conditions, 100.0).code is Code.AWS_SILENT
    first = judge([holds], 100.0)
    assert (first.since_s, first.reason, first.cure) == (100.0, "bytes", TABLE[Code.HOLDING].cure)
    later = judge([Condition(Code.HOLDING, "calls", 103.0, "Own meaning.", "Own cure.")], 105.0, first)
    assert (later.since_s, later.reason, later.meaning, later.cure) == (100.0, "calls", "Own meaning.", "Own cure.")
    assert judge([silent], 100.0, first).since_s == 95.0
    assert judge([], 110.0, later)[:3] == (Code.WELL, 110.0, "")


def test_each_change_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Another reason of the same state is none. A warning says what it means and what to do."""
    caplog.set_level(logging.INFO)
    log, well = VerdictLog(), judge([], 100.0)
    holds = judge([Condition(Code.HOLDING, "bytes")], 130.0)
    for verdict in (well, well, holds, holds._replace(reason="calls"), well):
        log.note(verdict, 140.0)
    logged = [(record.levelname, *(record.__dict__[name] for name in ("code", "before"))) for record in caplog.records]
    assert logged == [("INFO", "well", None), ("WARNING", "holding", "well"), ("INFO", "well", "holding")]
    row = TABLE[Code.HOLDING]
    assert caplog.records[1].getMessage() == f"{row.words}: bytes. {row.meaning} {row.cure}"
    assert [record.__dict__["before_s"] for record in caplog.records] == [None, 40.0, 10.0]


def test_verdicts_of_several_programs_are_ranked_by_the_same_table() -> None:
    """A program that does not answer has a verdict too. An unknown code of a later version is as bad as its level."""
    fields = {code: judge([Condition(code)], 0.0).fields() for code in Code}
    gone = no_answer("host:9465", "does not answer (refused)")
    assert rank_of(gone) == rank_of(fields[Code.NO_ANSWER])
    assert sorted(Code, key=lambda code: rank_of(fields[code])) == list(Code)
    later = {"code": "later", "state": "later", "level": "warn"}
    assert rank_of(fields[Code.STREAM_PARTLY_DOWN]) < rank_of(later) < rank_of(fields[Code.STREAM_SLOW])
    assert (level_of({}), level_of(later), level_of(gone)) == (Level.WARN, Level.WARN, Level.BAD)
    assert sentence(gone, "") == "a program does not answer (no-answer): host:9465 does not answer (refused)"
    assert sentence({**fields[Code.WELL], "reason": None}, "09:28:00 UTC") == "well since 09:28:00 UTC"


def test_a_service_is_silent_once_a_call_has_had_no_answer_for_three_seconds() -> None:
    """Whether the call is open or failed. A refusal is an answer, and any answer ends the silence."""
    now = [100.0]
    answers = Answers(lambda: now[0], lambda: now[0] + 1000)
    answers.record_request("Kinesis")
    now[0] += 1
    answers.record_request("DynamoDB")
    answers.record_request("Kinesis")
    now[0] += SILENT_AFTER_S - 1
    assert [(service.service, service.since_s) for service in answers.silent_services()] == [("Kinesis", 1100.0)]
    now[0] += 1
    assert join_service_names(answers.silent_services()) == "Kinesis and DynamoDB"
    answers.record_answer("Kinesis")
    assert join_service_names(answers.silent_services()) == "DynamoDB"
    answers.record_answer("DynamoDB")
    assert answers.silent_services() == []


def test_the_calls_of_a_client_are_followed() -> None:
    """Nobody listens at the endpoint: no answer."""
    now = [0.0]
    answers = Answers(lambda: now[0])
    config = Config(connect_timeout=1, retries={"total_max_attempts": 1})
    session = boto3.Session("test", "test", region_name="us-east-1")
    client: Any = session.client("dynamodb", endpoint_url=f"http://127.0.0.1:{free_port()}", config=config)
    answers.follow(client, "DynamoDB")
    with pytest.raises(BotoCoreError):
        client.list_tables()
    now[0] += SILENT_AFTER_S
    assert join_service_names(answers.silent_services()) == "DynamoDB"


def test_the_stream_is_slow_once_a_quarter_of_the_requests_are_not_stored_in_time() -> None:
    """Within ten seconds, and until fewer than a tenth are. One late call is none, and a stream that is down is not."""
    stats, speed, now_s = Stats(), StreamSpeed(), 0.0

    def second(in_time: int, spilled: int, refused: int = 0, *, is_down: bool = False) -> bool:
        nonlocal now_s
        now_s += 1
        stats.answers["", 202, TO_STREAM] += in_time
        stats.answers["", 202, TO_SPILL] += spilled
        stats.answers["", 503, NOT_STORED] += refused
        speed.observe(now_s, stats, is_down=is_down)
        return speed.is_slow

    assert not any(second(0, 0) for _ in range(20))
    assert not any(second(10, 0) for _ in range(20))
    assert not second(0, 1)
    assert not any(second(8, 2) for _ in range(20))
    slow = [second(7, 3) for _ in range(12)]
    assert slow.index(True) < SPEED_S
    assert all(slow[slow.index(True) :])
    assert [second(10, 0) for _ in range(12)][-1] is False
    assert not any(second(0, 9, is_down=True) for _ in range(20))
    assert any(second(0, 0, 9) for _ in range(5)), "without a spill"
    assert [second(0, 0) for _ in range(12)][-1] is False


def test_a_disk_that_is_full_is_named_with_its_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is missing is judged by its parent, and one that cannot be looked at is no trouble."""
    disks = Disks({"STREAM_ROUTER_STATE_DIR": tmp_path / "later"})
    disks.check()
    assert disks.condition == ""
    monkeypatch.setattr("stream_router.telemetry.disks.FULL_BYTES", 2**62)
    disks.check()
    assert disks.condition.startswith(f"the disk of {tmp_path / 'later'} is full (")
    assert disks.condition.endswith("MiB free) (STREAM_ROUTER_STATE_DIR)")
