"""A certificate that ends soon is said once a day, one that has ended at once and then once a day."""

import pytest

from stream_router.receiver.certificate_end import CertificateEnd

DAY_S = 24 * 3600
ENDS_S = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""


class Bench:
    """A certificate that ends at `ends_s`, looked at each minute."""

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        self.ends_s: float | None = ENDS_S
        self.now_s = ENDS_S - 8 * DAY_S
        self._log = log
        self._look = CertificateEnd(lambda: self.ends_s, lambda: self.now_s, lambda: self.now_s)

    def until(self, left_s: float) -> list[str]:
        """What is said until so much is left to ENDS_S."""
        self._log.clear()
        while self.now_s < ENDS_S - left_s:
            self.now_s += 60
            self._look()
        return [f"{record.levelname} {record.getMessage()}" for record in self._log.records]


SOON = "WARNING the TLS certificate ends at 2027-01-15T08:00:00.000Z; renew it"
OVER = "ERROR the TLS certificate ended at 2027-01-15T08:00:00.000Z: senders refuse the connection; renew it"


@pytest.fixture
def bench(caplog: pytest.LogCaptureFixture) -> Bench:
    return Bench(caplog)


def test_it_is_said_once_a_day_from_seven_days_on(bench: Bench) -> None:
    """Before that whatever renews it may still do so."""
    assert bench.until(7 * DAY_S) == []
    assert bench.until(6 * DAY_S + 60) == [SOON]
    assert bench.until(4.5 * DAY_S) == [SOON] * 2


def test_one_that_has_ended_is_said_at_once(bench: Bench) -> None:
    """Whenever the day's warning was; and each day again."""
    assert bench.until(0.5 * DAY_S)[-1] == SOON
    assert bench.until(60) == []
    assert bench.until(0) == [OVER]
    assert bench.until(-1.5 * DAY_S) == [OVER]


def test_one_that_was_renewed_is_said_no_more(bench: Bench) -> None:
    """When the next one ends soon, that is said as early, though the day is not over."""
    assert bench.until(6.5 * DAY_S) == [SOON]
    bench.ends_s = ENDS_S + 0.75 * DAY_S
    assert bench.until(6.25 * DAY_S) == []
    (line,) = bench.until(6.2 * DAY_S)
    assert line.startswith("WARNING the TLS certificate ends at 2027-01-16T02:00")


def test_workers_that_start_anew_are_no_renewal(bench: Bench) -> None:
    """Until they serve none has a certificate: what was said today is not said again."""
    assert bench.until(6.5 * DAY_S) == [SOON]
    bench.ends_s = None
    assert bench.until(6.4 * DAY_S) == []
    bench.ends_s = ENDS_S
    assert bench.until(6.1 * DAY_S) == []
