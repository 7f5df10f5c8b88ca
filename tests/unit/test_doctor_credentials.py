"""`doctor` asks for credentials once: for each time a program may be started, or a person asked for a code."""

import io
import threading
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials as BotoCredentials
from urllib3.response import HTTPResponse

from stream_router.aws import credentials
from stream_router.checks.finding import Verdict
from stream_router.control.doctor import command, runner
from stream_router.control.doctor.checks import account
from stream_router.control.doctor.world import World
from stream_router.errors import SettingsError
from tests.environment import given

pytestmark = pytest.mark.usefixtures("empty_environment")


class Chain:
    """Stands for botocore's chain, and counts how often it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.asked = 0
        self._error = error
        monkeypatch.setattr(credentials, "find", self._find)

    def _find(self, _: Any) -> Any:
        self.asked += 1
        if self._error:
            raise self._error
        return BotoCredentials("AKIDEXAMPLE", "secret", method="custom-process")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    given(monkeypatch, {"AWS_REGION": "eu-west-1"})
    made = World(offline=False)
    made.once("identity", lambda: {"Account": "123456789012", "Arn": "arn", "ResponseMetadata": {}})
    return made


def test_every_check_shares_what_one_found(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    """However many run at once: a code of a second factor is good for one of them."""
    chain = Chain(monkeypatch)
    many = [threading.Thread(target=account.stands_in_the_way, args=(world,)) for _ in range(8)]
    for one in many:
        one.start()
    for one in many:
        one.join()
    assert account.found(world).verdict is Verdict.WELL
    assert chain.asked == 1


def test_what_cannot_be_had_is_asked_for_once_too(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    """A person who mistyped is not asked again by each check; SR013 has nobody's time to compare."""
    chain = Chain(monkeypatch, credentials.CredentialsError("AWS credentials: they cannot be had (X); check it"))
    assert account.found(world).verdict is Verdict.WRONG
    assert account.identity(world).verdict is Verdict.SKIPPED
    assert account.clock(world).verdict is Verdict.SKIPPED
    assert chain.asked == 1


@pytest.mark.parametrize("offline", [True, False])
def test_credentials_are_there_before_the_checks_have_their_deadline(
    monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    """Who types a code takes longer than all the checks may; offline nobody is asked."""
    given(monkeypatch, {"AWS_REGION": "eu-west-1"})
    chain = Chain(monkeypatch, SettingsError("AWS credentials: none found; give some"))
    before: list[int] = []

    def run(*_: Any, **__: Any) -> list[runner.Result]:
        before.append(chain.asked)
        return []

    monkeypatch.setattr(runner, "run", run)
    command.run(command.Wish(offline=offline))
    assert before == [0 if offline else 1]


def test_iam_is_asked_again_where_it_throttles(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    """SR170, SR171: it answers few simulations a second, and two checks ask for a dozen and more."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    result = "SimulatePrincipalPolicyResult"
    answers = [
        (400, "<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>"),
        (200, f"<R><{result}><IsTruncated>false</IsTruncated><EvaluationResults/></{result}></R>"),
    ]

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        status, body = answers.pop(0)
        return AWSResponse(
            request.url, status, HTTPHeaders(), HTTPResponse(io.BytesIO(body.encode()), preload_content=False)
        )

    iam = world.client("iam")
    iam.meta.events.register("before-send", answer)
    who = "arn:aws:iam::123456789012:role/consume"
    assert iam.simulate_principal_policy(PolicySourceArn=who, ActionNames=["a:b"])["EvaluationResults"] == []
    assert not answers
