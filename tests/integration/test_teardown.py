"""`teardown` against ministack: all that `setup` made and nothing else, and nothing while something holds events."""

from collections.abc import Iterator
from typing import Any

import pytest

from stream_router.aws.clients import Clients
from stream_router.control.setup import setup, teardown
from stream_router.local.environment import ACCOUNT, REGION
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load

TARGET = f"arn:aws:sqs:{REGION}:{ACCOUNT}:out"
TAGS = {"stream-router-setup": "s", "team": "cx"}


@pytest.fixture
def made(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    """A set-up of its own, and after the test nothing of it. The emulator, one server, knows its messages at once."""
    monkeypatch.setattr(teardown, "LOOKS_S", 0)
    clients.sqs.create_queue(QueueName="out")
    setup.ensure(settings(), clients, lambda _: None, plan=False)
    yield clients
    teardown.run(settings(), yes=True, force=True)


def settings(**given: Any) -> Setup:
    wanted = {"stream": "s", "rule": "r", "event_bus": "cx", "target_arn": TARGET, "tags": "team=cx", **given}
    return load(Setup, **wanted)


def present(clients: Clients) -> dict[str, list[str]]:
    """All that is there, of whoever."""
    return {
        "streams": clients.kinesis.list_streams()["StreamNames"],
        "queues": sorted(url.rsplit("/", 1)[-1] for url in clients.sqs.list_queues().get("QueueUrls", [])),
        "buses": sorted(bus["Name"] for bus in clients.events.list_event_buses()["EventBuses"]),
        "rules": sorted(
            rule["Name"]
            for bus in clients.events.list_event_buses()["EventBuses"]
            for rule in clients.events.list_rules(EventBusName=bus["Name"])["Rules"]
        ),
    }


def test_all_that_setup_makes_carries_its_tag_and_the_operators(made: Clients) -> None:
    """Stream, bus, rule, both queues."""
    assert {tag["Key"]: tag["Value"] for tag in made.kinesis.list_tags_for_stream(StreamName="s")["Tags"]} == TAGS
    for arn in ("event-bus/cx", "rule/cx/r"):
        listed = made.events.list_tags_for_resource(ResourceARN=f"arn:aws:events:{REGION}:{ACCOUNT}:{arn}")["Tags"]
        assert {tag["Key"]: tag["Value"] for tag in listed} == TAGS
    for name in ("s-dead-letters", "s-undelivered"):
        url = made.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        assert made.sqs.list_queue_tags(QueueUrl=url)["Tags"] == TAGS


def test_without_yes_it_only_shows(made: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    """Each thing on a line of its own, and how to delete them."""
    before = present(made)
    assert teardown.run(settings(), yes=False, force=False) == 0
    assert present(made) == before
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("- ")] == [
        "- rule r on bus cx, its 1 targets",
        "- event bus cx",
        "- queue s-undelivered",
        "- queue s-dead-letters",
        "- stream s",
    ]
    assert lines[-1].endswith("run `stream-router teardown --yes`")


def test_with_yes_everything_of_ours_goes_and_nothing_else(made: Clients) -> None:
    """The target's queue was there before, and another deployment's things are another's."""
    setup.ensure(settings(stream="other", rule="r2", event_bus="default"), made, lambda _: None, plan=False)
    assert teardown.run(settings(), yes=True, force=False) == 0
    left = present(made)
    assert left == {
        "streams": ["other"],
        "queues": ["other-dead-letters", "other-undelivered", "out"],
        "buses": ["default"],
        "rules": ["r2"],
    }
    assert teardown.run(settings(stream="other", rule="r2", event_bus="default"), yes=True, force=False) == 0
    assert present(made) == {"streams": [], "queues": ["out"], "buses": ["default"], "rules": []}


@pytest.mark.parametrize("holder", ["stream", "dead letters"])
def test_while_something_holds_events_nothing_is_deleted(
    made: Clients, capsys: pytest.CaptureFixture[str], holder: str
) -> None:
    """A record that was read counts too: replay needs it. --force deletes all the same."""
    if holder == "stream":
        made.kinesis.put_record(StreamName="s", Data=b"{}", PartitionKey="x")
    else:
        url = made.sqs.get_queue_url(QueueName="s-dead-letters")["QueueUrl"]
        made.sqs.send_message(QueueUrl=url, MessageBody="{}")
    before = present(made)
    assert teardown.run(settings(), yes=True, force=False) == 1
    assert present(made) == before
    said = capsys.readouterr().out
    assert said.splitlines()[-1].endswith("`teardown --yes --force` deletes them too")
    assert teardown.run(settings(), yes=False, force=True) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("`stream-router teardown --yes --force`")
    assert ("stream s: holds events" if holder == "stream" else "queue s-dead-letters: holds 1 messages") in said
    assert teardown.run(settings(), yes=True, force=True) == 0
    assert present(made)["streams"] == []


def test_what_does_not_carry_the_tag_stays(made: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody made the stream by hand, or took it over."""
    made.kinesis.remove_tags_from_stream(StreamName="s", TagKeys=["stream-router-setup"])
    try:
        assert teardown.run(settings(), yes=True, force=True) == 0
        assert "stream s stays: it does not carry the tag stream-router-setup" in capsys.readouterr().out
        assert present(made)["streams"] == ["s"]
    finally:
        made.kinesis.delete_stream(StreamName="s")


def test_a_bus_with_rules_of_others_stays(made: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    """Deleting it would take their events away."""
    made.events.put_rule(Name="theirs", EventBusName="cx", EventPattern='{"source":["x"]}')
    try:
        assert teardown.run(settings(), yes=True, force=True) == 0
        assert "event bus cx stays: it has rules of others (theirs)" in capsys.readouterr().out
        assert present(made)["rules"] == ["theirs"]
    finally:
        made.events.delete_rule(Name="theirs", EventBusName="cx")


def test_targets_of_others_on_our_rule_hold_it(made: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    """Someone attached a target of his own to our rule: deleting it would take his events away."""
    made.events.put_targets(Rule="r", EventBusName="cx", Targets=[{"Id": "theirs", "Arn": TARGET}])
    assert teardown.run(settings(), yes=True, force=False) == 1
    assert "rule r on bus cx, its 2 targets: holds 1 targets of others" in capsys.readouterr().out
