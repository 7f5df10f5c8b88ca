"""docs/expert.md and docs/studio.md: their settings, and their senders in Python and Node, against a receiver."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import needs_programs
from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import ReceiverProcess, eventually, receiver

DOCS = Path(__file__).parents[2] / "docs"
OLD, NEW = "the old secret of this sender", "the new secret of this sender"


def pasted(page: str) -> dict[str, str]:
    """Return the settings of a page's `export` lines, without their prefix."""
    text = (DOCS / page).read_text("utf-8")
    return dict(re.findall(r"(?m)^export STREAM_ROUTER_(\w+)=(\S+)$", text))


def send(page: str, kind: str, folder: Path, url: str, secret: str) -> subprocess.CompletedProcess[str]:
    """Run the sender of one language as it stands on the page."""
    (result,) = re.findall(rf"(?s)```{kind} (\S+)\n(.*?)```", (DOCS / page).read_text("utf-8"))
    script = folder / result[0]
    script.write_text(result[1], "utf-8")
    program = sys.executable if kind == "python" else "node"
    environment = {"PATH": os.environ["PATH"], "URL": url, "SECRET": secret}
    return subprocess.run(
        [program, str(script)], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def ids(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the ids of a sender's 202."""
    status, _, body = done.stdout.partition(" ")
    assert status == "202", done
    return list(json.loads(body)["ids"])


@pytest.mark.parametrize("kind", ["python", pytest.param("javascript", marks=needs_programs("node"))])
@pytest.mark.parametrize("page", ["expert.md", "studio.md"])
def test_a_page_s_sender_is_taken_through_a_rotation(tmp_path: Path, page: str, kind: str) -> None:
    """With the page's settings: the old secret, both, then the new one alone; a stranger's is refused.

    Studio's second try, with the same delivery id, is the same event.
    """
    secrets = tmp_path / "secrets"
    secrets.write_text(f"{OLD}\n")
    settings = {**pasted(page), "WEBHOOK_SECRETS": f"file:{secrets}"}
    with FakeAwsProcess() as fake_aws, receiver(fake_aws.url, tmp_path, **settings) as running:
        url = f"{running.url}/v1/events"
        first, again = (ids(send(page, kind, tmp_path, url, OLD)) for _ in range(2))
        assert first == again or page != "studio.md"
        secrets.write_text(f"{OLD}\n{NEW}\n")
        eventually(lambda: changes(running) == 1)
        assert all(ids(send(page, kind, tmp_path, url, secret)) for secret in (OLD, NEW))
        secrets.write_text(f"{NEW}\n")
        eventually(lambda: changes(running) == 2)
        assert "401" in f"{(refused := send(page, kind, tmp_path, url, OLD)).stdout}{refused.stderr}"
        assert ids(send(page, kind, tmp_path, url, NEW))


def changes(running: ReceiverProcess) -> int:
    """Return how often the receiver has logged that its secrets changed."""
    return len([line for line in running.lines("INFO") if line.get("event") == "secrets-changed"])
