"""One redrive from the first round to its summary: which letters it takes, what it refuses, and how it exits."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from stream_router.control.dead_letters.desk import Depth
from stream_router.control.dead_letters.queue.selection import Selection
from stream_router.control.dead_letters.redriving import redrive as module
from stream_router.control.dead_letters.redriving import settling
from stream_router.control.dead_letters.redriving.redrive import Redrive
from stream_router.control.dead_letters.redriving.summary import How
from stream_router.control.dead_letters.redriving.trial import Trial
from stream_router.control.republish import preconditions
from stream_router.model import Entry, Reason
from tests.unit.test_settling import Bench, trial

HOW = How(rate=0.0, limit=0, dry_run=False, take_all=False, yes=False)
ALL = Selection()
NOTHING: Mapping[str, preconditions.Verdict] = {}


class Queue(Bench):
    """The bench of settling, with letters of these types in rounds; "skip" is a letter that is not eligible."""

    name, queue_url, undeleted, unanswered, dry, is_full = "q", "http://q", 0, 0, False, False
    copies = failed_since = 0

    def __init__(self, *rounds: list[str]) -> None:
        super().__init__()
        self.now = time.monotonic()  # the redrive's own clock
        self.trials: list[Trial] = []
        self.rounds = [[self._made(event_type) for event_type in types] for types in rounds]
        self.skipped: Counter[str] = Counter()
        self.unavailable: Counter[str] = Counter()
        self.asked_for: list[int] = []
        self.tried = 0
        self.stop_asked = False
        self.on_publish: Callable[[], object] = lambda: None

    def _made(self, event_type: str) -> Trial:
        made = trial(len(self.trials) + 1, self)
        made = made._replace(event_types=(event_type,), skipped="a reason" if event_type == "skip" else "")
        self.trials.append(made)
        return made

    # The gathering.
    def gather(self, _: object, most: int) -> None:
        self.asked_for.append(most)

    def take_round(self) -> list[Any]:
        found = [one.whole for one in self.rounds.pop(0)] if self.rounds else []
        self.dry = not self.rounds
        return found

    def end(self) -> None:
        self.rounds = []

    # The trials.
    def __call__(self, whole: Any) -> Trial:
        self.tried += 1
        return next(one for one in self.trials if one.whole is whole)

    # The republisher.
    def publish(self, entries: list[Entry]) -> None:
        self.on_publish()
        super().publish(entries)


class Redriven:
    """What came of a redrive: its exit status, and what it said."""

    def __init__(
        self,
        queue: Queue,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        how: How = HOW,
        selection: Selection = ALL,
        verdict: preconditions.Verdict | None = None,
        ordering: str = "none",
        verdicts: Mapping[str, preconditions.Verdict] = NOTHING,
    ) -> None:
        self.looked: list[set[str]] = []

        def look(_: object, types: Any) -> preconditions.Verdict:
            self.looked.append(set(types))
            told = [one for name, one in verdicts.items() if name in types]
            return next(iter(told), verdict or preconditions.Verdict([], []))

        monkeypatch.setattr(preconditions, "look", look)
        monkeypatch.setattr(Redrive, "_tries", lambda _: queue)
        monkeypatch.setattr(Redrive, "_gathers", lambda _: queue)
        monkeypatch.setattr(Redrive, "_sends_back", lambda _: queue)
        monkeypatch.setattr(module, "tell_hidden_since", lambda *_: None)
        monkeypatch.setattr(module, "unseen", lambda *_: "")
        connection = SimpleNamespace(transform=lambda *_: SimpleNamespace(policy=None), republisher=lambda _: queue)
        desk: Any = SimpleNamespace(
            connection=connection,
            messages=queue,
            settings=SimpleNamespace(
                ordering=ordering, event_bus="default", stream="cxone-events", offload_bucket="any"
            ),
            depth=lambda: Depth(9, 0),
            fetch=None,
        )
        queue.seen = []
        self.status = Redrive(desk, selection, how, lambda: queue.stop_asked, "now").run()
        told = capsys.readouterr()
        self.said = told.out.splitlines()
        self.warned = told.err


@pytest.fixture
def redriven(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda queue, **options: Redriven(queue, monkeypatch, capsys, **options)


def test_every_letter_of_every_round_is_redriven_and_each_type_is_proven_once(redriven: Any) -> None:
    """Before anything of it is published; all settled is status 0."""
    queue = Queue(["a", "a"], ["a", "b"], [])
    done = redriven(queue)
    assert done.status == 0
    assert "selected 4, eligible 4" in done.said
    assert "redriven 4" in done.said
    assert sorted(queue.deleted) == ["1.0", "2.0", "3.0", "4.0"]
    assert done.looked == [{"a"}, {"b"}]


def test_a_limit_is_of_letters_that_are_redriven_and_what_is_skipped_is_not_among_them(redriven: Any) -> None:
    """What is over it is neither tried nor touched; no more is asked for than is still wanted."""
    queue = Queue(["skip", "a"], ["a", "a"], ["a"])
    done = redriven(queue, how=HOW._replace(limit=2))
    assert sorted(queue.deleted) == ["2.0", "3.0"]
    assert "selected 3, eligible 2" in done.said
    assert queue.asked_for[:2] == [2, 1]
    assert done.status == 0


def test_a_type_that_is_not_asked_for_is_not_selected(redriven: Any) -> None:
    """Though its letter was in hand, since only mapping it told its type."""
    queue = Queue(["a", "b", "skip"])
    done = redriven(queue, selection=Selection(event_type="b"))
    assert queue.deleted == ["2.0"]
    assert "selected 2, eligible 1" in done.said
    assert any("a reason" in line for line in done.said)


def test_a_letter_is_meant_by_the_type_that_it_tells_whatever_todays_mapping_makes_of_it(redriven: Any) -> None:
    """`dlq list` counts it under that type, and it was the mapping that was mended."""
    queue = Queue(["mended"])
    (made,) = queue.trials
    letter = made.whole.letter.model_copy(update={"event_type": "wrong"})
    queue.trials = [made._replace(whole=made.whole._replace(letter=letter))]
    queue.rounds = [queue.trials]
    done = redriven(queue, selection=Selection(event_type="wrong"))
    assert queue.deleted == ["1.0"]
    assert "selected 1, eligible 1" in done.said


def test_a_dry_run_publishes_nothing_and_says_what_would_be(redriven: Any) -> None:
    """By type; a note asks for no word there."""
    queue = Queue(["a", "a", "b"], ["a"])
    done = redriven(queue, how=HOW._replace(dry_run=True), verdict=preconditions.Verdict([], ["nobody knows"]))
    assert (queue.published, queue.deleted, done.status) == ([], [], 0)
    assert done.looked == [{"a", "b"}]
    assert "note: nobody knows" in done.said
    assert not any(line.startswith("redriven") for line in done.said)


@pytest.mark.parametrize(
    ("verdict", "yes", "goes"),
    [
        (preconditions.Verdict(["no rule takes a"], []), True, False),
        (preconditions.Verdict([], ["nobody knows"]), False, False),
        (preconditions.Verdict([], ["nobody knows"]), True, True),
    ],
    ids=["refused", "unjudged", "unjudged, with --yes"],
)
def test_what_nobody_would_get_is_not_published(
    redriven: Any, verdict: preconditions.Verdict, yes: bool, goes: bool
) -> None:
    """A refusal is final; what cannot be judged takes the operator's word."""
    queue = Queue(["a"])
    done = redriven(queue, how=HOW._replace(yes=yes), verdict=verdict)
    assert (queue.published, queue.deleted) == (([1], ["1.0"]) if goes else ([], []))
    assert done.status == (0 if goes else 1)
    assert ("nothing more was published" in done.warned) is not goes


