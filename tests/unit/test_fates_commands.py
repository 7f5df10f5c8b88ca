"""`find` and `reconcile` as commands: how they end where nothing can be judged, and what they look at."""

from collections.abc import Iterable
from types import SimpleNamespace

import pytest

from stream_router.control.dead_letters.desk import Depth
from stream_router.control.fates import find, looks, reconcile
from stream_router.control.stream.session import Stops
from stream_router.core.settings_error import SettingsError
from stream_router.settings.dead_letters import DeadLetters
from stream_router.settings.reading import load

ID = "0123456789abcdef0123456789abcdef"
FIND = find.Wish([ID], None, None, "1h", fan_out=False, everything=False)
RECONCILE = reconcile.Wish("1h", None, fan_out=False, show=20)


@pytest.fixture
def settings() -> DeadLetters:
    return load(DeadLetters, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q")


def broken(*_: object) -> None:
    raise RuntimeError("something\nbroke")


def test_an_unforeseen_error_of_find_is_no_judgement(
    settings: DeadLetters, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 would mean that the event was not received."""
    monkeypatch.setattr(find, "Clients", broken)
    assert find.run(settings, FIND) == 2
    said = capsys.readouterr().err
    assert said.startswith("cannot judge: RuntimeError: something broke (test_fates_commands.py:")
    assert said.count("\n") == 1


def test_an_unforeseen_error_of_reconcile_is_no_judgement(
    settings: DeadLetters, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 would mean that there are differences."""
    monkeypatch.setattr(reconcile, "Clients", broken)
    assert reconcile.run(settings, RECONCILE) == 2
    assert "cannot judge: RuntimeError: something broke" in capsys.readouterr().err


def test_a_bad_setting_stays_one(settings: DeadLetters) -> None:
    """Its status is 78 for every command."""
    with pytest.raises(SettingsError, match="--since"):
        find.run(settings, FIND._replace(since="999999d"))
    with pytest.raises(SettingsError, match="--since"):
        reconcile.run(settings, RECONCILE._replace(since="999999d"))


class Queue:
    """A queue's messages, as `looks` takes them: what SQS says of their number is late."""

    name, refused, receiving, changing, trouble = "q", 0, 0, 0, ""

    def __init__(self, bodies: Iterable[str]) -> None:
        self._there = [SimpleNamespace(body=body, attributes={}, sent_ms=0, size_bytes=1) for body in bodies]
        self.dry = False

    def keep_receiving(self) -> None:
        """What is there comes with the next turn."""

    def turn(self, _: float) -> None:
        self.dry = True

    def take(self) -> list[SimpleNamespace]:
        taken, self._there = self._there, []
        return taken

    def give_back_all(self) -> None:
        """Nothing is hidden here."""


@pytest.mark.parametrize("bodies", [["a letter of the last minute"], []], ids=["one", "none"])
def test_a_queue_that_says_it_is_empty_is_looked_at(
    settings: DeadLetters, monkeypatch: pytest.MonkeyPatch, bodies: list[str]
) -> None:
    """SQS's own count may be a minute late; that nothing is there is known by receiving nothing."""
    desk = SimpleNamespace(messages=Queue(bodies), depth=lambda: Depth(0, 0))
    monkeypatch.setattr(looks, "Desk", lambda *_: desk)
    seen = looks.look(settings, "https://sqs/1/q", Stops())
    assert [one.body for one in seen.messages] == bodies
    assert seen.missing == ""
