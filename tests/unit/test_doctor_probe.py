"""`doctor --end-to-end` where something on its way breaks: a finding says it, and the rest of the report stands."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from stream_router.checks import Verdict, ok
from stream_router.operate.doctor import probe
from stream_router.operate.doctor.world import World
from tests.environment import given

pytestmark = pytest.mark.usefixtures("empty_environment")

SILENT = EndpointConnectionError(endpoint_url="https://events.eu-west-1.amazonaws.com/")
REFUSED = ClientError({"Error": {"Code": "AccessDenied"}}, "PutRule")
URL = "http://127.0.0.1:9"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    settings = {"STREAM_ROUTER_WEBHOOK_SCHEME": "hmac", "STREAM_ROUTER_WEBHOOK_SECRETS": "s" * 32}
    given(monkeypatch, {"AWS_REGION": "eu-west-1", **settings})
    return World()


def caught(monkeypatch: pytest.MonkeyPatch, before: Exception | None, after: Exception | None = None) -> None:
    """The probe's rule and queue, which cannot be made, or cannot be taken away."""

    @contextmanager
    def stand_in(*_: Any) -> Iterator[str]:
        if before:
            raise before
        yield "url"
        if after:
            raise after

    monkeypatch.setattr(probe, "_caught", stand_in)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (SILENT, "gave no answer at events.eu-west-1.amazonaws.com (EndpointConnectionError)"),
        (REFUSED, "may not be looked at (AccessDenied)"),
        (KeyError("Rules"), "it failed (KeyError)"),
    ],
)
def test_whatever_breaks_before_the_probe_is_a_finding(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    """No answer is one as much as a refusal; the checks before it are not lost."""
    caught(monkeypatch, error)
    found = probe.run(world, URL)
    assert [one.code for one in found] == [*probe.CHECKS]
    assert found[0].verdict is Verdict.UNKNOWN
    assert says in found[0].says
    assert found[0].cure
    assert {one.verdict for one in found[1:]} == {Verdict.SKIPPED}


def test_a_probe_sends_no_secret_in_the_clear(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule and the queue are not made either, and the finding says what to give."""
    caught(monkeypatch, AssertionError())
    assert world.receive is not None
    world.receive = world.receive.model_copy(update={"webhook_scheme": "bearer"})
    found = probe.run(world, "http://receiver.example/v1/events")
    assert (found[0].verdict, found[0].setting) == (Verdict.WRONG, "--url")
    assert found[0].says == "bearer would send the secret itself over plain HTTP"
    assert found[0].cure.startswith("give https://")


def test_a_rule_that_cannot_be_taken_away_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe came through, and its rule may be left: whoever runs this has to look."""
    caught(monkeypatch, None, REFUSED)
    monkeypatch.setattr(probe, "_follow", lambda *_: [ok(code, "came through") for code in probe.CHECKS])
    found = probe.run(world, URL)
    assert [one.code for one in found] == [*probe.CHECKS]
    assert [one.verdict for one in found] == [Verdict.WELL, Verdict.WELL, Verdict.UNKNOWN]
    assert "may be left" in found[2].says
