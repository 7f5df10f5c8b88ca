"""Messages in hand: hidden for as long as they are held, each once, given back or deleted for certain."""

from collections.abc import Callable
from typing import Any

import pytest

from stream_router.aws import endpoints
from stream_router.aws.endpoints import Target
from stream_router.control.dead_letters import listing
from stream_router.control.dead_letters.queue import messages as messages_
from stream_router.control.dead_letters.queue.gathering import PATIENCE_S, Gathering, QueueUnreadableError
from stream_router.control.dead_letters.queue.messages import DRY_AFTER, HIDE_S, RECEIVE_CALLS, Messages
from stream_router.control.dead_letters.queue.selection import Selection
from stream_router.errors import Answer
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from tests.fakes import ok, refused
from tests.sqs_in_time import Sqs

URL = "http://sqs/1/q"
LETTER = reader.of_content({"schema": SCHEMA, "reason": "outage", "record": reader.encoded(b"{}")})


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Sqs:
    monkeypatch.setattr(endpoints, "target", lambda _, service, operation: Target(operation, service, ()))
    return Sqs()


def held(sqs: Sqs) -> Messages:
    """All of the queue in hand."""
    messages = Messages(sqs, URL, sqs.world.clock)  # type: ignore[arg-type]
    while not messages.dry:
        messages.keep_receiving()
        messages.turn(0.25)
    return messages


def none_deleted(sqs: Sqs) -> Messages:
    """All of the queue, of which each delete was refused for longer than its budget."""
    messages = held(sqs)
    sqs.judge = lambda name, _: refused("AccessDenied", 403) if name == "DeleteMessageBatch" else None
    messages.delete(messages.take())
    for _ in range(1000):
        messages.turn(0.25)
    return messages


def test_the_queue_is_read_until_many_answers_in_a_row_are_empty(sqs: Sqs) -> None:
    """One empty answer proves nothing: SQS asks only some of its servers."""
    messages = held(sqs)
    assert [one.id for one in messages.take()] == ["0", "1", "2"]
    assert messages.held == 3
    assert len([name for name, _ in sqs.calls if name == "ReceiveMessage"]) > DRY_AFTER


def test_a_queue_that_fills_all_the_time_has_an_end(sqs: Sqs) -> None:
    """What comes while a command reads does not keep it reading: it is in hand, and its answer counts as empty."""
    messages, taken = Messages(sqs, URL, sqs.world.clock), list[str]()  # type: ignore[arg-type]
    messages.begun_ms, sqs.sent_ms = 50_000.0, 49_000
    for number in range(10 * DRY_AFTER):
        if messages.dry:
            break
        messages.keep_receiving()
        messages.turn(0.25)
        taken += [held.id for held in messages.take()]
        sqs.sent_ms = 60_000
        sqs.bodies = [f"later-{number}"]
    assert messages.dry
    assert {"0", "1", "2", "later-0"} <= set(taken)


def test_what_came_since_the_command_began_is_left_where_only_the_old_is_meant(sqs: Sqs) -> None:
    """An undelivered event that comes back undelivered is not taken by the same redrive again, and again."""
    messages = Messages(sqs, URL, sqs.world.clock)  # type: ignore[arg-type]
    messages.begun_ms, sqs.sent_ms = 50_000.0, 51_000
    gathering = Gathering(messages, Selection(), "", lambda *_: LETTER, old_only=True)
    gathering.gather(lambda: True)
    assert (gathering.came_later, gathering.take_round()) == (3, [])


def test_a_message_is_hidden_anew_for_as_long_as_it_is_held(sqs: Sqs) -> None:
    """After half of its time, again and again; what was let go is left alone."""
    messages = held(sqs)
    first, *rest = messages.take()
    messages.delete([first])
    for _ in range(int(2 * HIDE_S)):
        messages.turn(0.0)
        sqs.world.now += 1.0
    hidden = sqs.named("ChangeMessageVisibilityBatch")
    assert {entry["VisibilityTimeout"] for entry in hidden} == {int(HIDE_S)}
    for one in rest:
        assert 3 <= sum(entry["ReceiptHandle"] == one.handle for entry in hidden) <= 5
        assert one.hidden_until > sqs.world.now
    assert not [entry for entry in hidden if entry["ReceiptHandle"] == first.handle]


