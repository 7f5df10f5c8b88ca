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


def own(configured: Consumer, folder: Path, text: str) -> Consumer:
    """The same settings with a properties file of the operator's."""
    configured.properties = folder / "mine.properties"
    configured.properties.write_text(text)
    return configured


@pytest.mark.parametrize("found", [AWS, LOCAL], ids=["aws", "local"])
def test_the_daemon_is_told_what_nothing_is_lost_with(configured: Consumer, found: Endpoints) -> None:
    """From the first record on, also on quiet shards, with no time-out for a child that holds, and time to drain."""
    rendered = properties.render(configured, found, "host-1").properties
    assert rendered["initialPositionInStream"] == "TRIM_HORIZON"
    assert "timeoutInSeconds" not in rendered
    assert rendered["callProcessRecordsEvenForEmptyRecordList"] == "true"
    assert int(rendered["shutdownGraceMillis"]) >= 20_000
    told = [rendered[name] for name in ("streamName", "applicationName", "regionName", "workerId")]
    assert told == ["cxone-events", "cxone-event-router", "eu-west-1", "host-1"]


def test_only_an_emulator_gets_endpoints_and_its_overlay(configured: Consumer) -> None:
    """JSON for CBOR is for emulators alone; the overlay repeats nothing, and no `jvm.` line reaches the daemon."""
    configured.jvm_options = "-Xmx1g '-Dname=two words'"
    local, aws = (properties.render(configured, found, "w") for found in (LOCAL, AWS))
    assert local.properties["kinesisEndpoint"] == local.properties["dynamoDBEndpoint"] == LOCAL.kinesis
    assert not {"kinesisEndpoint", "dynamoDBEndpoint"} & aws.properties.keys()
    assert "-Daws.cborEnabled=false" in local.jvm_options
    assert not any("cbor" in option for option in aws.jvm_options)
    assert "-Dfile.encoding=UTF-8" in aws.jvm_options, "under LANG=C the daemon would damage what is not ASCII"
    assert aws.jvm_options[-2:] == ["-Xmx1g", "-Dname=two words"], "of two -Xmx Java takes the last"
    vpc = Endpoints("https://vpce-1.kinesis.eu-west-1.vpce.amazonaws.com", "")
    assert (LOCAL.is_local, AWS.is_local, vpc.is_local) == (True, False, False)
    assert not any(key.startswith("jvm.") for key in {**local.properties, **aws.properties})
    overlay, base = (
        properties.parse(properties.shipped(f"{name}.properties").read_text()) for name in ("local", "consumer")
    )
    assert not [key for key, value in overlay.items() if base.get(key) == value]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# mine\n\nmaxRecords = 7\n", {"initialPositionInStream": "TRIM_HORIZON"}),
        ("InitialPositionInStream = LATEST\n", {"InitialPositionInStream": "LATEST"}),
        ("initialPositionInStreamExtended = 1636609142\n", {"initialPositionInStreamExtended": "1636609142"}),
    ],
)
def test_a_file_of_the_operators_own_stands_alone(
    configured: Consumer, tmp_path: Path, text: str, told: dict[str, str]
) -> None:
    """Its lines, plus what the settings decide; it begins at the first record too, unless it says where."""
    rendered = properties.render(own(configured, tmp_path, text), LOCAL, "w").properties
    assert {key: value for key, value in rendered.items() if key.lower().startswith("initialposition")} == told
    assert "retrievalMode" not in rendered
    assert rendered["streamName"] == "cxone-events"


def test_what_is_the_programs_may_be_said_again(configured: Consumer, tmp_path: Path) -> None:
    """A copy of an older file says what the program says: no reason to refuse it."""
    text = "callProcessRecordsEvenForEmptyRecordList = TRUE\nvalidateSequenceNumberBeforeCheckpointing=false\n"
    rendered = properties.render(own(configured, tmp_path, text), AWS, "w").properties
    assert rendered["callProcessRecordsEvenForEmptyRecordList"] == "true"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("CallProcessRecordsEvenForEmptyRecordList = false", "sets callProcessRecordsEvenForEmptyRecordList otherwise"),
        ("skipShardSyncAtWorkerInitializationIfLeasesExist = false", "sets skipShardSyncAtWorkerInit.* otherwise"),
        ("validateSequenceNumberBeforeCheckpointing = true", "sets validateSequenceNumberBeforeCheckp.* otherwise"),
        ("timeoutInSeconds = 600", "sets timeoutInSeconds otherwise"),
        ("timeoutInSeconds =", "sets timeoutInSeconds otherwise"),
        ("StreamName = other", "sets StreamName"),
        ("streamArn = arn:aws:kinesis:eu-west-1:000000000000:stream/other", "sets streamArn"),
        ("tableName = other", "sets tableName"),
        ("workerIdentifier = me", "sets workerIdentifier"),
        ("kinesisEndpoint = https://kinesis.example", "sets kinesisEndpoint"),
        ("dynamoDBEndpoint = https://dynamodb.example", "sets dynamoDBEndpoint"),
        ("executableName = mine.py", "sets executableName"),
        ("shutdownGraceMillis = 20s", "shutdownGraceMillis to no number"),
        ("no pair", "is no `key = value`"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(
    configured: Consumer, tmp_path: Path, text: str | None, says: str
) -> None:
    """A key in two places, what nothing is lost without, or a line that is none: one line that says which."""
    configured.properties = tmp_path / "none"
    settings = configured if text is None else own(configured, tmp_path, f"{text}\n")
    with pytest.raises(SettingsError, match=f"^STREAM_ROUTER_PROPERTIES: .*{says}"):
        _ = properties.render(settings, AWS, "w").grace_s


def test_endpoints_are_found_as_boto3_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_ENDPOINT_URL for all, AWS_ENDPOINT_URL_KINESIS above it; none set: none told."""
    from stream_router.aws.endpoints import session

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert properties.configured_endpoints(session("eu-west-1")) == AWS
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:2")
    found = properties.configured_endpoints(session("eu-west-1"))
    assert found == Endpoints("http://127.0.0.1:2", "http://127.0.0.1:1")


def test_the_text_is_what_java_reads() -> None:
    """Backslashes, tabs and everything beyond ASCII are escaped, also beyond the basic plane."""
    rendered = properties.Rendered(Path("x"), {"a": "b\\c\td é😀"}, [])
    assert rendered.text() == "a = b\\\\c\\td \\u00e9\\ud83d\\ude00\n"


def test_the_childs_command_survives_the_daemons_splitting_and_takes_no_module_from_the_working_folder(
    configured: Consumer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The daemon splits at spaces and knows no quotes. Not somebody's `logging.py`: its code is what is installed.

    Until the child itself hears a stop it hears none.
    """
    command = properties.CHILD_COMMAND.split(" ")
    assert len(command) == 3
    *trap, end, exec_, _python, _m, _module = shlex.split(command[2])
    assert (trap, end, exec_) == (["trap", "", "TERM"], "&&", "exec")
    (tmp_path / "logging.py").write_text("raise SystemExit('not ours')")
    environment = java.environment(configured, tmp_path)
    environment |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
