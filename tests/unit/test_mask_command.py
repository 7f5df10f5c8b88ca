"""What an operator sees of a masking policy: `stream-router mask` path by path, the audit record, the dead letters."""

import re
import signal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from rich.console import Console

from stream_router.consumer.child.assembly import Child
from stream_router.consumer.destinations import DestinationEndpoints, Destinations
from stream_router.dead_letter_reasons import Reason
from stream_router.model import DeadLetter, Entry
from stream_router.operate import mask
from stream_router.pipeline.transform import Transform
from tests.environment import set_environment
from tests.events import BODY, NOW_MS, config_of, consumer, event

DOCS = Path(__file__).parents[2] / "docs"


def run_preview(policy: str, sample: Path, status: int = 0) -> str:
    """What the command prints, on a terminal as wide as need be."""
    console = Console(width=300)
    with console.capture() as captured:
        assert mask.run(policy, sample, console=console) == status
    return captured.get()


POLICY = """
base = "default"
search = ["payload.note"]
drop = ["payload.secret"]
keep_last = [["payload.phone2", 4]]
"""
SEEN: dict[str, tuple[Any, dict[str, str]]] = {
    # A field of the payload, its value, and the verdict at each of its paths.
    "contactId": (40938475, {"": "passed"}),
    "ani": ("+4930901820", {"": "hashed"}),
    "tier": ("gold", {"": "redacted"}),
    "note": ("call anna@example.com", {"": "searched"}),
    "loyalty": (
        {"card": {"no": 4711, "name": "Anna"}, "points": [1, 2]},
        {".card.no": "redacted", ".card.name": "redacted", ".points[]": "redacted"},
    ),
    "by": ({"anna@example.com": {"x": "y"}}, {".*.x": "redacted"}),
    "secret": ("s", {"": "dropped"}),
    "phone2": ("4930901820", {"": "keeps its last characters"}),
}


def test_each_path_has_its_verdict(tmp_path: Path) -> None:
    """Passed, hashed, redacted, searched, dropped, cut; also each path in what is redacted whole."""
    (tmp_path / "mine.toml").write_text(POLICY)
    sample = tmp_path / "sample.json"
    sample.write_bytes(orjson.dumps({**BODY, "payload": {name: value for name, (value, _) in SEEN.items()}}))
    text = run_preview(str(tmp_path / "mine.toml"), sample)
    rows = (re.split(r"\s*[│┃]\s*", line.strip("│┃ ")) for line in text.splitlines() if "│" in line)
    wanted = {f"payload.{name}{path}": output for name, (_, paths) in SEEN.items() for path, output in paths.items()}
    assert {row[0]: row[1] for row in rows if row[0].startswith("payload")} == wanted
    assert "entries are tagged pii-masked-partly" in text
    assert not [name for name in ("call [EMAIL]", "****1820", "_MASKING_KEY is not set") if name not in text]
    assert '  "payload.tier",' in text.splitlines(), "the line that would let it pass"


CUSTOMER = {
    "contactId": "40938475",
    "customFields": {"tier": "gold", "contract": "K-4711", "branch": "Freiburg", "birthday": "1990-02-01"},
    "customer": {"name": "Anna Meyer", "email": "anna@example.com"},
    "transcript": [{"by": "Anna Meyer", "text": "My card is 4111 1111 1111 1111, ring 0761 4567890 or 020 7946 0018."}],
}


def test_a_policy_for_a_customer_is_made_by_following_the_page(tmp_path: Path) -> None:
    """Three custom fields allowed, the transcript searched for Germany and the UK: the page's own example."""
    (text,) = re.findall(r"```toml\n(.*?)```", (DOCS / "masking.md").read_text(), re.DOTALL)
    (tmp_path / "support.toml").write_text(text)
    config = config_of(masking=str(tmp_path / "support.toml"), masking_key="0123456789abcdef")
    sent = Transform(config, lambda: NOW_MS)(event({**BODY, "payload": CUSTOMER}))
    assert isinstance(sent, Entry)
    detail = orjson.loads(sent.detail)
    assert detail["payload"]["customer"].pop("email").startswith("hmac:")
    assert detail["payload"] == {
        "contactId": "40938475",
        "customFields": {"tier": "gold", "contract": "K-4711", "branch": "Freiburg", "birthday": "[REDACTED]"},
        "customer": {"name": "[REDACTED]"},
        "transcript": [{"by": "[REDACTED]", "text": "My card is [CARD], ring [PHONE] or [PHONE]."}],
    }
    assert detail["metadata"]["complianceTag"] == "pii-masked-partly"
    assert detail["metadata"]["maskingPolicy"]["id"] == "support"


def test_a_broken_sample_ends_1_and_a_sample_drives_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says which line of the file is wrong, and quotes nothing; control characters, of keys too, stay out."""
    sample = tmp_path / "sample.json"
    for text, output in (('{"a":1}\n{secret\n', "line 2: the line is not valid JSON"), (" \n", "holds no event")):
        sample.write_text(text)
        assert not run_preview("default", sample, status=1)
        assert capsys.readouterr().err == f"stream-router mask: {sample}: {output}\n"
    sample.write_bytes(orjson.dumps({**BODY, "payload": {"skillName": "x\x9b31m\x85y\u202ez", "a\x1bb": "x"}}))
    assert not {"\x9b", "\x85", "\u202e", "\x1b"} & set(run_preview("default", sample))


@pytest.mark.parametrize("masked", [False, True])
def test_a_shard_s_dead_letters_say_it(masked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each names the policy by which its record is masked, and nothing where the record is as it came."""
    set_environment(monkeypatch, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
    with patch.object(Destinations, "build_dead_letter_queue", autospec=True) as result:
        (tmp_path / "policy.toml").write_text(f'base = "default"\ndead_letters = {str(masked).lower()}\n')
        settings = consumer(masking=str(tmp_path / "policy.toml"), state_dir=tmp_path)
        Child(settings, DestinationEndpoints(settings), 0).build_shard_processor("shardId-0", "TRIM_HORIZON:0")
    signal.set_wakeup_fd(-1)
    _, _, writer = result.call_args.args
    (message,) = writer.write(DeadLetter(event(BODY), Reason.REFUSED, "C", "m", raw=b"x"))
    assert orjson.loads(message.body).get("masking", "").partition(" ")[0] == ("policy" if masked else "")
