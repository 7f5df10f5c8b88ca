"""What the log says of a destination that accepts nothing: once, anew for another cause, once a minute, and its end."""

import logging

import pytest

from stream_router.pipeline.delivery.gate import REMIND_EVERY_S, SAID_AFTER_S, HoldReport

SINCE = 1_000.0


@pytest.fixture
def report(caplog: pytest.LogCaptureFixture) -> HoldReport:
    caplog.set_level(logging.INFO)
    made = HoldReport("the bus default")
    made.failing("AccessDeniedException", "not authorized")
    return made


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [one.getMessage() for one in caplog.records]
    caplog.clear()
    return found


def test_a_hold_is_said_with_its_cause_its_cure_and_how_much_waits(
    report: HoldReport, caplog: pytest.LogCaptureFixture
) -> None:
    """AWS's own words stand in brackets, where they may be said."""
    report.holds(SINCE + SAID_AFTER_S, SINCE, 17)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "the bus default accepts nothing, so its events wait, and nothing is lost: "
        "AccessDeniedException (not authorized); grant it (stream-router setup --policy)"
    )
    assert (record.__dict__["waiting"], record.__dict__["held_s"]) == (17, SAID_AFTER_S)
    report.failing("InternalFailure", "")
    report.holds(SINCE + 2, SINCE, 17)
    assert "InternalFailure; it mends itself" in caplog.records[1].getMessage()


def test_a_moments_hold_is_not_said(report: HoldReport, caplog: pytest.LogCaptureFixture) -> None:
    """Neither that it began nor that it is over."""
    report.holds(SINCE + SAID_AFTER_S - 0.01, SINCE, 17)
    report.over(SINCE + SAID_AFTER_S, SINCE)
    assert said(caplog) == []


def test_a_hold_is_said_once_a_minute_while_its_cause_stays(
    report: HoldReport, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten minutes are ten lines, however often it is looked at."""
    for tenth in range(10, 6_000):
        report.holds(SINCE + tenth / 10, SINCE, 17)
    assert len(said(caplog)) == 600 / REMIND_EVERY_S


def test_causes_that_take_turns_are_each_said_once_a_minute(
    report: HoldReport, caplog: pytest.LogCaptureFixture
) -> None:
    """In an outage one probe has no answer and the next one a 503: ten minutes of it are no line for each probe."""
    for second in range(1, 600):
        report.failing(("NoAnswer", "InternalException", "Http503")[second % 3], "")
        report.holds(SINCE + second, SINCE, 17)
    assert len(said(caplog)) == 3 * 600 / REMIND_EVERY_S


def test_another_cause_is_said_at_once(report: HoldReport, caplog: pytest.LogCaptureFixture) -> None:
    """What helps against it is something else."""
    report.holds(SINCE + 1, SINCE, 17)
    report.failing("ThrottlingException", "")
    report.holds(SINCE + 2, SINCE, 17)
    report.holds(SINCE + 3, SINCE, 17)
    first, second = said(caplog)
    assert "AccessDeniedException" in first
    assert "ThrottlingException" in second


def test_the_end_of_a_hold_is_said_once_and_the_next_hold_anew(
    report: HoldReport, caplog: pytest.LogCaptureFixture
) -> None:
    """With how long it took, and nobody waits a minute for the line of the next."""
    report.holds(SINCE + 1, SINCE, 17)
    said(caplog)
    report.over(SINCE + 5, SINCE)
    assert caplog.records[0].__dict__["held_s"] == 5.0
    assert said(caplog) == ["the bus default is back"]
    report.over(SINCE + 6, SINCE)
    assert said(caplog) == []
    report.holds(SINCE + 12, SINCE + 10, 17)
    assert len(said(caplog)) == 1
