"""The image of deploy/Containerfile, built on Debian's packages and run as it should be: read-only, not root, as PID 1.

Needs root, `buildah` and `mmdebstrap` (Debian's packages); no registry of images. Part of `make deploy-check`.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from stream_router.consumer.supervisor import jars
from tests import bare_debian
from tests.bare_debian import ROOT, USER
from tests.system.world import World, until

pytestmark = bare_debian.marks("buildah", "mmdebstrap", "unshare")

BASE_PACKAGES = "python3,python3-venv,ca-certificates"
READ_ONLY = """
mount -t tmpfs -o uid=10001,gid=10001,mode=0700 state "$root/var/lib/stream-router"
mount -o remount,bind,ro "$root"
"""
"""What a container runtime does with `--read-only` and a volume for the state."""


class Image(NamedTuple):
    """The image's files, mounted, and what its configuration says."""

    root: Path
    config: dict[str, object]

    def command(self, *words: str) -> list[str]:
        """The words as a container would run them."""
        return bare_debian.inside(self.root, USER, words, READ_ONLY)

    @property
    def environment(self) -> dict[str, str]:
        env = self.config["Env"]
        assert isinstance(env, list)
        return dict(line.split("=", 1) for line in env)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Built anew from `make dist`; everything of it goes with the test."""
    folder = tmp_path_factory.mktemp("image")
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}

    def run(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command[0]} {command[1]}: {done.stderr[-2000:]}"
        return done.stdout.strip()

    def buildah(*words: str | Path) -> str:
        return run("buildah", "--root", folder / "store", "--runroot", folder / "run", *words)

    run(sys.executable, ROOT / "tools" / "dist.py")
    run(*bare_debian.command(BASE_PACKAGES, folder / "base.tar"))
    scratch = buildah("from", "scratch")
    buildah("add", "--quiet", scratch, folder / "base.tar", "/")
    buildah("commit", "--quiet", scratch, "localhost/base")
    offer = ("--pull-never", "--network", "host", "--volume", "/etc/ssl/certs:/etc/ssl/certs:ro")
    buildah("build", *offer, "--build-arg", "BASE=localhost/base", "-f", "deploy/Containerfile", "-t", "made", ".")
    config = json.loads(buildah("inspect", "--type", "image", "made"))["OCIv1"]["config"]
    root = Path(buildah("mount", buildah("from", "--pull-never", "made")))
    yield Image(root, config)
    buildah("umount", "--all")
    shutil.rmtree(folder)


def test_the_image_says_how_it_is_run(image: Image) -> None:
    """Not root, SIGTERM, volumes for what it writes, one entry point for all commands; no compiler and no pip in it."""
    assert image.config["User"] == USER
    assert image.config["StopSignal"] == "SIGTERM"
    assert image.config["Entrypoint"] == ["stream-router"]
    assert set(image.config["Volumes"]) == {"/var/lib/stream-router", "/var/spool/stream-router"}  # type: ignore[call-overload]
    for program in ("cc", "gcc", "make", "javac"):
        assert not list(image.root.glob(f"usr/bin/{program}"))
    own = image.root / "opt" / "stream-router"
    for package in ("pip", "setuptools"):
        assert not list(own.glob(f"lib/python3*/site-packages/{package}"))
    assert {path.name for path in own.glob("share/stream_router/jars/*")} == {jar.name for jar in jars.list_jars()}
    assert json.loads((own / "share/stream_router/sbom.cdx.json").read_text())["bomFormat"] == "CycloneDX"


def test_receiver_and_consumer_work_in_it_and_drain(image: Image, make_world: Callable[..., World]) -> None:
    """Read-only but for the state, as user 10001 and PID 1: 1,000 events go through, SIGTERM ends it with 0."""
    world = make_world()
    world.start_stack()
    world.run_setup()
    own = {"PATH": image.environment["PATH"], "STREAM_ROUTER_STATE_DIR": image.environment["STREAM_ROUTER_STATE_DIR"]}
    # What leads a program of this machine astray in a root of its own.
    world.environment = {
        k: v for k, v in world.environment.items() if not k.startswith(("VIRTUAL_ENV", "JAVA", "PYTHON"))
    }
    assert isinstance(image.config["Entrypoint"], list)
    entry = [f"/opt/stream-router/bin/{word}" for word in image.config["Entrypoint"]]
    outside = {**own, "PATH": f"{own['PATH']}:/usr/sbin:/sbin"}
    receiver = world.start("receive", *image.command(*entry, "receive"), **outside)
    consumer = world.start("consume", *image.command(*entry, "consume"), **outside)
    until(world.is_ready, 30, "the receiver is ready")
    until(lambda: len(world.children()) >= 2, 120, "two children run")
    sent = world.post_many(1_000, 50.0)
    world.all_arrived(sent, 60)
    for program in ("receive", "consume"):
        probe = image.command(*entry, "health", program)
        health = subprocess.run(
            probe, env={**world.environment, **outside}, capture_output=True, text=True, check=False
        )
        assert (health.returncode, health.stdout.count(" 200 ")) == (0, 1), health.stderr
    for process in (receiver, consumer):
        (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        status = Path(f"/proc/{first}/status").read_text()
        assert re.search(r"^NSpid:\s+\d+\s+1$", status, re.MULTILINE), "the program is PID 1 of its namespace"
        assert re.search(r"^Uid:\s+10001\s", status, re.MULTILINE)
        os.kill(int(first), signal.SIGTERM)
        assert process.wait(40) == 0
