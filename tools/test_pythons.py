"""Runs the quick tests on every Python that setup.cfg names: `python tools/test_pythons.py FOLDER`.

Each Python is looked for on PATH and in pyenv, and gets an environment of its own in FOLDER. One line each at the end;
exit 1 where tests failed, or where no Python was found at all.
"""

import argparse
import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/unit", "tests/property", "tests/contract")


def main() -> None:
    """Test on one Python after the other; what is not on this machine is said and passed over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.absolute()
    results = {version: test_on(version, folder / version) for version in versions()}
    for version, result in results.items():
        say(f"Python {version}: {result}")
    if "passed" not in results.values() or any(result.startswith("FAILED") for result in results.values()):
        sys.exit(1)


def versions() -> list[str]:
    """The minor versions that the package's metadata names, oldest first."""
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg", "utf-8")
    names = metadata["metadata"]["classifiers"].split("\n")
    prefix = "Programming Language :: Python :: 3."
    return [name.removeprefix("Programming Language :: Python :: ") for name in names if name.startswith(prefix)]


def test_on(version: str, environment: Path) -> str:
    """What came of one version: passed, FAILED, or not found."""
    python = find(version)
    if python is None:
        return "not found (neither on PATH nor in pyenv)"
    say(f"Python {version}: {python}")
    if subprocess.run([str(python), str(ROOT / "tools" / "make_env.py"), str(environment)], check=False).returncode:
        return "FAILED (no environment)"
    tests = [str(environment / "bin" / "python"), "-m", "pytest", *TESTS]
    return "FAILED" if subprocess.run(tests, check=False, cwd=ROOT).returncode else "passed"


def find(version: str) -> Path | None:
    """The newest Python of a minor version in pyenv, else the one on PATH."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    numbered = {path.name.rpartition(".")[2]: path / "bin" / "python" for path in pyenv.glob(f"{version}.*")}
    patches = [patch for patch in numbered if patch.isdecimal()]
    on_path = shutil.which(f"python{version}")
    # pyenv's own `python3.12` on PATH is a shim, which refuses where that version is not the chosen one.
    if patches:
        return numbered[max(patches, key=int)]
    return Path(on_path) if on_path else None


def say(text: str) -> None:
    """One line of progress."""
    sys.stdout.write(f"test-pythons: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
