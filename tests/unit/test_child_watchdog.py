"""What a child's sign of life does: it puts off the watchdog, and gives free memory back."""

import faulthandler

import pytest

from stream_router.consumer.child import __main__ as program


def test_a_sign_of_life_arms_once_a_second_and_trims_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the main loop shows life; a child that has just begun has given back already."""
    armed, trimmed, now_s = list[float](), list[float](), 1_000.0
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *_, **__: armed.append(now_s))
    monkeypatch.setattr(program, "_give_back", lambda: trimmed.append(now_s))
    alive = program.Watchdog(lambda: now_s)
    for step in range(1_300):
        now_s = 1_000 + step / 10
        alive()
    assert 110 <= len(armed) <= 130
    assert [round(at) for at in trimmed] == [1_060, 1_120]
