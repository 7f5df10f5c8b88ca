"""What the KCL daemon is told: the rendered properties and the JVM's options."""

import shlex
import subprocess
from pathlib import Path

import pytest

from stream_router.consumer.supervisor import java, properties
from stream_router.consumer.supervisor.properties import Endpoints
from stream_router.errors import SettingsError
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load

AWS = Endpoints("", "")
LOCAL = Endpoints("http://127.0.0.1:4566", "http://127.0.0.1:4566")


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("SQS_DLQ_URL", "http://127.0.0.1/q")
    monkeypatch.delenv("STREAM_ROUTER_PROPERTIES", raising=False)
    return load(Consumer)


@pytest.mark.parametrize("found", [AWS, LOCAL], ids=["aws", "local"])
def test_reading_begins_at_the_first_record(configured: Consumer, found: Endpoints) -> None:
    """With LATEST, what was accepted before the first lease would be skipped: TRIM_HORIZON, everywhere."""
    assert properties.render(configured, found, "w").properties["initialPositionInStream"] == "TRIM_HORIZON"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("maxRecords = 7\n", {"initialPositionInStream": "TRIM_HORIZON"}),
        ("InitialPositionInStream = LATEST\n", {"InitialPositionInStream": "LATEST"}),
        ("initialPositionInStreamExtended = 1636609142\n", {"initialPositionInStreamExtended": "1636609142"}),
    ],
)
def test_a_file_of_the_operators_own_begins_there_too_unless_it_says_where(
    configured: Consumer, tmp_path: Path, text: str, told: dict[str, str]
) -> None:
    """The KCL begins with LATEST where nobody says; a file that bounds reads says nothing of events to be skipped."""
    own = tmp_path / "own.properties"
    own.write_text(text)
    rendered = properties.render(configured.model_copy(update={"properties": own}), AWS, "w").properties
    assert {key: value for key, value in rendered.items() if key.lower().startswith("initialposition")} == told


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("callProcessRecordsEvenForEmptyRecordList = false", "callProcessRecordsEvenForEmptyRecordList"),
        ("CallProcessRecordsEvenForEmptyRecordList = false", "callProcessRecordsEvenForEmptyRecordList"),
        (
            "skipShardSyncAtWorkerInitializationIfLeasesExist = false",
            "skipShardSyncAtWorkerInitializationIfLeasesExist",
        ),
        ("validateSequenceNumberBeforeCheckpointing = true", "validateSequenceNumberBeforeCheckpointing"),
        ("timeoutInSeconds = 600", "timeoutInSeconds"),
        ("timeoutInSeconds =", "timeoutInSeconds"),
    ],
)
def test_what_is_the_programs_is_refused_otherwise(configured: Consumer, tmp_path: Path, line: str, named: str) -> None:
    """Without empty calls, with a time-out or with a question for each checkpoint events would come again or stand."""
    own = tmp_path / "own.properties"
    own.write_text(f"{line}\n")
    with pytest.raises(SettingsError, match=f"^STREAM_ROUTER_PROPERTIES: .* sets {named} otherwise .*; leave it out$"):
        properties.render(configured.model_copy(update={"properties": own}), AWS, "w")


def test_what_is_the_programs_may_be_said_again(configured: Consumer, tmp_path: Path) -> None:
    """A copy of an older file says what the program says: no reason to refuse it."""
    own = tmp_path / "own.properties"
    own.write_text("callProcessRecordsEvenForEmptyRecordList = TRUE\nvalidateSequenceNumberBeforeCheckpointing=false\n")
    rendered = properties.render(configured.model_copy(update={"properties": own}), AWS, "w").properties
    assert rendered["callProcessRecordsEvenForEmptyRecordList"] == "true"
    assert rendered["validateSequenceNumberBeforeCheckpointing"] == "false"


@pytest.mark.parametrize("found", [AWS, LOCAL], ids=["aws", "local"])
def test_the_daemon_has_no_time_out_for_a_holding_child(configured: Consumer, found: Endpoints) -> None:
    """timeoutInSeconds would halt the JVM while the world is down; a quiet shard's child is called all the same."""
    rendered = properties.render(configured, found, "w").properties
    assert "timeoutInSeconds" not in rendered
    assert rendered["callProcessRecordsEvenForEmptyRecordList"] == "true"
    assert int(rendered["shutdownGraceMillis"]) >= 20_000


