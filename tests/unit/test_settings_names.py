"""Names that no program knows: refused with the nearest known one, but for what others put into the environment."""

from pathlib import Path

import pytest

from stream_router.checks.finding import Verdict
from stream_router.consumer.supervisor.daemon import jvm_command
from stream_router.control.doctor import runner
from stream_router.control.doctor.catalogue import CHECKS
from stream_router.control.doctor.world import World
from stream_router.cxone.settings import Cxone
from stream_router.errors import SettingsError
from stream_router.local import environment
from stream_router.settings.common import variable
from stream_router.settings.consumer import Consumer
from stream_router.settings.environment import names
from stream_router.settings.environment.reading import load
from stream_router.settings.receiver import Receiver
from stream_router.settings.setup import Setup
from tests.unit import test_settings
from tests.unit.test_settings import CONSUMER, CXONE, RECEIVER, SETUP, given

empty_environment = test_settings.empty_environment


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("STREAM_ROUTER_SPIL_DIR", "STREAM_ROUTER_SPILL_DIR"),
        ("STREAM_ROUTER_WEBHOOK_SECRET", "STREAM_ROUTER_WEBHOOK_SECRETS"),
        ("STREAM_ROUTER_MAX_ENTRY", "STREAM_ROUTER_MAX_ENTRIES"),
        ("STREAM_ROUTER_stream_name", "STREAM_ROUTER_STREAM"),
        ("stream_router_maskin", "STREAM_ROUTER_MASKING"),
        ("STREAM_ROUTER_SQS_DLQ_URL", "SQS_DLQ_URL"),
        ("STREAM_ROUTER_TARGET_ARN", "EVENTBRIDGE_TARGET_ARN"),
    ],
)
@pytest.mark.parametrize(("kind", "good"), [(Receiver, RECEIVER), (Consumer, CONSUMER), (Setup, SETUP)])
def test_a_mistyped_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: type[Setup], good: dict[str, str], typo: str, meant: str
) -> None:
    """It would do nothing: no spill, another stream, no mask. The line names the one that was meant."""
    given(monkeypatch, {**good, typo: "x"})
    with pytest.raises(SettingsError, match=rf"^{typo}: is no setting .*; did you mean {meant}\?"):
        load(kind)


def test_a_name_like_no_other_is_refused_with_the_way_to_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wild guess."""
    given(monkeypatch, {**SETUP, "STREAM_ROUTER_QQQXYZ": "x"})
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_QQQXYZ: .*; unset it; `stream-router config`"):
        load(Setup)


def test_a_missing_setting_comes_after_its_mistyped_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """`is not set` would send the operator the wrong way: it is set, under another name."""
    given(monkeypatch, {"AWS_REGION": "us-east-1", "STREAM_ROUTER_WEBHOOK_SCHEM": "hmac"})
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_WEBHOOK_SCHEM: "):
        load(Receiver)


def test_a_rollback_can_pass_over_a_newer_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `warn` each unknown name is a line in the log instead."""
    given(monkeypatch, {**SETUP, "STREAM_ROUTER_OF_TOMORROW": "x", "STREAM_ROUTER_UNKNOWN": "warn"})
    load(Setup)
    lines = names.warnings({"STREAM_ROUTER_OF_TOMORROW": "x", "STREAM_ROUTER_STREAM": "s"})
    assert [line.partition(":")[0] for line in lines] == ["STREAM_ROUTER_OF_TOMORROW"]


def test_an_empty_value_of_a_newer_name_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer version's template gives one to each setting that was not asked for, and the older image starts."""
    given(monkeypatch, {**SETUP, "STREAM_ROUTER_OF_TOMORROW": ""})
    load(Setup)
    assert not names.warnings({"STREAM_ROUTER_OF_TOMORROW": "", "CXONE_OF_TOMORROW": ""})


