"""What `make dist` builds of our own: who has only that folder has the documents and the files to deploy with, too."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_sdist_brings_the_documents_and_the_files_to_deploy_with(tmp_path: Path) -> None:
    """Messages name pages of docs, and its pages files of deploy. The wheel has the package alone."""
    program = "import sys, pathlib, dist; dist.build_own(*map(pathlib.Path, sys.argv[1:]))"
    words = [sys.executable, "-c", program, sys.executable, str(tmp_path)]
    subprocess.run(words, cwd=ROOT / "tools", check=True, capture_output=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as sdist:
        brought = {name.partition("/")[2] for name in sdist.getnames()}
    tracked = subprocess.run(
        ["git", "ls-files", "docs", "deploy"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert {*tracked, "README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "NOTICE"} <= brought
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        assert {name.rpartition("licenses/")[2] for name in wheel.namelist() if "/licenses/" in name} == {
            "LICENSE",
            "NOTICE",
        }
        tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top.partition("-")[0] for top in tops} == {"stream_router"}, tops
