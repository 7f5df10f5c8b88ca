"""Credentials that the Python programs can have, and the KCL's daemon, which is Java, cannot."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.session import Session

from stream_router.aws import credentials
from stream_router.checks import Verdict
from stream_router.consumer.state_dir import StateDir
from stream_router.consumer.supervisor import assembly, java
from stream_router.consumer.supervisor.properties import Rendered
from stream_router.errors import SettingsError
from stream_router.operate.doctor import host
from stream_router.operate.doctor.world import World
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load
from tests.environment import given

pytestmark = pytest.mark.usefixtures("empty_environment")

CONFIG = """
[profile center]
sso_session = ours
sso_account_id = 123456789012
sso_role_name = Operator
[sso-session ours]
sso_start_url = https://ours.awsapps.com/start
sso_region = eu-west-1
[profile legacy]
sso_start_url = https://ours.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = Operator
[profile role]
role_arn = arn:aws:iam::123456789012:role/consume
source_profile = center
[profile role-by-keys]
role_arn = arn:aws:iam::123456789012:role/consume
source_profile = keys
[profile role-by-itself]
role_arn = arn:aws:iam::123456789012:role/consume
source_profile = role-by-itself
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = secret
[profile keys]
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = secret
[profile exported]
credential_process = echo '{"Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret"}'
"""


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Sets a profile of CONFIG; AWS is not asked for anything."""
    (tmp_path / "config").write_text(CONFIG)

    def chosen(name: str, **more: str) -> Session:
        config = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": "/none"}
        given(monkeypatch, {"AWS_REGION": "eu-west-1", "AWS_PROFILE": name, **config, **more})
        return Session()

    return chosen


def rendered(provider: str = "DefaultCredentialsProvider") -> Rendered:
    return Rendered(Path("consumer.properties"), {"AwsCredentialsProvider": provider}, [])


@pytest.mark.parametrize("name", ["center", "legacy", "role"])
def test_a_profile_that_signs_in_is_refused(profile: Any, name: str) -> None:
    """No jar of the daemon's knows how; a profile that hands over what another has signed in for does for both."""
    with pytest.raises(SettingsError, match=r"AWS_PROFILE: .*; name a profile with `credential_process = "):
        java.check_credentials(profile(name), rendered())


@pytest.mark.parametrize("name", ["keys", "role-by-keys", "role-by-itself", "exported"])
def test_what_java_knows_as_well_is_not(profile: Any, name: str) -> None:
    """Keys, a role that is taken with keys, a program: both read them from the same profile."""
    java.check_credentials(profile(name), rendered())


def test_keys_in_the_environment_come_before_a_profile(profile: Any) -> None:
    """For Java as for boto3."""
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
    java.check_credentials(profile("center", **keys), rendered())


def test_another_provider_of_the_operators_is_not_judged(profile: Any) -> None:
    """The daemon may then get its credentials from elsewhere."""
    java.check_credentials(profile("center"), rendered("ProfileCredentialsProvider|profileName=exported"))


def test_consume_does_not_start_with_one(monkeypatch: pytest.MonkeyPatch, profile: Any, tmp_path: Path) -> None:
    """It would start a daemon again and again that finds no credentials, and read nothing."""
    profile("center")
    monkeypatch.setattr(credentials, "find", lambda _: None)  # they are there, for us
    queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/d"
    with StateDir(tmp_path / "state") as state, pytest.raises(SettingsError, match="AWS_PROFILE: its profile signs in"):
        assembly._run(load(Consumer, sqs_dlq_url=queue), state)


@pytest.mark.parametrize(
    ("queue", "verdict"), [("https://sqs.eu-west-1.amazonaws.com/123456789012/d", Verdict.WARNING), ("", Verdict.WELL)]
)
def test_doctor_warns_of_it(monkeypatch: pytest.MonkeyPatch, profile: Any, queue: str, verdict: Verdict) -> None:
    """SR010: who asks may be no consumer; where the settings are none of `consume` nothing is said of its daemon."""
    profile("center", **({"SQS_DLQ_URL": queue} if queue else {}))
    monkeypatch.setattr(credentials, "find", lambda session: session.get_credentials())
    who = {"Account": "123456789012", "Arn": "arn"}
    monkeypatch.setattr(World, "client", lambda *_: SimpleNamespace(get_caller_identity=lambda: who))
    (found, *_) = host.ACCOUNT.look(World())
    assert (found.code, found.verdict) == ("SR010", verdict)
