"""The log of deliveries that are refused, on a clock of the test's own."""

from types import SimpleNamespace
from typing import Any

import pytest

from stream_router.receiver.states import CURES, OVER_AFTER_S, States
from stream_router.receiver.stats import Stats

STATUSES = {"bad_signature": 401, "stale": 401, "too_large": 413, "overload": 503, "busy": 503}


class Watched:
    """What is answered, and what is said of it."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.stats = Stats()
        batcher: Any = SimpleNamespace(stats=self.stats, now_s=lambda: self.now_s)
        batcher.stream, batcher.backlog = SimpleNamespace(refuses=False, apart=0, code=""), None
        batcher.buckets = []
        self.states = States(batcher, "s")

    def pass_s(self, seconds: float, *reasons: str, let_in: int = 0) -> None:
        """Time goes by in quarters of a second, a delivery refused for each of these reasons in every one of them."""
        for _ in range(int(seconds * 4)):
            self.now_s += 0.25
            self.stats.answers["", 202, "stored"] += let_in
            for reason in reasons:
                self.states.refused("", STATUSES.get(reason, 400), reason, lambda: "198.51.100.7")
            self.states.look()


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_what_lasts_is_said_once_and_its_end_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """However many are refused for however long; who comes from where, and at the end how many for how long."""
    watched.pass_s(150, "stale")
    watched.pass_s(OVER_AFTER_S + 600)
    begin, over = caplog.records
    assert (begin.levelname, over.levelname) == ("WARNING", "WARNING")
    assert begin.getMessage().startswith("deliveries are answered 401, none is let in (stale); check this host's clock")
    assert begin.__dict__["client"] == "198.51.100.7"
    assert over.getMessage() == "no delivery is answered 401 any more (stale)"
    assert (over.__dict__["deliveries"], over.__dict__["after_s"]) == (600, pytest.approx(150, abs=1))


def test_strangers_beside_good_senders_are_no_matter_of_this_clock(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """Others are let in meanwhile: each reason is told apart, and neither blames the clock of this host."""
    watched.pass_s(2, "stale", "bad_signature", let_in=5)
    said = sorted(record.getMessage() for record in caplog.records)
    assert said[0].startswith("deliveries are answered 401, others are let in (bad_signature); compare")
    assert said[1].startswith("deliveries are answered 401, others are let in (stale); check the sender's clock")
    assert len(said) == 2


@pytest.mark.parametrize("reason", CURES)
def test_each_reason_has_its_cure(watched: Watched, caplog: pytest.LogCaptureFixture, reason: str) -> None:
    """No alarm tells a single one, since strangers post too: without a line a sender's events are lost in silence."""
    watched.pass_s(2, reason, let_in=5)
    watched.pass_s(OVER_AFTER_S + 1)
    told, over = caplog.records
    assert told.getMessage().endswith(f"others are let in ({reason}); {CURES[reason]}")
    assert over.getMessage() == f"no delivery is answered {STATUSES.get(reason, 400)} any more ({reason})"