def test_what_comes_again_is_held_once_with_its_newer_receipt(sqs: Sqs) -> None:
    """SQS delivers at least once."""
    messages = held(sqs)
    before = messages.take()
    messages.empty_answers = 0
    sqs.bodies = ["1"]
    messages.keep_receiving()
    messages.turn(0.25)
    assert messages.take() == []
    assert messages.held == 3
    assert before[1].handle == "r-1"


def test_a_delete_is_tried_again_until_it_is_done(sqs: Sqs) -> None:
    """A failed entry goes again, with its call or alone."""
    messages = held(sqs)
    answers = iter(
        [
            refused("ServiceUnavailable", 503),
            ok({"Successful": [{"Id": "0"}], "Failed": [{"Id": "1", "Code": "InternalError", "SenderFault": False}]}),
        ]
    )
    sqs.judge = lambda name, _: next(answers, None) if name == "DeleteMessageBatch" else None
    messages.delete(messages.take()[:2])
    for _ in range(400):
        messages.turn(0.25)
    assert [entry["ReceiptHandle"] for entry in sqs.named("DeleteMessageBatch")] == ["r-0", "r-1", "r-0", "r-1", "r-1"]
    assert (messages.undeleted, messages.changing) == (0, 0)


def test_what_may_not_be_deleted_is_told(sqs: Sqs) -> None:
    """After the budget, with AWS's code: the event went out and would go out again."""
    messages = none_deleted(sqs)
    assert (messages.undeleted, messages.changing) == (3, 0)
    assert messages.trouble == "AccessDenied"
    assert messages.deletes_nothing


def test_what_could_not_be_deleted_and_comes_again_is_deleted_and_handed_to_nobody(sqs: Sqs) -> None:
    """Its event went out. A redrive that takes longer than SQS hides a message would publish it again, without end."""
    messages = none_deleted(sqs)
    messages.look_again()
    for _ in range(2 * DRY_AFTER):
        sqs.bodies = ["0", "1", "2"]
        messages.keep_receiving()
        messages.turn(0.25)
    assert messages.dry
    while messages.changing:
        messages.turn(0.25)
    assert messages.undeleted == 3
    sqs.judge, sqs.bodies = lambda *_: None, ["0", "1"]
    messages.look_again()
    while messages.changing or not messages.dry:
        messages.keep_receiving()
        messages.turn(0.25)
    assert messages.take() == []
    assert (messages.undeleted, messages.held) == (1, 0)


def test_a_delete_that_is_not_through_is_not_taken_for_one(sqs: Sqs) -> None:
    """A command that ends before the queue has answered says of these that they may still be there."""
    messages = held(sqs)
    messages.delete(messages.take())
    assert messages.undeleted == 3
    while messages.changing:
        messages.turn(0.25)
    assert messages.undeleted == 0
    assert not messages.deletes_nothing


def test_what_sqs_says_is_no_longer_ours_is_lost(sqs: Sqs) -> None:
    """It is not begun with: another reader may have it."""
    messages = held(sqs)
    (first, *_) = taken = messages.take()
    failed = {"Code": "InvalidParameterValue", "SenderFault": True}

    def judge(name: str, given: dict[str, Any]) -> Answer | None:
        if name != "ChangeMessageVisibilityBatch":
            return None
        wrong = [entry["Id"] for entry in given["Entries"] if entry["ReceiptHandle"] == first.handle]
        right = [entry["Id"] for entry in given["Entries"] if entry["Id"] not in wrong]
        return ok({"Successful": [{"Id": one} for one in right], "Failed": [{"Id": one, **failed} for one in wrong]})

    sqs.judge = judge
    sqs.world.now += HIDE_S * 0.6
    for _ in range(50):
        messages.turn(0.25)
    assert [one.lost for one in taken] == [True, False, False]


def test_everything_is_given_back_at_the_end(sqs: Sqs) -> None:
    """Visible at once to whoever reads next."""
    messages = held(sqs)
    messages.give_back_all()
    while messages.changing:
        messages.turn(0.25)
    assert [entry["VisibilityTimeout"] for entry in sqs.named("ChangeMessageVisibilityBatch")] == [0, 0, 0]
    assert messages.held == 0