@pytest.mark.parametrize(
    "name",
    [
        *("STREAM_ROUTER_SERVICE_HOST", "STREAM_ROUTER_SERVICE_PORT", "STREAM_ROUTER_SERVICE_PORT_HTTP"),
        *("STREAM_ROUTER_PORT", "STREAM_ROUTER_PORT_8080_TCP", "STREAM_ROUTER_PORT_8080_TCP_ADDR"),
        *("STREAM_ROUTER_RECEIVER_SERVICE_HOST", "STREAM_ROUTER_RECEIVER_PORT_443_TCP_PROTO"),
    ],
)
def test_what_kubernetes_puts_there_is_passed_over(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A Service called stream-router, or stream-router-receiver, is the likeliest of all."""
    given(monkeypatch, {**SETUP, name: "tcp://10.0.0.1:8080"})
    load(Setup)
    assert not names.warnings({name: "x"})


def test_what_one_program_reads_the_others_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """They share environments: a good setting of another program is nobody's fault, nor is a bad one of it."""
    given(monkeypatch, {**SETUP, "STREAM_ROUTER_SPILL_DIR": "/x", "STREAM_ROUTER_CHECKPOINT_S": "1"})
    load(Setup)


def test_an_unknown_cxone_name_only_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prefix is not ours alone: other tools for CXone have settings of their own."""
    given(monkeypatch, {**SETUP, "CXONE_TENANT": "t"})
    load(Setup)
    (line,) = names.warnings({"CXONE_CLIENT_SECRT": "s"})
    assert line.startswith("CXONE_CLIENT_SECRT: is no setting")
    assert line.endswith("did you mean CXONE_CLIENT_SECRET?")


def test_the_known_cxone_names_are_those_that_the_client_reads() -> None:
    """The list in settings/environment/names.py is no second truth."""
    read = {variable(Cxone, name) for name in Cxone.model_fields}
    assert {name for name in read if name.startswith("CXONE_")} == names.OF_CXONE


def test_a_setting_has_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field with a name of its own is not read under our prefix as well."""
    given(monkeypatch, {**SETUP, "STREAM_ROUTER_UNKNOWN": "warn", "STREAM_ROUTER_TARGET_ARN": "arn:aws:sqs:x:1:q"})
    assert load(Setup).target_arn is None


def test_cxone_reads_no_name_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """AUTH_URL or ISSUER may be any program's: CXone's credentials would be sent there."""
    given(monkeypatch, CXONE)
    expected = load(Cxone)
    given(
        monkeypatch,
        {name.upper(): "https://elsewhere.example" for name in Cxone.model_fields if not name.startswith("ssl_cert_")},
    )
    assert load(Cxone) == expected


@pytest.mark.parametrize("name", ["stream_router_stream", "Stream_Router_STREAM", "aws_region"])
def test_a_setting_in_two_spellings_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Names are read in whatever case: which of the two held was chance, and the other did nothing."""
    given(monkeypatch, {**RECEIVER, "STREAM_ROUTER_STREAM": "one", "AWS_REGION": "eu-west-1", name: "other"})
    with pytest.raises(SettingsError, match=rf"^{name.upper()}: is set as {name} too; unset one of them$"):
        load(Receiver)
    (found,) = runner.run([one for one in CHECKS if one.code == "SR004"], World(offline=True))
    assert (found.finding.verdict, found.finding.setting) == (Verdict.WRONG, name.upper())
    monkeypatch.setenv(name, "")
    assert load(Receiver).stream == "one"


def test_what_the_supervisor_sets_for_its_children_stands_there_in_one_spelling(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else a child would refuse what its parent took."""
    names = ("stream_router_state_dir", "aws_region")
    given(monkeypatch, CONSUMER)
    monkeypatch.delenv("AWS_REGION")
    given(monkeypatch, dict(zip(names, (str(tmp_path), "eu-west-1"), strict=True)))
    made = jvm_command.environment(load(Consumer), tmp_path / "state")
    assert not made.keys() & {*names}
    assert (made["AWS_REGION"], made["STREAM_ROUTER_STATE_DIR"]) == ("eu-west-1", str(tmp_path / "state"))


def test_the_embedded_stack_gets_no_setting_in_whatever_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo is to run as it always does, and a spelling beside its own would be refused."""
    given(monkeypatch, {"stream_router_masking": "strict", "aws_region": "eu-west-1", "sqs_dlq_url": "http://x/y"})
    made = environment.clean("http://127.0.0.1:1", "mark")
    assert not [name for name in made if name.lower().startswith(("stream_router_m", "sqs_")) or name == "aws_region"]
