"""Clients of botocore's, and the data plane's credentials, where AWS ends those that they have."""

import time
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from stream_router.aws import credentials, endpoints
from stream_router.aws.credentials import CredentialSource
from stream_router.errors import code_of
from tests.raw_server import RawServer, Seen, answer

CONFIG = Config(retries={"total_max_attempts": 1})
EXPIRED = b'{"__type": "ExpiredTokenException", "message": "The security token included in the request is expired"}'


def judge(seen: Seen) -> bytes:
    """AWS, which has ended the old credentials."""
    if "Credential=NEW/" in seen.headers["authorization"]:
        return answer(200, b'{"Name": "b"}', Content_Type="application/x-amz-json-1.1")
    return answer(400, EXPIRED, Content_Type="application/x-amz-json-1.1")


class Host:
    """Where a program runs: its file of credentials, its clock, and the client that it has made."""

    def __init__(self, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._file = folder / "credentials"
        self._environment = monkeypatch
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(self._file))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "none"))
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        self.write("OLD")
        monkeypatch.setattr(credentials, "LOOK_AGAIN_S", 0.0)
        self.session = endpoints.session("us-east-1")
        self._client = endpoints.client(self.session, "events", CONFIG)

    def write(self, key: str) -> None:
        self._file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n" if key else "")

    def says(self, key: str) -> None:
        self._environment.setenv("AWS_ACCESS_KEY_ID", key)
        self._environment.setenv("AWS_SECRET_ACCESS_KEY", "s")

    def answers(self) -> bool:
        try:
            return bool(self._client.describe_event_bus(Name="b"))
        except ClientError as error:
            return code_of(error) != "ExpiredTokenException"


def test_credentials_that_were_renewed_in_their_file_are_taken_once_the_old_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the file was empty meanwhile, or has the old ones still."""
    with RawServer(judge) as server:
        host = Host(server.url, tmp_path, monkeypatch)
        assert not host.answers()
        assert not host.answers()
        host.write("")
        assert not host.answers()
        host.write("NEW")
        assert host.answers()
        host.write("OTHER")  # who changes a profile meanwhile moves nothing to another account
        assert host.answers()


def test_credentials_of_another_kind_of_source_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be of another account, which has a bus and a stream of the same names."""
    with RawServer(judge) as server:
        host = Host(server.url, tmp_path, monkeypatch)
        assert not host.answers()
        host.says("NEW")
        assert not host.answers()


def test_the_data_plane_takes_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread looks once AWS has refused those that it has, and not before."""
    monkeypatch.setattr(credentials, "REFRESH_EVERY_S", 0.001)
    source = CredentialSource(Host("http://127.0.0.1:1", tmp_path, monkeypatch).session)
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = NEW\naws_secret_access_key = s\n")
    time.sleep(0.1)
    assert source().access_key == "OLD"
    source.refused()
    deadline_s = time.monotonic() + 10
    while source().access_key != "NEW":
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    source.close()