def test_giving_back_takes_as_long_as_it_moves(sqs: Sqs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand messages are ten thousand calls, more than half a minute: what moves is seen through."""
    sqs.bodies = [str(n) for n in range(1_000)]
    messages = held(sqs)
    monkeypatch.setattr(listing, "GIVE_BACK_WITHIN_S", 0.05)
    begun = sqs.world.now
    listing.give_back(messages)
    assert sqs.world.now - begun > 0.1
    assert len(sqs.named("ChangeMessageVisibilityBatch")) == 1_000
    assert (messages.changing, messages.not_given_back) == (0, 0)


def test_giving_back_ends_where_nothing_moves(sqs: Sqs) -> None:
    """SQS that answers nothing holds nobody for ever."""
    messages = held(sqs)
    sqs.judge = lambda *_: refused("ServiceUnavailable", 503)
    begun = sqs.world.now
    messages.give_back_all()
    messages.see_through(5.0)
    assert 4.0 < sqs.world.now - begun < 7.0


def gather(messages: Messages, on: Callable[[], bool] = lambda: True) -> Gathering:
    gathering = Gathering(messages, Selection())
    gathering.gather(on)
    return gathering


def test_a_queue_that_refuses_is_asked_more_and_more_seldom(sqs: Sqs) -> None:
    """A refusal comes after 10 ms, PATIENCE_S are 30 s: asked anew at once that would be thousands of calls."""
    messages = Messages(sqs, URL, sqs.world.clock)  # type: ignore[arg-type]
    begun = sqs.world.now
    sqs.judge = lambda *_: refused("AccessDeniedException", 403)
    with pytest.raises(QueueUnreadableError, match="AccessDeniedException"):
        gather(messages)
    assert PATIENCE_S < sqs.world.now - begun < PATIENCE_S + 1
    assert RECEIVE_CALLS <= len(sqs.calls) < 4 * RECEIVE_CALLS


def test_a_queue_that_answers_again_is_read_at_full_speed(sqs: Sqs) -> None:
    """After some throttled calls everything is received, and the next refusal is waited for shortly again."""
    messages = Messages(sqs, URL, sqs.world.clock)  # type: ignore[arg-type]
    answers = iter([refused("ThrottlingException")] * RECEIVE_CALLS)
    sqs.judge = lambda *_: next(answers, None)
    begun = sqs.world.now
    while not messages.dry:
        messages.keep_receiving()
        messages.turn(0.25)
    assert [one.id for one in messages.take()] == ["0", "1", "2"]
    assert sqs.world.now - begun < 2.0
    assert messages.receiving == messages.refused == 0


def test_a_reader_that_waits_after_a_refusal_hears_ctrl_c(sqs: Sqs) -> None:
    """Within a turn, however long the wait has become."""
    messages = Messages(sqs, URL, sqs.world.clock)  # type: ignore[arg-type]
    sqs.judge = lambda *_: refused("AccessDeniedException", 403)
    asked_at = sqs.world.now + 20.0
    gather(messages, lambda: sqs.world.now < asked_at)
    assert sqs.world.now - asked_at < 0.5


def test_a_queue_that_hides_too_much_is_dry_at_once(sqs: Sqs) -> None:
    """OverLimit counts as an empty answer: what is held can be worked on, and frees the queue."""
    messages = Messages(sqs, URL, sqs.world.clock)  # type: ignore[arg-type]
    sqs.judge = lambda *_: refused("OverLimit", 403)
    begun = sqs.world.now
    gather(messages)
    assert messages.dry
    assert messages.is_at_most
    assert sqs.world.now - begun < 1.0


def test_a_queue_that_is_silent_since_all_that_sqs_hides_is_held_is_known_from_an_empty_one(
    sqs: Sqs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With long polls SQS says no OverLimit: it answers nothing, as where nothing more is there."""
    assert not held(sqs).is_at_most
    sqs.bodies = [str(n) for n in range(3)]
    monkeypatch.setattr(messages_, "NEARLY_ALL_HIDDEN", 3)
    messages = held(sqs)
    assert messages.is_at_most
    messages.delete(messages.take())
    sqs.bodies = ["3"]
    messages.look_again()
    while not messages.dry:
        messages.keep_receiving()
        messages.turn(0.25)
    assert not messages.is_at_most
