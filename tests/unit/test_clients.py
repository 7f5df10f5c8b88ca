"""The control plane's clients: what is wrong with the AWS variables is a settings error, in one line with the cure."""

from pathlib import Path

import pytest

from stream_router.aws.clients import Clients
from stream_router.errors import SettingsError

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


@pytest.mark.parametrize("program", ["echo trouble", "false", "/no/such/program"])
def test_a_credential_program_that_fails_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str
) -> None:
    """Its answer is no JSON: a ValueError of botocore as well, but not the endpoint's."""
    file = tmp_path / "config"
    file.write_text(f"[default]\ncredential_process = {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert _refused().startswith("AWS credentials: they cannot be had (")
