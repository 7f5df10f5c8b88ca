"""The README's first command on a bare Debian: no python3-venv, no Java, no compiler, not root.

Needs root (for the chroot) and `mmdebstrap`, Debian's package; reaches Debian, PyPI and Maven Central.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests import bare_debian
from tests.bare_debian import USER

pytestmark = bare_debian.marks("mmdebstrap", "unshare", "git")

PACKAGES = "python3,make,ca-certificates"


class Machine:
    """A minimal Debian in a folder, with the checkout in its user's home."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "debian"
        result = bare_debian.command(PACKAGES, self.root)
        done = subprocess.run(result, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        for name in ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"):
            shutil.copy(f"/{name}", self.root / name)
        home = self.root / "home" / "user"
        (home / "app").mkdir(parents=True)
        archive = subprocess.run(
            ["git", "archive", "HEAD"], cwd=bare_debian.ROOT, capture_output=True, check=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", str(home / "app")], input=archive, check=True)
        subprocess.run(["chown", "-R", USER, str(home)], check=True)

    def run(self, user: str, command: str) -> "subprocess.CompletedProcess[str]":
        """As this user, in an environment with nothing of this machine's but where packages come from."""
        kept = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        environment = {**kept, "HOME": "/home/user", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            bare_debian.inside(self.root, user, ["/bin/sh", "-c", command]),
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


def test_the_demo_s_one_line_cures_and_then_it_is_green(tmp_path: Path) -> None:
    """The first `make demo` names the package that is missing; with it the same command loses no event."""
    machine = Machine(tmp_path)
    make = "cd ~/app && make demo"
    first = machine.run(USER, make)
    assert first.returncode != 0
    cures = re.findall(r"`(apt-get install [\w.-]+)`", first.stderr)
    assert len(cures) == 1, first.stderr
    assert "Traceback" not in first.stderr
    cured = machine.run("0:0", f"apt-get -q update && {cures[0]} -y")
    assert cured.returncode == 0, cured.stderr
    assert machine.run(USER, "command -v java").returncode != 0
    again = machine.run(USER, make)
    assert again.returncode == 0, again.stdout[-3000:] + again.stderr[-3000:]
    assert re.search(r"\blost\W+0\b", again.stdout), again.stdout[-3000:]
