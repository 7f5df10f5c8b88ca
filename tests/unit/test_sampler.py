"""What is done every so many seconds beside the main line."""

import pytest

from stream_router.telemetry.sampler import Sampler


@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_hosts_that_started_together_do_not_go_on_together(monkeypatch: pytest.MonkeyPatch, spread: float) -> None:
    """Where it is asked for, each wait is another one, and none is longer than is promised."""
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 50

    made = Sampler(50.0, [lambda: None], spread=spread)
    monkeypatch.setattr(made._stop, "wait", wait)
    made._run()
    assert all(50 * (1 - spread) <= one <= 50 * (1 + spread) for one in waits)
    assert len(set(waits)) == (50 if spread else 1)


def test_what_fails_is_called_again_and_told_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Secrets, TLS files, metrics: a failure that nobody foresaw is one line, and not the last time for anybody."""
    called: list[str] = []

    def fails() -> None:
        called.append("fails")
        raise RuntimeError

    made = Sampler(1.0, [fails, lambda: called.append("works")])
    monkeypatch.setattr(made._stop, "wait", lambda _: len(called) == 10)
    made._run()
    assert called == ["fails", "works"] * 5
    assert [record.levelname for record in caplog.records] == ["ERROR"]
