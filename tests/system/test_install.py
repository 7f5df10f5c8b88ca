"""A host without a checkout: the two commands of docs/install.md, as they stand there, on what `make dist` makes."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(600)]


def shell(command: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "STREAM_ROUTER_"))}
    environment |= {"PATH": f"{folder}/env/bin:{os.environ['PATH']}", "HOME": str(folder / "home"), **more}
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def commands() -> list[str]:
    """The code block of the page."""
    match = re.search(r"Two commands:\n\n```\n(.*?)```", (ROOT / "docs" / "install.md").read_text("utf-8"), re.DOTALL)
    assert match
    return match[1].splitlines()


def test_two_commands_install_it(tmp_path: Path) -> None:
    """Then Java loads the daemon from 87 whole jars, none of amazon_kclpy's own; the programs read their settings."""
    subprocess.run([sys.executable, ROOT / "tools" / "dist.py", tmp_path / "dist"], check=True, capture_output=True)
    venv.create(tmp_path / "env", with_pip=True, symlinks=True)
    (tmp_path / "home").mkdir()
    lines = commands()
    assert len(lines) == 2
    for command in lines:
        done = shell(command, tmp_path)
        assert done.returncode == 0, done.stderr
    proof = shell("python -m stream_router.consumer.supervisor.java", tmp_path)
    assert proof.stdout.strip().endswith("loads the KCL daemon from 87 jars"), proof.stderr
    assert not list((tmp_path / "env").rglob("amazon_kclpy/jars/*.jar"))
    for program, needed in (("receive", "STREAM_ROUTER_WEBHOOK_SCHEME"), ("consume", "SQS_DLQ_URL")):
        ended = shell(f"stream-router {program}", tmp_path, AWS_REGION="us-east-1")
        assert ended.returncode == 78
        assert ended.stderr.startswith(f"stream-router: {needed}: is not set")
    checked = shell("cd dist && sha256sum --check SHA256SUMS", tmp_path)
    assert checked.returncode == 0, checked.stdout
    again = [sys.executable, str(ROOT / "tools" / "dist.py"), str(tmp_path / "again")]
    subprocess.run(again, check=True, capture_output=True, umask=0o077)
    sums = [(tmp_path / folder / "SHA256SUMS").read_text() for folder in ("dist", "again")]
    assert sums[0] == sums[1], "whoever builds it gets the same bytes"
    jar = next((tmp_path / "env" / "share" / "stream_router" / "jars").glob("kinesis-*.jar"))
    jar.write_bytes(jar.read_bytes()[:-1])
    broken = shell("python -m stream_router.consumer.supervisor.java", tmp_path)
    assert (broken.returncode, broken.stderr.count("\n")) == (1, 1)
    assert "was cut short; run `stream-router jars`" in broken.stderr
    assert shell("stream-router jars", tmp_path).returncode == 0