def test_production_is_told_what_the_settings_say(configured: Consumer) -> None:
    """Names, region, worker and command come from the settings; AWS's own endpoints are left to the daemon."""
    rendered = properties.render(configured, AWS, "host-1")
    assert rendered.source.name == "consumer.properties"
    assert rendered.properties["streamName"] == "cxone-events"
    assert rendered.properties["applicationName"] == "cxone-event-router"
    assert rendered.properties["regionName"] == "eu-west-1"
    assert rendered.properties["workerId"] == "host-1"
    assert "kinesisEndpoint" not in rendered.properties
    assert "dynamoDBEndpoint" not in rendered.properties


def test_json_instead_of_cbor_is_for_emulators_only(configured: Consumer) -> None:
    """The flag is in the local options and not in production's; no `jvm.` line reaches the daemon."""
    local, aws = (properties.render(configured, found, "w") for found in (LOCAL, AWS))
    assert "-Daws.cborEnabled=false" in local.jvm_options
    assert not any("cbor" in option for option in aws.jvm_options)
    assert local.properties["kinesisEndpoint"] == local.properties["dynamoDBEndpoint"] == "http://127.0.0.1:4566"
    assert local.properties["metricsLevel"] == "NONE"
    assert not any(key.startswith("jvm.") for key in {**local.properties, **aws.properties})


@pytest.mark.parametrize("found", [AWS, LOCAL], ids=["aws", "local"])
def test_the_pipes_are_utf8_and_the_operators_options_come_last(configured: Consumer, found: Endpoints) -> None:
    """Under LANG=C the daemon would damage what is not ASCII; of two -Xmx, Java takes the last."""
    configured.jvm_options = "-Xmx1g '-Dname=two words'"
    options = properties.render(configured, found, "w").jvm_options
    assert "-Dfile.encoding=UTF-8" in options
    assert options[-2:] == ["-Xmx1g", "-Dname=two words"]
    assert any(option.startswith("-Xmx") for option in options[:-2])


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:4566", True),
        ("http://localhost:4566", True),
        ("http://[::1]:4566", True),
        ("https://vpce-1.kinesis.eu-west-1.vpce.amazonaws.com", False),
        ("http://10.0.0.7:4566", False),
        ("", False),
    ],
)
def test_only_a_loopback_kinesis_is_an_emulator(url: str, local: bool) -> None:
    """A VPC endpoint or another host's address does not switch to the local file."""
    assert Endpoints(url, "").is_local is local


def test_endpoints_are_found_as_boto3_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_ENDPOINT_URL for all, AWS_ENDPOINT_URL_KINESIS above it; none set: none told."""
    from stream_router.aws.endpoints import session

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert properties.configured_endpoints(session("eu-west-1")) == Endpoints("", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:2")
    assert properties.configured_endpoints(session("eu-west-1")) == Endpoints(
        "http://127.0.0.1:2", "http://127.0.0.1:1"
    )


def test_a_file_of_the_operators_own_replaces_ours(configured: Consumer, tmp_path: Path) -> None:
    """STREAM_ROUTER_PROPERTIES: its lines, plus what the settings decide."""
    configured.properties = tmp_path / "mine.properties"
    configured.properties.write_text("# mine\n\ninitialPositionInStream = LATEST\nmaxRecords=5\n")
    rendered = properties.render(configured, AWS, "w").properties
    assert rendered["maxRecords"] == "5"
    assert rendered["streamName"] == "cxone-events"
    assert "retrievalMode" not in rendered


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("streamName = other\n", "sets streamName"),
        ("StreamName = other\n", "sets StreamName"),
        ("streamArn = arn:aws:kinesis:eu-west-1:000000000000:stream/other\n", "sets streamArn"),
        ("tableName = other\n", "sets tableName"),
        ("workerIdentifier = me\n", "sets workerIdentifier"),
        ("kinesisEndpoint = https://kinesis.example\n", "sets kinesisEndpoint"),
        ("dynamoDBEndpoint = https://dynamodb.example\n", "sets dynamoDBEndpoint"),
        ("executableName = mine.py\n", "sets executableName"),
        ("no pair\n", "is no `key = value`"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(configured: Consumer, tmp_path: Path, text: str, says: str) -> None:
    """A key in two places, or a line that is none: one line that says which."""
    configured.properties = tmp_path / "mine.properties"
    configured.properties.write_text(text)
    with pytest.raises(SettingsError, match=f"^STREAM_ROUTER_PROPERTIES: .*{says}"):
        properties.render(configured, AWS, "w")


def test_a_grace_that_is_no_number_is_refused(configured: Consumer, tmp_path: Path) -> None:
    """One line, no traceback; where the file says nothing the KCL's own five seconds hold."""
    configured.properties = tmp_path / "mine.properties"
    for text, grace_s in (("", 5.0), ("shutdownGraceMillis = 20000\n", 20.0)):
        configured.properties.write_text(text)
        assert properties.render(configured, AWS, "w").grace_s == grace_s
    configured.properties.write_text("shutdownGraceMillis = 20s\n")
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_PROPERTIES: .* shutdownGraceMillis to no number"):
        _ = properties.render(configured, AWS, "w").grace_s


