"""`doctor` on this host: what of the settings only shows when it is tried."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stream_router.aws import credentials, secret_store
from stream_router.checks.finding import Verdict
from stream_router.control.doctor.checks import cxone_check, host
from stream_router.control.doctor.world import World
from tests.environment import given

pytestmark = pytest.mark.usefixtures("empty_environment")

CONSUME = {"AWS_REGION": "eu-west-1", "SQS_DLQ_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/dead"}


def _file(folder: Path) -> Path:
    made = folder / "file"
    made.touch()
    return made


PLACES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a file": (_file, "Not a directory"),
    "below a file": (lambda folder: _file(folder) / "deeper", "Not a directory"),
    "where nothing can be made": (lambda _: Path("/proc/none"), "No such file or directory"),
    "there, and not to be written": (lambda _: Path("/proc"), "No such file or directory"),
    "too long": (lambda folder: folder / ("x" * 300), "File name too long"),
}


@pytest.mark.parametrize("variable", ["STREAM_ROUTER_STATE_DIR", "STREAM_ROUTER_AUDIT_DIR"])
@pytest.mark.parametrize("place", PLACES)
def test_a_folder_that_cannot_be_written_is_found_before_consume_ends_by_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, place: str
) -> None:
    """Writing is tried: rights tell root nothing, and a disk may be mounted read-only."""
    make, why = PLACES[place]
    given(monkeypatch, {**CONSUME, variable: str(make(tmp_path))})
    found = host.consume_settings(World(offline=True))
    assert (found.verdict, found.setting) == (Verdict.WRONG, variable)
    assert found.says == f"cannot be written ({why})"
    assert found.cure == "name a writable folder"


def test_a_folder_that_can_be_written_is_well_and_nothing_is_left_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that is not there yet is not made: `consume` makes it."""
    there, later = tmp_path / "there", tmp_path / "later" / "deeper"
    there.mkdir()
    folders = {"STREAM_ROUTER_STATE_DIR": str(there), "STREAM_ROUTER_AUDIT_DIR": str(later)}
    given(monkeypatch, {**CONSUME, **folders})
    assert host.consume_settings(World(offline=True)).verdict is Verdict.WELL
    assert list(tmp_path.rglob("*")) == [there]


RECEIVE = {"AWS_REGION": "eu-west-1", "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac"}
SOURCE = """[[cxone.sources]]
type = "webhook"
name = "expert"
url = "https://cx.example/v1/events/expert"
scheme = "expert"
secrets = "ssm:/expert"
"""


@pytest.mark.parametrize(
    ("raised", "verdict", "says"),
    [
        (
            secret_store.SecretUnreadableError("ThrottlingException", outage=True),
            Verdict.UNKNOWN,
            "ThrottlingException",
        ),
        (secret_store.SecretUnreadableError("ParameterNotFound"), Verdict.WRONG, "ParameterNotFound"),
        (credentials.CredentialsError("AWS credentials: none found; set some"), Verdict.SKIPPED, "waits for SR010"),
    ],
)
def test_a_secret_of_aws_that_cannot_be_asked_for_is_no_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, verdict: Verdict, says: str
) -> None:
    """AWS that is silent says nothing of a setting, and of missing credentials SR010 tells."""

    def fetch(*_: object) -> str:
        raise raised

    monkeypatch.setattr(secret_store, "fetch", fetch)
    key = {"STREAM_ROUTER_MASKING": "default", "STREAM_ROUTER_MASKING_KEY": "ssm:/key"}
    given(monkeypatch, {**CONSUME, **RECEIVE, **key, "STREAM_ROUTER_WEBHOOK_SECRETS": "ssm:/secret"})
    client = {"CXONE_CLIENT_ID": "id", "CXONE_CLIENT_SECRET": "ssm:/cxone"}
    given(monkeypatch, {**client, "CXONE_AUTH_URL": "http://127.0.0.1:9"})
    for look in (host.receive_settings, host.consume_settings, cxone_check.credentials):
        found = look(World(offline=False))
        assert found.verdict is verdict
        assert says in found.says


def test_offline_no_secret_of_a_named_source_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where it stands in AWS; what else is wrong with the file is told all the same."""
    monkeypatch.setattr(secret_store, "fetch", lambda *_: pytest.fail("asked for the secret"))
    file = tmp_path / "sources.toml"
    file.write_text(SOURCE)
    given(monkeypatch, {"AWS_REGION": "eu-west-1", "STREAM_ROUTER_CONFIG": str(file)})
    assert host.receive_settings(World(offline=True)).verdict is Verdict.WELL
    file.write_text(SOURCE.replace("secrets", "secrett"))
    assert host.receive_settings(World(offline=True)).verdict is Verdict.WRONG
