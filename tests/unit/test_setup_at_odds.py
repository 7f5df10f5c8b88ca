"""`setup` refuses settings that are each well formed and do not go together, before anything is made."""

from typing import Any

import pytest

from stream_router.control.arns import Home
from stream_router.control.setup import at_odds, setup
from stream_router.control.setup_error import WrongSettingError
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load

pytestmark = pytest.mark.usefixtures("empty_environment")

HOME = Home("aws", "eu-west-1", "123456789012")
ROLE = "arn:aws:iam::123456789012:role/r"
DEAD, UNDELIVERED = HOME.queue("events-dead-letters"), HOME.queue("events-undelivered")


def settings(**given: Any) -> Setup:
    return load(Setup, aws_region="eu-west-1", stream="events", **given)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (HOME.stream("events"), "the stream itself"),
        (HOME.bus("default"), "the rule's own bus"),
        (DEAD, "our dead-letter queue"),
        (UNDELIVERED, "its own dead-letter queue"),
        ("arn:aws-cn:sqs:eu-west-1:123456789012:out", "in partition aws-cn"),
    ],
)
def test_a_target_that_would_lose_or_repeat_events_is_refused(target: str, why: str) -> None:
    """The stream, the bus and both dead-letter queues are no targets of their own rule."""
    with pytest.raises(WrongSettingError, match=f"^EVENTBRIDGE_TARGET_ARN: is {why}.*; "):
        at_odds.check(settings(target_arn=target, target_role_arn=ROLE), HOME, DEAD, UNDELIVERED)


def test_things_of_the_same_name_in_another_account_are_others() -> None:
    """A target is compared by its whole ARN."""
    other = HOME._replace(account="210987654321")
    for target in (other.stream("events"), other.bus("default"), other.queue("events-dead-letters")):
        at_odds.check(settings(target_arn=target, target_role_arn=ROLE), HOME, DEAD, UNDELIVERED)


@pytest.mark.parametrize(
    ("given", "named"), [({"target_dlq_arn": DEAD}, "STREAM_ROUTER_TARGET_DLQ_ARN"), ({}, "SQS_DLQ_URL")]
)
def test_both_kinds_of_dead_letters_need_a_queue_each(given: dict[str, str], named: str) -> None:
    """One queue for our dead letters and EventBridge's is refused, by the setting that names it."""
    with pytest.raises(WrongSettingError, match=f"^{named}.*: is one queue for .*; "):
        at_odds.check(settings(**given), HOME, DEAD, DEAD)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"tags": "team=cx,stream-router-setup=mine"}, "STREAM_ROUTER_TAGS: has stream-router-setup"),
        ({"sqs_dlq_url": "https://sqs.eu-central-1.amazonaws.com/123456789012/q"}, "SQS_DLQ_URL: .* another region"),
        ({"target_dlq_arn": "arn:aws:sqs:eu-central-1:123456789012:q"}, "STREAM_ROUTER_TARGET_DLQ_ARN: .* AWS_REGION"),
        ({"target_role_arn": "arn:aws:sqs:eu-west-1:123456789012:q"}, "STREAM_ROUTER_TARGET_ROLE_ARN: is no role"),
        ({"target_arn": "arn:aws:sqs:eu-west-1::q"}, "EVENTBRIDGE_TARGET_ARN: names no account"),
        ({"target_arn": "arn:aws:sqs:eu-west-1:12:q"}, "EVENTBRIDGE_TARGET_ARN: names no account"),
    ],
)
def test_what_the_settings_alone_tell_is_refused_without_a_call(given: dict[str, str], line: str) -> None:
    """A tag that is ours, a queue elsewhere, a role that is none, an ARN without an account."""
    with pytest.raises(WrongSettingError, match=f"^{line}.*; "):
        setup.look(settings(**given))


def test_a_queue_of_this_region_is_taken_by_each_of_its_names() -> None:
    """AWS's own host, a VPC endpoint's, and an emulator's."""
    for host in ("sqs.eu-west-1.amazonaws.com", "vpce-1-a.sqs.eu-west-1.vpce.amazonaws.com", "127.0.0.1:4566"):
        setup.look(settings(sqs_dlq_url=f"https://{host}/123456789012/q"))


@pytest.mark.parametrize("stream", ["cx.events", "e" * 69])
def test_a_stream_whose_queues_could_not_be_made_is_refused(stream: str) -> None:
    """A stream's name may have dots and 128 characters, a queue's has none and 80: else the stream alone were made."""
    named = {"sqs_dlq_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/q"}
    given = {"aws_region": "eu-west-1", "stream": stream}
    with pytest.raises(WrongSettingError, match=r"^SQS_DLQ_URL: is not set, and .*-dead-letters is no queue's name; "):
        setup.look(load(Setup, **given))
    with pytest.raises(WrongSettingError, match=r"^STREAM_ROUTER_TARGET_DLQ_ARN: .*-undelivered is no queue's name; "):
        setup.look(load(Setup, **given, **named))
    setup.look(load(Setup, **given, **named, target_dlq_arn=UNDELIVERED))
    setup.look(load(Setup, **given, **named, event_bus="arn:aws:events:eu-west-1:123456789012:event-busv2/b"))


def test_a_target_in_another_account_needs_a_role() -> None:
    """EventBridge reaches it with a role of the rule's account, also a queue, function or topic."""
    for target in ("sqs:eu-west-1:210987654321:out", "lambda:eu-west-1:210987654321:function:f"):
        given = settings(target_arn=f"arn:aws:{target}")
        with pytest.raises(WrongSettingError, match=r"^STREAM_ROUTER_TARGET_ROLE_ARN: is not set, .*another account; "):
            at_odds.check(given, HOME, DEAD, UNDELIVERED)
    on_their_bus = settings(
        target_arn="arn:aws:sqs:eu-west-1:210987654321:out",
        event_bus="arn:aws:events:eu-west-1:210987654321:event-bus/b",
    )
    at_odds.check(on_their_bus, HOME, DEAD, UNDELIVERED)
