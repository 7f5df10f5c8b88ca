"""The commands of the systemd units, each in a user namespace whose file system is read-only but for its own state."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.world import PROGRAM, World, until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(240)]

UNITS = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
CAN_UNSHARE = subprocess.run(["unshare", "-Urm", "true"], check=False, capture_output=True).returncode == 0

READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"'


def _command(unit: str, state: Path) -> list[str]:
    """The unit's ExecStart with the program of this environment, in a namespace where only `state` can be written."""
    (line,) = re.findall(r"^ExecStart=(.*)$", (UNITS / unit).read_text(), re.MULTILINE)
    program, *words = shlex.split(line)
    assert program == "/opt/stream-router/bin/stream-router"
    return ["unshare", "-Urm", "sh", "-c", READ_ONLY, str(state), PROGRAM, *words]


@pytest.mark.skipif(not CAN_UNSHARE, reason="user namespaces are not to be had here")
def test_both_units_work_with_a_read_only_file_system_and_drain(make_world: Callable[..., World]) -> None:
    """Receiver and consumer write only to their state folders; 50 events go through; SIGTERM ends both with 0."""
    world = make_world()
    state, spill = world.folder / "state", world.folder / "spill"
    for folder in (state, spill):
        folder.mkdir()
    world.start_stack()
    world.run_setup()
    receiver = world.start(
        "receive", *_command("stream-router-receive@.service", spill), STREAM_ROUTER_SPILL_DIR=str(spill)
    )
    consumer = world.start("consume", *_command("stream-router-consume.service", state))
    until(world.is_ready, 30, "the receiver is ready")
    until(lambda: len(world.children()) >= 2, 90, "two children run")
    sent = world.post_many(50, 50.0)
    world.all_arrived(sent, 60)
    for process in (receiver, consumer):
        process.terminate()
        assert process.wait(40) == 0
