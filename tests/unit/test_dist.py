"""`make dist`'s script: which folders it touches, the same bytes for the same sources, one line where it fails.

What it builds is installed by tests/system/test_install.py.
"""

import io
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "dist.py"


def test_a_named_folder_that_holds_something_is_left_as_it_is(tmp_path: Path) -> None:
    """The checkout's own `dist` alone is made anew without a question."""
    (tmp_path / "letters.jsonl").write_text("kept")
    ended = subprocess.run([sys.executable, SCRIPT, tmp_path], check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    assert f"{tmp_path} is not empty; name a new folder" in ended.stderr
    assert (tmp_path / "letters.jsonl").read_text() == "kept"


def test_help_is_no_folder(tmp_path: Path) -> None:
    """Asked for help it says what it takes, and builds nothing."""
    ended = subprocess.run([sys.executable, SCRIPT, "--help"], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert "folder" in ended.stdout
    assert not list(tmp_path.iterdir())


@pytest.fixture
def dist(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import dist

    return dist


def sdist(path: Path, names: list[str], stamp: int) -> Path:
    """As setuptools packs one: with a folder, and with owner, mode and time of each file."""
    with tarfile.open(path, "w:gz") as archive:
        folder = tarfile.TarInfo("product-1")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name in names:
            member = tarfile.TarInfo(f"product-1/{name}")
            member.size, member.mtime, member.uid, member.uname = len(name.encode()), stamp, stamp, f"user{stamp}"
            member.mode = 0o600 if stamp % 2 else 0o664
            archive.addfile(member, io.BytesIO(name.encode()))
    return path


def test_an_sdist_has_nothing_of_the_machine_in_it(dist: ModuleType, tmp_path: Path) -> None:
    """Two builders compare their checksums: owner, umask and time must not be in them. The content is all there."""
    made = [
        sdist(tmp_path / "one.tar.gz", ["setup.cfg", "b.py", "ü.py"], 1_000_000_001),
        sdist(tmp_path / "two.tar.gz", ["ü.py", "b.py", "setup.cfg"], 1_700_000_000),
    ]
    for path in made:
        dist.make_steady(path)
    assert made[0].read_bytes() == made[1].read_bytes()
    with tarfile.open(made[0]) as archive:
        assert {member.mode for member in archive} == {0o644}
        assert {member.name: archive.extractfile(member).read().decode() for member in archive} == {  # type: ignore[union-attr]
            f"product-1/{name}": name for name in ("b.py", "setup.cfg", "ü.py")
        }


def test_a_source_of_the_kcl_that_is_not_the_one_that_was_tested_is_refused(
    dist: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is the one package that we build ourselves: the hash in our locks is that of whatever was built."""
    version = dist.kclpy_wheel.pinned()
    text = f"from setuptools import setup; setup(name='amazon_kclpy', version='{version}')".encode()
    with tarfile.open(tmp_path / f"amazon_kclpy-{version}.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(f"amazon_kclpy-{version}/setup.py")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    (target := tmp_path / "target").mkdir()
    with pytest.raises(subprocess.CalledProcessError):
        dist.kclpy_wheel.build(Path(sys.executable), target)
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err
    assert not list(target.iterdir())


def test_the_release_notes_are_the_changelog_s_part_of_the_version(
    dist: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Up to the next version's heading; a version without a part is no release."""
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 0.2.0\n\nNew.\n\n## 0.1.0, first\n\nOld.\n")
    monkeypatch.setattr(dist, "ROOT", tmp_path)
    assert dist.notes("0.2.0") == "## 0.2.0\n\nNew.\n"
    assert dist.notes("0.1.0") == "## 0.1.0, first\n\nOld.\n"
    with pytest.raises(SystemExit, match=r"no part `## 0\.3\.0`"):
        dist.notes("0.3.0")