@pytest.mark.parametrize("what", ["failed again", "left", "undeleted"])
def test_what_is_not_all_done_is_status_1_and_is_said(redriven: Any, what: str) -> None:
    """A script must not take it for the end."""
    queue = Queue(["a", "a"])
    if what == "failed again":
        queue.fails = {1: Reason.REFUSED}
    elif what == "left":
        queue.trials[0].whole.messages[0].lost = True
    else:
        queue.undeleted = 1
    done = redriven(queue)
    assert done.status == 1
    said = "\n".join(done.said)
    if what == "failed again":
        assert "failed again, back in the queue" in said
    elif what == "left":
        assert "left in the queue 1" in said
    else:
        assert "could not be deleted" in done.warned


def test_no_more_is_opened_at_once_than_memory_takes(redriven: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gzipped, ten thousand letters are small; opened, they are gigabytes. What is in order stays so."""
    monkeypatch.setattr(module, "MAX_OPENED_BYTES", 4)
    queue = Queue(["a", "skip", "a", "a", "a"], ["a"])
    opened = list[int]()
    queue.on_publish = lambda: opened.append(queue.tried)
    done = redriven(queue, ordering="conversation")
    assert done.status == 0
    assert queue.published == [1, 3, 4, 5, 6]
    assert opened == [3, 3, 5, 5, 6]
    assert "selected 6, eligible 5" in done.said


def test_what_is_in_hand_and_was_not_opened_is_left(redriven: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The redrive was stopped behind the first of them; what is over a limit is not meant."""
    monkeypatch.setattr(module, "MAX_OPENED_BYTES", 2)
    queue = Queue(["a", "a", "a"])
    queue.on_publish = lambda: setattr(queue, "stop_asked", True)
    done = redriven(queue)
    assert (done.status, queue.deleted) == (1, ["1.0"])
    assert "left in the queue 2" in done.said
    queue = Queue(["a", "a", "a"])
    done = redriven(queue, how=HOW._replace(limit=1))
    assert (done.status, queue.deleted) == (0, ["1.0"])
    assert not any(line.startswith("left") for line in done.said)


def test_what_was_redriven_before_a_refusal_is_told(redriven: Any) -> None:
    """The second round's type goes nowhere; the first round's letters are out, and some of them may be there still."""
    queue = Queue(["a"], ["b"])
    queue.undeleted = 1
    refusal = preconditions.Verdict(["no rule takes b"], [])
    done = redriven(queue, verdicts={"b": refusal})
    assert done.status == 1
    assert "redriven 1" in done.said
    assert "no rule takes b; nothing more was published" in done.warned
    assert "1 message could not be deleted (AccessDenied) though redriven" in done.warned


def test_events_that_were_accepted_and_not_proven_are_said_to_go_out_again(
    redriven: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To say that none was redriven, and no more, would say that nobody got them."""
    monkeypatch.setattr(settling, "END_WITHIN_S", 0.0)
    queue = Queue(["a"])
    queue.silent, queue.unproven = {1}, 1
    queue.on_publish = lambda: setattr(queue, "stop_asked", True)
    done = redriven(queue)
    assert done.status == 1
    assert "redriven 0" in done.said
    assert "1 event of these EventBridge accepted" in done.warned
    assert "the next redrive publishes them again" in done.warned


def test_more_letters_than_can_be_put_in_order_are_refused(redriven: Any) -> None:
    """Some of them out of order would be worse than none; with all of the queue in hand it goes."""
    queue = Queue(["a"], ["a"])
    queue.is_full = True
    done = redriven(queue, ordering="conversation", how=HOW._replace(limit=1))
    assert (queue.published, done.status) == ([], 1)
    assert "cannot be put in order" in done.warned
    assert queue.asked_for == [0]
    queue = Queue(["a"])
    queue.is_full = queue.dry = True
    assert redriven(queue, ordering="conversation").status == 0
