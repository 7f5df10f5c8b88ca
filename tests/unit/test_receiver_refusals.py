"""The log of deliveries that are refused for good, and of the spill's drain, on a clock of the test's own."""

import pytest

from stream_router.receiver.refusals import OVER_AFTER_S, Refusals
from stream_router.receiver.states import Drain
from stream_router.telemetry.receiver.receiver_stats import Stats

STATUSES = {"stored": 202, "too_large": 413, "malformed_json": 400, "not_an_object": 400}


class Watched:
    """A worker's counts, and what is said of them."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.stats = Stats()
        self.refusals = Refusals(self.stats, lambda: self.now_s)
        self.drain = Drain(self.stats, lambda: self.now_s)

    def pass_s(self, seconds: float, **counts: int) -> None:
        """Time goes by in quarters of a second, these counts growing with each."""
        for _ in range(int(seconds * 4)):
            self.now_s += 0.25
            for reason, count in counts.items():
                self.stats.answers[""][STATUSES.get(reason, 401), reason] += count
            self.refusals.look()
            self.drain.look()


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_what_lasts_is_told_once_a_minute_and_its_end_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """However many are refused; the end has how many and for how long."""
    caplog.set_level("INFO")
    watched.pass_s(150, stale=100)
    assert [record.getMessage()[:40] for record in caplog.records] == ["deliveries are answered 401, none is let"] * 3
    watched.pass_s(OVER_AFTER_S + 1)
    over = caplog.records[-1]
    assert (over.levelname, over.getMessage()) == ("INFO", "no delivery is answered 401 any more (stale)")
    assert over.__dict__["deliveries"] == 60_000
    assert over.__dict__["after_s"] == pytest.approx(150, abs=1)
    assert len(caplog.records) == 4
    watched.pass_s(600)
    assert len(caplog.records) == 4


def test_strangers_beside_good_senders_are_no_matter_of_this_clock(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """Others are let in meanwhile: each reason is told apart, and neither blames the clock of this host."""
    watched.pass_s(2, stale=1, bad_signature=1, stored=5)
    said = sorted(record.getMessage() for record in caplog.records)
    assert len(said) == 2
    assert said[0].startswith("deliveries are answered 401, others are let in (bad_signature); compare")
    assert said[1].startswith("deliveries are answered 401, others are let in (stale); check the sender's clock")


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("too_large", "answered 413, others are let in (too_large); have the sender send less at once, or raise "),
        ("malformed_json", "answered 400, others are let in (malformed_json); have the sender post "),
        ("not_an_object", "answered 400, others are let in (not_an_object); have the sender post "),
    ],
)
def test_what_a_sender_gives_up_is_told_whatever_is_wrong_with_it(
    watched: Watched, caplog: pytest.LogCaptureFixture, reason: str, says: str
) -> None:
    """No alarm tells it, since strangers post too: without a line the events of one sender are lost in silence."""
    caplog.set_level("INFO")
    watched.pass_s(2, stored=5, **{reason: 1})
    watched.pass_s(OVER_AFTER_S + 1)
    told, over = caplog.records
    assert says in told.getMessage()
    assert over.getMessage() == f"no delivery is answered {STATUSES[reason]} any more ({reason})"


def test_a_single_refusal_of_long_ago_says_nothing_of_the_next(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """What came to an end is over: the clock that was right in between is not suspected for what was before."""
    watched.pass_s(0.25, stale=1)
    watched.pass_s(OVER_AFTER_S + 2, stored=1)
    watched.pass_s(2, stale=1)
    assert "none is let in (stale); check this host's clock" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("from_before", [0, 500])
def test_an_empty_spill_is_told_with_all_it_held(
    watched: Watched, caplog: pytest.LogCaptureFixture, from_before: int
) -> None:
    """What went through it meanwhile, and what a process before this one had left there."""
    caplog.set_level("INFO")
    watched.stats.spilled_events = from_before
    watched.pass_s(1)
    for _ in range(10):
        watched.stats.events_spilled += 20
        watched.stats.spilled_events += 20
        watched.pass_s(1)
    watched.stats.spilled_events = 0
    watched.pass_s(1)
    (line,) = caplog.records
    assert line.getMessage() == "the spill is empty again: what waited there is in the stream"
    assert line.__dict__["events"] == from_before + 200
