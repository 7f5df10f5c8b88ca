"""The control plane's clients: what is wrong with the AWS variables is a settings error, in one line with the cure."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stream_router.aws import credentials, endpoints
from stream_router.aws.clients import Clients
from stream_router.aws.credentials import CredentialSource
from stream_router.errors import SettingsError
from stream_router.receiver import preflight

CANARY = "s3cr3t-c4n4ry"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


def _used(region: str) -> None:
    clients = Clients(region)
    assert clients.partition
    assert clients.kinesis


def _refused(region: str = "us-east-1") -> str:
    with pytest.raises(SettingsError) as caught:
        _used(region)
    line = str(caught.value)
    assert "\n" not in line
    assert "; " in line, "no cure"
    assert CANARY not in line
    return line


@pytest.mark.parametrize(
    "url",
    [
        *(CANARY, "http://", f"http://{CANARY}@[bad", "http://127.0.0.1:99999", f"http://127.0.0.1:{CANARY}"),
        *(f"ftp://{CANARY}", f"ws://{CANARY}"),
    ],
)
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"])
def test_an_endpoint_that_is_no_url_is_a_settings_error(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    """Not botocore's ValueError, and the value is not quoted: there may be a password in it."""
    monkeypatch.setenv(variable, url)
    assert _refused().startswith("AWS_ENDPOINT_URL")


def test_a_profile_that_is_not_there_is_a_settings_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which one."""
    monkeypatch.setenv("AWS_PROFILE", "nope")
    assert "nope" in _refused()


def test_a_region_that_is_none_is_a_settings_error() -> None:
    """Whatever stands in AWS_REGION."""
    assert "AWS_REGION" in _refused("x y")


def test_a_credential_program_that_fails_is_told_as_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its answer is no JSON: a ValueError of botocore as well, but not the endpoint's."""
    file = tmp_path / "config"
    file.write_text("[default]\ncredential_process = echo trouble\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert _refused().startswith("AWS credentials: ")


@pytest.mark.parametrize("program", ["echo trouble", "false", "/no/such/program"])
def test_the_receiver_and_the_consumer_refuse_a_broken_credential_program_alike(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str
) -> None:
    """One check for both: whatever botocore raises is the same line, which ends the program with 78."""
    monkeypatch.setattr(credentials, "PATIENCE_S", 0.0)  # a program that fails once is asked again for so long
    file = tmp_path / "config"
    file.write_text(f"[default]\ncredential_process = {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    settings: Any = SimpleNamespace(aws_region="us-east-1")
    with pytest.raises(SettingsError) as of_receiver:
        preflight.find_stream(settings)
    with pytest.raises(SettingsError) as of_consumer:
        CredentialSource(endpoints.session("us-east-1"))
    assert str(of_receiver.value) == str(of_consumer.value)
    assert str(of_receiver.value).startswith("AWS credentials: they cannot be had (")
