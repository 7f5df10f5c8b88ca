"""`doctor --end-to-end` where something on its way breaks: a finding says it, and the rest of the report stands."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from stream_router.checks.finding import Finding, Verdict
from stream_router.control.doctor import probe
from stream_router.control.doctor.say import ok
from stream_router.control.doctor.world import World
from tests.environment import given

pytestmark = pytest.mark.usefixtures("empty_environment")

ENDPOINT = "https://events.eu-west-1.amazonaws.com/"
SILENT = EndpointConnectionError(endpoint_url=ENDPOINT)
REFUSED = ClientError({"Error": {"Code": "AccessDenied"}}, "PutRule")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    given(
        monkeypatch,
        {
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac",
            "STREAM_ROUTER_WEBHOOK_SECRETS": "s" * 32,
        },
    )
    return World(offline=False)


def raising(world: World, name: str, error: Exception) -> None:
    """Whoever asks the world for this hears `error`."""

    def ask() -> None:
        raise error

    with pytest.raises(type(error)):
        world.once(name, ask)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (SILENT, "no answer at events.eu-west-1.amazonaws.com (EndpointConnectionError)"),
        (REFUSED, "PutRule was refused (AccessDenied)"),
        (KeyError("Rules"), "the check itself failed (KeyError)"),
    ],
)
def test_whatever_breaks_before_the_probe_is_a_finding(world: World, error: Exception, says: str) -> None:
    """SR200: no answer is one as much as a refusal; the checks before it are not lost."""
    raising(world, "rules", error)
    found = probe.run(world, "http://127.0.0.1:9")
    assert [one.code for one in found] == list(probe.CODES)
    assert (found[0].verdict, found[0].says) == (Verdict.UNKNOWN, says)
    assert found[0].cure
    assert {one.verdict for one in found[1:]} == {Verdict.SKIPPED}


def test_a_probe_sends_no_secret_in_the_clear(world: World) -> None:
    """SR201: the rule and the queue are not made either, and the finding says what to give."""
    assert world.receive is not None
    world.receive = world.receive.model_copy(update={"webhook_scheme": "bearer"})
    world.once("rules", list)
    found = probe.run(world, "http://receiver.example/v1/events")
    assert (found[1].code, found[1].verdict, found[1].setting) == ("SR201", Verdict.WRONG, "--url")
    assert found[1].says == "bearer would send the secret itself over plain HTTP"
    assert found[1].cure.startswith("give https://")


def test_what_was_found_before_it_breaks_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """SR201: the rules were looked at, and the probe's own rule is refused."""

    @contextmanager
    def caught(_: probe.Way) -> Iterator[str]:
        raise REFUSED
        yield ""

    monkeypatch.setattr(probe.Way, "caught", caught)
    world.once("rules", list)
    found = probe.run(world, "http://127.0.0.1:9")
    assert [one.verdict for one in found] == [Verdict.WELL, Verdict.UNKNOWN, Verdict.SKIPPED, Verdict.SKIPPED]
    assert (found[1].code, found[1].says) == ("SR201", "PutRule was refused (AccessDenied)")


def test_a_rule_that_cannot_be_taken_away_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """SR203: the probe came through, and its rule may be left: whoever runs this has to look."""

    @contextmanager
    def caught(_: probe.Way) -> Iterator[str]:
        yield "url"
        raise REFUSED

    def follow(_: probe.Way, _queue: str) -> list[Finding]:
        return [ok(code, "came through") for code in probe.CODES[1:]]

    monkeypatch.setattr(probe.Way, "caught", caught)
    monkeypatch.setattr(probe, "_follow", follow)
    world.once("rules", list)
    found = probe.run(world, "http://127.0.0.1:9")
    assert [one.code for one in found] == list(probe.CODES)
    assert [one.verdict for one in found] == [Verdict.WELL, Verdict.WELL, Verdict.WELL, Verdict.UNKNOWN]
    assert "may be left" in found[3].says