def test_a_file_that_is_not_there_is_refused(configured: Consumer, tmp_path: Path) -> None:
    """One line with the variable, no traceback."""
    configured.properties = tmp_path / "none"
    with pytest.raises(SettingsError, match=r"STREAM_ROUTER_PROPERTIES: .* cannot be read"):
        properties.render(configured, AWS, "w")


def test_the_text_is_what_java_reads(configured: Consumer) -> None:
    """Backslashes, tabs and everything beyond ASCII are escaped, also beyond the basic plane."""
    rendered = properties.Rendered(Path("x"), {"a": "b\\c\td é😀"}, [])
    assert rendered.text() == "a = b\\\\c\\td \\u00e9\\ud83d\\ude00\n"


def test_the_childs_command_survives_the_daemons_splitting_at_spaces() -> None:
    """The daemon splits at spaces and knows no quotes; the shell then gets one word, with the interpreter whole.

    Until the child itself hears a stop it hears none.
    """
    words = properties.CHILD_COMMAND.split(" ")
    assert words[:2] == ["/bin/sh", "-c"]
    assert len(words) == 3
    *trap, end, exec_, python, dash_m, module = shlex.split(words[2])
    assert (trap, end) == (["trap", "", "TERM"], "&&")
    assert [exec_, python, dash_m, module] == ["exec", "${STREAM_ROUTER_CHILD}", "-m", "stream_router.consumer.child"]


def test_a_child_takes_no_module_from_the_folder_that_consume_was_started_in(
    configured: Consumer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not somebody's `logging.py` in /tmp, nor the package of a checkout: its code is what is installed."""
    (tmp_path / "logging.py").write_text("raise SystemExit('not ours')")
    environment = java.environment(configured, tmp_path)
    environment |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    monkeypatch.chdir(tmp_path)
    command = properties.CHILD_COMMAND.split(" ")
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_line_of_the_shipped_files_has_its_reason() -> None:
    """Production's file: no setting without a comment above it."""
    before = ""
    for line in properties.shipped("consumer.properties").read_text().splitlines():
        if line and not line.startswith("#"):
            assert before.startswith("#"), line
        before = line


def test_an_emulator_gets_production_s_properties_with_a_few_over_them(configured: Consumer) -> None:
    """local.properties is an overlay: it repeats nothing, and what it does not name is as in production."""
    local, aws = (properties.render(configured, found, "w").properties for found in (LOCAL, AWS))
    overlay = properties.parse(properties.shipped("local.properties").read_text("utf-8"))
    base = properties.parse(properties.shipped("consumer.properties").read_text("utf-8"))
    assert {key: local[key] for key in aws if key not in overlay} == {
        key: value for key, value in aws.items() if key not in overlay
    }
    assert not [key for key, value in overlay.items() if base.get(key) == value]


def test_a_file_of_the_operator_s_own_stands_alone(configured: Consumer, tmp_path: Path) -> None:
    """Against an emulator too: nothing that it does not say comes from elsewhere."""
    own = tmp_path / "own.properties"
    own.write_text("maxRecords = 7\n")
    rendered = properties.render(configured.model_copy(update={"properties": own}), LOCAL, "w")
    assert rendered.source == own
    assert rendered.properties["maxRecords"] == "7"
    assert "retrievalMode" not in rendered.properties
